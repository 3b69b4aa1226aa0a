"""Measures from answers beside the truth, and the benchmark's intervals for a change over clips and seeds."""

from dataclasses import replace

import numpy as np
import pytest

from auricle.listeners.labels import DIMENSIONS
from auricle.reasoning.measuring import HeardClips
from benchmarks.reason import summed_up

CLIPS = 60


def heard(right: float, iou: float, seed: int) -> HeardClips:
    """A listener that names `right` of all clips and overlaps by `iou` in the half of them that have a place in time."""
    rng, columns = np.random.default_rng(seed), 1 + len(DIMENSIONS)
    true = np.array(["drop-outs" if row % 2 else "noise" for row in range(CLIPS)], dtype=object)
    truth = np.random.default_rng(1).uniform(1, 5, (CLIPS, columns))
    named = np.where(rng.random(CLIPS) < right, true, "muffling")
    spans = np.where(np.arange(CLIPS) % 2, np.clip(iou + rng.normal(0, 0.1, CLIPS), 0, 1), np.nan)
    words = np.array([f"text {row % 5}." for row in range(CLIPS)], dtype=object)
    scores = truth + rng.normal(0, 0.5, truth.shape)
    speakers = tuple(f"speaker {row % 20}" for row in range(CLIPS))
    return HeardClips(scores, truth, named, true, spans, truth[:, 0], np.full(CLIPS, 0.5), words, np.zeros(CLIPS), speakers)


def test_measures_are_those_of_the_rows_asked_for() -> None:
    listener = heard(1.0, 0.4, 0)
    whole, local = listener.hearing(), listener.hearing(np.arange(1, CLIPS, 2))
    assert (whole.clips, whole.span_clips, whole.class_accuracy, whole.noise_f1) == (CLIPS, CLIPS // 2, 1.0, 1.0)
    assert (local.clips, local.span_clips) == (CLIPS // 2, CLIPS // 2)
    assert local.span_iou == whole.span_iou == pytest.approx(0.4, abs=0.1)
    assert whole.distinct == 5 / CLIPS
    assert whole.long_form == pytest.approx(1.0)


def test_a_change_that_is_there_in_every_seed_is_told_from_one_that_is_not() -> None:
    base = heard(0.6, 0.2, 0)
    reasoned = [heard(0.9, 0.5, seed) for seed in (1, 2, 3)]
    supervised = [heard(0.6, 0.2, seed) for seed in (4, 5, 6)]
    changes = summed_up({"calibrated": [base], "supervised": supervised, "reasoned": reasoned})["changes"]
    gained, none = changes["reasoned - calibrated"]["span_iou"], changes["supervised - calibrated"]["span_iou"]  # type: ignore[index]
    assert gained["low"] > 0.15
    assert gained["mean"] == pytest.approx(0.3, abs=0.06)
    assert none["low"] < 0 < none["high"]
    assert len(gained["seeds"]) == 3


def test_clips_of_one_speaker_are_no_independent_witnesses() -> None:
    """Two speakers, one of whom a listener hears better: however many clips there are, nothing is known of a third."""
    base = [replace(heard(0.6, 0.2, 0), speakers=tuple(f"{row // 30}" for row in range(CLIPS)))]
    better = [replace(one, spans=np.where(np.arange(CLIPS) < 30, one.spans + 0.3, one.spans)) for one in base]
    results = summed_up({"calibrated": base, "supervised": base, "reasoned": better})
    found = results["changes"]["reasoned - calibrated"]["span_iou"]  # type: ignore[index]
    assert results["speakers"] == 2
    assert found["low"] < 0 < found["mean"]
