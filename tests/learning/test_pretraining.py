"""When supervised training slows down, stops, and what it keeps."""

import pytest
import torch

from auricle.learning.pretraining import EarlyStopping, PretrainConfig, lr_scale, new_enhancer, validation_score


def test_the_learning_rate_falls_from_all_to_the_last_share():
    shares = [lr_scale(step, 100, 0.1) for step in range(0, 120, 10)]
    assert shares[0] == 1.0
    assert shares[10:] == pytest.approx([0.1, 0.1])
    assert shares == sorted(shares, reverse=True)


def test_stopping_keeps_the_best_and_gives_up_after_its_patience():
    stopping = EarlyStopping(patience=2)
    assert [stopping.add(step, score) for step, score in enumerate([1.0, 2.0, 1.5, 2.0])] == [True, True, False, False]
    assert stopping.exhausted
    assert (stopping.best_step, stopping.best_score) == (1, 2.0)
    again = EarlyStopping(**vars(stopping))
    assert again.add(4, 2.1)
    assert not again.exhausted


def test_each_metric_counts_upwards():
    base = {"pesq": 1.2, "stoi": 0.7, "si_sdr": 2.0}
    assert all(validation_score(base | {name: value + 0.1}) > validation_score(base) for name, value in base.items())


def test_what_is_trained_without_pictures_never_looks_at_one():
    options = {"window_samples": 256, "hop_samples": 128, "frame_size_px": 16, "channels": 2, "width": 8, "video_width": 4, "layers": 1}
    network = new_enhancer(PretrainConfig(options=options, use_video=False))
    mix, frames = torch.randn(1, 1600), torch.full((1, 3, 16, 16), 200, dtype=torch.uint8)
    assert torch.equal(network.enhance(mix, frames), network.enhance(mix, None))
