"""Descriptions and what readers make of them."""

import numpy as np
import pytest

from auricle.judging.listener_judge import SHIPPED
from auricle.listeners.calibration import DatasetConfig
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.dataset import ClipSet, prepare
from auricle.listeners.words import READERS, descriptions_with_pesq, sentiment_with_pesq


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    return prepare(DatasetConfig(clips=4, held_out_clips=12), "held-out", tmp_path_factory.mktemp("words"), processes=1)


def test_descriptions_come_with_the_pesq_of_their_clip(clips: ClipSet) -> None:
    pairs = descriptions_with_pesq(load_listener(SHIPPED), clips)
    assert [pesq for _, pesq in pairs] == [label.pesq for label in clips.labels if label.pesq is not None]


def test_the_shipped_classifier_reads_quality_out_of_the_shipped_listeners_words(clips: ClipSet) -> None:
    found = sentiment_with_pesq(load_listener(SHIPPED), clips)
    assert list(found) == list(READERS)
    assert found["sentiment"].value > 0.4
    assert all(np.isfinite(estimate.value) for estimate in found.values())
