"""Normalisation by speaker, then by kind of vowel; the published bins."""

from dataclasses import replace

import numpy as np
import pytest

from auricle.errors import CheckpointError
from auricle.gsrm.features import CLIP_MEASURES, VOWEL_FEATURES, Measured
from auricle.gsrm.findings import findings_of
from auricle.gsrm.method import Method, load_method
from auricle.gsrm.normalisation import NO_BIN, PITCH_WORDS, fit_norms
from auricle.gsrm.rendering import rendered


def _with_pitches(clip, pitches):
    count = len(pitches)
    values = np.tile(clip.values[:1], (count, 1))
    values[:, 0] = pitches
    return Measured(clip.duration_s, clip.speech_s, clip.vowels[:1] * count, values, clip.clip)


def test_pitch_falls_into_the_published_bins(measured, norms):
    clip = _with_pitches(measured[0], [80, 85, 109, 110, 159, 219, 279, 389, 390, np.nan])
    words = [PITCH_WORDS[place] if place != NO_BIN else "none" for place in norms.bins(clip)[:, 0]]
    expected = ["below 85 Hz", "85-110 Hz", "85-110 Hz", "110-160 Hz", "110-160 Hz", "160-220 Hz", "220-280 Hz", "280-390 Hz"]
    assert words == [*expected, "above 390 Hz", "none"]


def test_the_shares_of_bins_are_the_published_percentiles(measured, norms):
    bins = np.concatenate([norms.bins(clip) for clip in measured])
    for column, name in enumerate(VOWEL_FEATURES[1:], 1):
        known = bins[bins[:, column] != NO_BIN, column]
        shares = np.bincount(known) / len(known)
        expected = [0.25, 0.5, 0.25] if name == "pitch slope" else [0.1, 0.15, 0.5, 0.15, 0.1]
        assert shares == pytest.approx(expected, abs=0.03), name


def test_a_known_speaker_is_measured_against_himself(measured, norms):
    clip = measured[3]
    louder = replace(clip, values=clip.values + np.array([0, 0, 0, 10.0, 0, 0]))
    alone = norms.model_copy(update={"prior_vowels": 0.0})
    assert alone.normalised(louder)[:, 3] == pytest.approx(alone.normalised(clip)[:, 3])
    quiet = alone.speaker([clip] * 3)
    assert (alone.normalised(louder, quiet)[:, 3] > alone.normalised(clip, quiet)[:, 3] + 1.0).all()


def test_few_vowels_are_drawn_towards_the_population(measured, norms):
    clip = replace(measured[5], values=measured[5].values + np.array([0, 0, 0, 20.0, 0, 0]))
    own = norms.model_copy(update={"prior_vowels": 0.0}).speaker([clip]).mean[3]
    population = norms.population.mean[3]
    assert population < norms.speaker([clip]).mean[3] < own


def test_norms_need_vowels(measured):
    with pytest.raises(CheckpointError, match="at least 20"):
        fit_norms(measured[:1])


def test_a_method_is_read_as_it_was_written(tmp_path, norms):
    method = Method(norms=norms, form="judgement", pitch=False)
    method.save(tmp_path)
    assert load_method(tmp_path) == method
    (tmp_path / "gsrm.json").write_text('{"form": "song"}')
    with pytest.raises(CheckpointError, match="not a method"):
        load_method(tmp_path)
    with pytest.raises(CheckpointError, match=r"auricle\.gsrm\.train"):
        load_method(tmp_path / "nowhere")


def test_a_clip_without_vowels_has_findings(measured, norms):
    empty = Measured(1.0, 0.0, (), np.zeros((0, 6)), np.full(len(CLIP_MEASURES), np.nan))
    found = findings_of(empty, norms)
    assert found.vowels == 0
    assert np.isnan(found.share("duration", "low"))
    assert found.decile("noise") == NO_BIN


def test_norms_of_fewer_measures_leave_the_others_out_of_what_is_read(measured, norms):
    edges = {name: value for name, value in norms.edges.items() if name not in ("hiss", "voids")}
    earlier = norms.model_copy(update={"edges": edges})
    assert earlier.measures == tuple(name for name in CLIP_MEASURES if name not in ("hiss", "voids"))
    found = findings_of(measured[0], earlier)
    assert found.decile("hiss") == NO_BIN
    assert found.decile("noise") == findings_of(measured[0], norms).decile("noise")
    text = rendered(found, **Method(norms=earlier).shown)
    assert "hiss" not in text
    assert "flatness" in text
