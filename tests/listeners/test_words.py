"""Descriptions and what readers make of them."""

import numpy as np
import pytest

from auricle.judging.listener_judge import SHIPPED
from auricle.listeners.calibration import DatasetConfig
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.dataset import ClipSet, prepare
from auricle.listeners.words import READERS, Described, descriptions_with_pesq, reader_with_pesq, sentiment_with_pesq


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    return prepare(DatasetConfig(clips=4, held_out_clips=12), "held-out", tmp_path_factory.mktemp("words"), processes=1)


def test_descriptions_come_with_the_pesq_of_their_clip(clips: ClipSet) -> None:
    described = descriptions_with_pesq(load_listener(SHIPPED), clips)
    spoken = [row for row, label in enumerate(clips.labels) if label.pesq is not None]
    assert [(one.pesq, one.speaker) for one in described] == [(clips.labels[row].pesq, clips.speakers[row]) for row in spoken]


def test_words_without_a_score_are_counted_and_speakers_are_drawn_whole() -> None:
    words = ["The voice is clear and natural.", "The voice is noisy and terrible.", "", "Pleasant and clean.", "It is bad.", "It is fine."]
    described = [Described(text, 1.0 + row % 4, f"speaker {row % 3}") for row, text in enumerate(words)]
    found = reader_with_pesq("vader", described)
    assert (found.left_out, found.rows, found.clusters) == (1, 5, 3)


@pytest.mark.parametrize("reader", READERS)
def test_a_listener_that_was_never_taught_to_describe_has_no_words_to_read(reader: str) -> None:
    found = reader_with_pesq(reader, [Described("3", 1.0 + row, f"speaker {row}") for row in range(4)])
    assert np.isnan(found.value)
    assert (found.rows, found.left_out) == (0, 4)


def test_the_shipped_classifier_reads_quality_out_of_the_shipped_listeners_words(clips: ClipSet) -> None:
    found = sentiment_with_pesq(load_listener(SHIPPED), clips)
    assert list(found) == list(READERS)
    assert found["sentiment"].value > 0.4
    assert all(np.isfinite(estimate.value) for estimate in found.values())
