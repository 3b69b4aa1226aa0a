"""Learning from clips that people rated, alone and beside clips that we damaged ourselves."""

import math
from pathlib import Path

import numpy as np
import pytest

from auricle.audio import write_audio
from auricle.errors import ConfigError, EmptyCorpusError
from auricle.listeners.answers import artefact_text
from auricle.listeners.aspects import _agreement, agreement_with_labels, agreement_with_ratings, aspects_text
from auricle.listeners.calibration import CalibrateConfig, DatasetConfig, TrainingConfig
from auricle.listeners.checkpoint import Listener
from auricle.listeners.courses import aspect_question, courses_of
from auricle.listeners.dataset import ClipSet, JoinedSets, prepare, read_set
from auricle.listeners.listener_module import ListenerModule
from auricle.listeners.quality import QUALISPEECH_ASPECTS, Quality
from auricle.listeners.questions import question
from auricle.listeners.rated_clips import prepare_rated, rated_clips
from auricle.listeners.training import plan_step, step_loss

DATA = DatasetConfig(clips=4)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings of 2 or 4 s by three talkers, with scores on two aspects."""
    folder = tmp_path_factory.mktemp("rated")
    lines = ["file,speaker,naturalness,speed"]
    for number in range(6):
        audio = 0.1 * np.random.default_rng(number).standard_normal(32_000 * (1 + number % 2))
        write_audio(folder / f"clip{number}.wav", audio.astype(np.float32), 16_000)
        lines.append(f"clip{number}.wav,talker{number // 2},{1.5 + 0.5 * number},3")
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    return folder / "ratings.csv"


@pytest.fixture(scope="module")
def rated_set(table: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    return read_set(prepare_rated(rated_clips([table], "train"), DATA, tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def mixed(rated_set: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> JoinedSets:
    return JoinedSets([rated_set, prepare(DATA, "train", tmp_path_factory.mktemp("cache"), processes=1)])


def test_talkers_are_held_out_whole(table: Path) -> None:
    train, held_out = ({clip.speaker for clip in rated_clips([table], part)} for part in ("train", "held-out"))  # type: ignore[arg-type]
    assert len(train) == 2
    assert len(held_out) == 1
    assert not train & held_out


def test_a_table_that_leaves_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    write_audio(tmp_path / "one.wav", np.ones(32_000, np.float32) * 0.1, 16_000)
    (tmp_path / "ratings.csv").write_text("file,mos\none.wav,3\n")
    with pytest.raises(ConfigError, match="leave none"):
        rated_clips([tmp_path / "ratings.csv"], "held-out")


def test_long_recordings_become_windows_with_their_scores(rated_set: ClipSet) -> None:
    assert len(rated_set) == 6  # two talkers: 2 s and 4 s each, the longer ones in two windows
    assert all(isinstance(label, Quality) for label in rated_set.labels)
    assert all(set(label.scores) == {"naturalness", "speed"} for label in rated_set.labels)


def test_each_course_asks_what_is_known(mixed: JoinedSets) -> None:
    rng = np.random.default_rng(0)
    config = CalibrateConfig(courses={"calibration": 1.0, "dimensions": 0.5, "artefacts": 1.0})
    calibration, dimensions, artefacts = (course(mixed.labels, rng) for course in courses_of(config).values())
    n, rated = len(mixed), 6
    heard = {audio % n for lesson in calibration for one in lesson.exchanges for audio in one.audios}
    assert heard == set(range(rated, n))
    (lesson,) = artefacts
    assert [(one.audios, one.answer) for one in lesson.exchanges] == [((row,), artefact_text(mixed.labels[row])) for row in range(rated, n)]
    (lesson,) = dimensions
    assert lesson.weight == 0.5
    assert [one.audios for one in lesson.exchanges] == [(place,) for place in range(n)]
    asked = {one.question for one in lesson.exchanges[:rated]}
    assert all("naturalness" in text or "speed" in text for text in asked)
    with pytest.raises(ConfigError, match="at least one course"):
        courses_of(CalibrateConfig(courses={"dimensions": 0.0}))


def test_an_aspect_that_is_a_dimension_of_ours_is_the_same_question() -> None:
    assert aspect_question("naturalness") == question("dimension", "naturalness")
    assert len({aspect_question(aspect).text for aspect in QUALISPEECH_ASPECTS}) == 7


def test_a_step_on_both_kinds_of_clips(listener: Listener, mixed: JoinedSets) -> None:
    config = CalibrateConfig(courses={"calibration": 1.0, "dimensions": 1.0, "questions": 1.0})
    with pytest.raises(ValueError, match="none of"):  # the five tasks want NISQA's dimensions
        plan_step(mixed, courses_of(config), 0, TrainingConfig(batch=10, hearing_share=0.0), mels=80)
    courses = courses_of(config.model_copy(update={"courses": {"calibration": 1.0, "dimensions": 1.0}}))
    training = TrainingConfig(batch=10, hearing_share=0.0, pairs=2)
    plan = plan_step(mixed, courses, 0, training, mels=80)
    losses = [
        sum(
            float(step_loss(ListenerModule(listener.model), plan, mixed, listener.processor, training, rank=k, ranks=ranks).detach())
            for k in range(ranks)
        )
        for ranks in (1, 3)
    ]
    assert math.isfinite(losses[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_aspects_are_counted_where_nothing_was_scored(listener: Listener, mixed: JoinedSets, table: Path) -> None:
    own = ClipSet(
        mixed.features[np.arange(6, 10)],
        mixed.features[np.arange(6, 10)],
        mixed.lengths[6:],
        mixed.labels[6:],
        mixed.kinds[6:],
        mixed.speakers[6:],
    )
    rows = agreement_with_labels(listener, own)
    assert [row.aspect for row in rows] == [aspect for aspect in QUALISPEECH_ASPECTS if aspect != "speed"]
    # A random model puts next to nothing on the five digits: no score, and it shows.
    assert {row.coverage for row in rows} == {0.0}
    people = agreement_with_ratings(listener, rated_clips([table], "held-out"))
    assert [(row.aspect, row.clips) for row in people] == [("speed", 2), ("naturalness", 2)]
    assert "| naturalness | 2 | 0 % | nan | nan | nan |" in aspects_text({"rated by people": people})


def test_agreement_is_of_the_scored_clips_and_says_how_many_they_were() -> None:
    row = _agreement("naturalness", [1.0, 2.0, 3.0, np.nan], [1.5, 2.5, 5.0, 4.0])
    assert (row.clips, row.coverage, row.spearman) == (4, 0.75, pytest.approx(1.0))
    assert row.spread == pytest.approx(np.std([1, 2, 3]))


def test_a_folder_without_clips_is_told_with_what_makes_them(tmp_path):
    with pytest.raises(EmptyCorpusError, match=r"no clips there .*auricle calibrate"):
        read_set(tmp_path)
