"""Clips from scenes and an enhancer: labels relative to the talker in the room, the same whoever makes them."""

from pathlib import Path

import numpy as np
import pytest

from auricle.audio import read_audio, write_audio
from auricle.errors import EmptyCorpusError
from auricle.listeners.calibration import DatasetConfig, EnhancedConfig
from auricle.listeners.dataset import read_set
from auricle.listeners.enhanced_clips import KINDS, clarity_db, prepare_enhanced
from auricle.scenes.synth.voice import speak
from tests.talking import talking_scenes

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes whose talkers really speak (PESQ wants utterances), dry and with a faint echo."""
    folder = tmp_path_factory.mktemp("corpus")
    for place, scene in enumerate(talking_scenes(folder, 2, seconds=2.4)):
        assert scene.target is not None
        speech = np.resize(speak("one two three four five six", rate_wpm=140 + 20 * place).audio, round(2.4 * RATE_HZ))
        target = speech + 0.3 * np.roll(speech, 1600)
        noise = 0.02 * np.random.default_rng(place).standard_normal(len(speech))
        anechoic = scene.target.with_name(f"{scene.scene_id}_target_mono_anechoic.wav")
        for path, audio in ((scene.target, target), (anechoic, speech), (scene.mix, target + noise)):
            write_audio(path, audio.astype(np.float32), RATE_HZ)
    return folder


def test_what_was_done_to_the_talker_is_the_label_and_the_room_is_not(corpus: Path, tmp_path: Path) -> None:
    config = EnhancedConfig(scenes=corpus, clips=24)
    folder = prepare_enhanced(config, DatasetConfig(), tmp_path / "cache")
    made = read_set(folder)
    assert len(made) == 24
    assert set(made.kinds) <= set(KINDS)
    by_kind = {kind: [label.quality for label, one in zip(made.labels, made.kinds, strict=True) if one == kind] for kind in set(made.kinds)}
    assert min(by_kind["target"]) > 4.0 > np.mean(by_kind["policy"])
    assert all(label.pesq > 4.6 for label, kind in zip(made.labels, made.kinds, strict=True) if kind in ("target", "anechoic"))
    again = read_set(prepare_enhanced(config, DatasetConfig(), tmp_path / "other"))
    assert np.array_equal(made.features, again.features)
    assert made.labels == again.labels
    assert prepare_enhanced(config, DatasetConfig(), tmp_path / "cache") == folder


def test_scenes_without_an_anechoic_target_are_an_error(tmp_path: Path) -> None:
    talking_scenes(tmp_path / "corpus", 1)
    with pytest.raises(EmptyCorpusError, match="anechoic"):
        prepare_enhanced(EnhancedConfig(scenes=tmp_path / "corpus"), DatasetConfig(), tmp_path / "cache")


def test_the_rooms_clarity_is_found_from_two_recordings(corpus: Path) -> None:
    rng = np.random.default_rng(0)
    dry = rng.standard_normal(3 * RATE_HZ)
    tail = 0.5 * rng.standard_normal(6400) * 10 ** (-3 * np.arange(6400) / (0.4 * RATE_HZ)) / 30
    tail[0] = 1.0
    early, late = np.sum(tail[:800] ** 2), np.sum(tail[800:] ** 2)
    wet = np.convolve(dry, tail)[: len(dry)]
    assert clarity_db(dry, wet, RATE_HZ) == pytest.approx(10 * np.log10(early / late), abs=1.0)
    speech = read_audio(corpus / "train" / "scenes" / "S00000_target_mono_anechoic.wav", RATE_HZ)
    assert clarity_db(speech, speech, RATE_HZ) > 24.0
