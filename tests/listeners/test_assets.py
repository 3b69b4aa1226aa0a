"""The listener that comes with Auricle: small, whole, and a coarse but sane judge."""

import numpy as np
import pytest

from auricle.judging.verdict import Failed
from auricle.listeners.answers import parse_artefact, parse_description
from auricle.listeners.asking import features_of_audio, greedy_answers, score_of_sound
from auricle.listeners.assets import default_listener
from auricle.listeners.checkpoint import Listener, load_listener
from auricle.listeners.degradations import scaled_to_ratio
from auricle.listeners.questions import question
from auricle.listeners.ratings import agreement_with_people, read_ratings
from auricle.listeners.sources import find_sources

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def shipped() -> Listener:
    return load_listener(default_listener())


@pytest.fixture(scope="module")
def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    """Speech of held-out voices, and held-out noise."""
    sources = find_sources("held-out", [], [], synthetic_share=1.0, seed=0)
    made = []
    for index in range(6):
        rng = np.random.default_rng([5, index])
        made.append((sources.speech_crop(3 * RATE_HZ, rng), sources.noise_crop(3 * RATE_HZ, rng)))
    return made


def test_the_checkpoint_is_small() -> None:
    assert sum(path.stat().st_size for path in default_listener().iterdir()) < 6_000_000
    assert "auricle calibrate" in (default_listener() / "README.md").read_text(encoding="utf-8")


def test_scores_fall_with_the_noise(shipped: Listener, scenes: list[tuple[np.ndarray, np.ndarray]]) -> None:
    asked = question("score")
    means = []
    for snr_db in (40.0, 15.0, 0.0):
        sounds = [speech + scaled_to_ratio(noise, speech, snr_db) for speech, noise in scenes]
        means.append(np.mean([score_of_sound(shipped, sound, RATE_HZ, asked) for sound in sounds]))
    assert means[0] > means[1] + 0.3 > means[2] + 0.6
    assert means[2] < 2.2


def test_what_is_no_speech_is_rated_lowest(shipped: Listener) -> None:
    asked = question("score")
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE_HZ) / RATE_HZ)
    for audio in (np.zeros(3 * RATE_HZ), tone, 0.05 * np.random.default_rng(0).standard_normal(3 * RATE_HZ)):
        assert score_of_sound(shipped, audio, RATE_HZ, asked) < 1.3


def test_answers_parse(shipped: Listener, scenes: list[tuple[np.ndarray, np.ndarray]]) -> None:
    inputs = features_of_audio(shipped, [(0.2 * (speech + 0.1 * noise)).astype(np.float32) for speech, noise in scenes])
    assert not any(isinstance(parse_description(text), Failed) for text in greedy_answers(shipped, question("describe"), *inputs))
    assert not any(isinstance(parse_artefact(text, 3.0), Failed) for text in greedy_answers(shipped, question("artefact"), *inputs))


def test_drop_outs_are_found_where_they_are(shipped: Listener, scenes: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = 0
    for speech, _ in scenes:
        broken = (0.1 * speech / np.std(speech)).astype(np.float32)
        broken[RATE_HZ : RATE_HZ + 6400] = 0.0
        answer = parse_artefact(greedy_answers(shipped, question("artefact"), *features_of_audio(shipped, [broken]))[0], 3.0)
        if not isinstance(answer, Failed) and answer.artefact == "drop-outs":
            found += any(span.start_s < 1.4 and span.end_s > 1.0 for span in answer.spans)
    assert found >= 4


@pytest.mark.realdata
def test_it_agrees_with_people_on_rated_recordings(shipped: Listener, shared_data) -> None:
    files = read_ratings(shared_data / "mos_p835" / "ratings.csv")
    agreement = {row.rater: row for row in agreement_with_people(shipped, files)}
    assert agreement["listener"].files == len(files) == 26
    assert agreement["listener"].spearman > 0.6
    assert agreement["PESQ"].spearman > 0.8
