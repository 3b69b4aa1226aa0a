"""What the listener hears."""

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor

from auricle.judging.verdict import Failed, Scored, Span
from auricle.listeners.augmentation import RecordingChains
from auricle.listeners.encoders import AstEncoder
from auricle.listeners.features import POWER_FLOOR, AuricleFeatureExtractor, log_mels, mel_centres_hz
from auricle.listeners.windows import join, split
from auricle.scenes.synth.voice import speak


def test_log_mels_keep_the_absolute_level() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    loud, soft = log_mels(0.5 * tone), log_mels(0.05 * tone)
    peak = loud.mean(axis=1).argmax()
    assert mel_centres_hz(80, 16_000)[peak] == pytest.approx(1000, rel=0.05)
    assert (loud - soft)[peak].mean() == pytest.approx(2.0, abs=0.01)
    assert log_mels(np.zeros(16_000, np.float32)) == pytest.approx(np.log10(POWER_FLOOR))


def test_a_click_is_in_its_frame() -> None:
    click = np.zeros(16_000, np.float32)
    click[16_000 // 2 + 80] = 1.0
    assert log_mels(click).mean(axis=0).argmax() == 50


def test_short_clips_are_padded_and_their_length_is_told() -> None:
    inputs = AuricleFeatureExtractor()([np.ones(16_000, np.float32), np.ones(48_000, np.float32)], sampling_rate=16_000)
    assert inputs["input_features"].shape == (2, 80, 300)
    assert inputs["feature_lengths"].tolist() == [100, 300]
    assert np.ptp(inputs["input_features"][0][:, 105:]) == 0.0


@pytest.mark.parametrize(("seconds", "rate_hz"), [(0.2, 16_000), (3.5, 16_000), (2.0, 8_000)])
def test_what_cannot_be_heard_is_refused(seconds: float, rate_hz: int) -> None:
    with pytest.raises(ValueError, match=r"hears|resample"):
        AuricleFeatureExtractor()(np.zeros(int(seconds * 16_000), np.float32), sampling_rate=rate_hz)


def test_our_features_become_those_of_the_pretrained_ast() -> None:
    audio = speak("The captain sold a yellow raincoat at the harbour.").audio[: 2 * 16_000]
    ours = AuricleFeatureExtractor(128, clip_s=2.0)(audio, return_tensors="pt")["input_features"]
    encoder = AstEncoder(128, 200, hidden_size=16, layers=1, heads=1, intermediate_size=16)
    mine = encoder.as_pretrained(ours)[0].numpy()
    theirs = ASTFeatureExtractor(num_mel_bins=128, max_length=200)(audio, sampling_rate=16_000)["input_values"][0].T
    # Without the lowest bands, which are narrower than a bin there, and the last frames, which are padding there.
    mine, theirs = mine[16:, :190], theirs[16:, :190]
    loud = theirs > np.median(theirs)
    assert np.corrcoef(mine.ravel(), theirs.ravel())[0, 1] > 0.95
    assert abs(np.mean(mine[loud] - theirs[loud])) < 0.1


def test_augmentation_limits_the_band_and_is_repeatable() -> None:
    flat = torch.full((64, 80, 10), -4.0)
    first, second = (RecordingChains.draw(np.random.default_rng(5), 64, 80).apply(flat, np.arange(64)) for _ in range(2))
    assert torch.equal(first, second)
    some = RecordingChains.draw(np.random.default_rng(5), 64, 80).apply(flat[:2], np.array([3, 9]))
    assert torch.equal(some, first[[3, 9]])  # a rank applies the chains of its own clips alone
    loss = (first[:, 40] - first[:, -1]).mean(dim=1)
    assert (loss > 1.5).float().mean() > 0.3
    assert (loss < 1.0).float().mean() > 0.3


def test_windows_cover_a_long_clip_evenly() -> None:
    audio = np.arange(7 * 16_000, dtype=np.float32)
    windows = split(audio, 16_000, 3.0)
    assert [round(start_s, 2) for start_s, _ in windows] == [0.0, 2.0, 4.0]
    assert all(len(window) == 48_000 for _, window in windows)
    assert windows[-1][1][-1] == audio[-1]
    assert split(audio[:100], 16_000, 3.0)[0][1].shape == (100,)


def test_verdicts_of_windows_are_joined_and_one_failure_fails_all() -> None:
    first = Scored(2.0, "Noise.", {"spread": 0.4}, (Span("noise", 0.5, 1.0),))
    second = Scored(4.0, "Clear.", {"spread": 0.2, "extra": 1.0})
    joined = join([(0.0, second), (2.0, first)])
    assert joined == Scored(3.0, "[0.0 s] Clear. [2.0 s] Noise.", {"spread": pytest.approx(0.3)}, (Span("noise", 2.5, 3.0),))
    failed = join([(0.0, first), (2.0, Failed("unparsable", "x"))])
    assert isinstance(failed, Failed)
    assert "2.00 s" in failed.detail
