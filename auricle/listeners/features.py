"""What the listener hears: log-mel spectrograms at 100 frames a second with their absolute level, on a window of fixed length.

Shorter clips are padded with digital silence and their length is handed on, so that the model can mask what lies beyond the end. Longer
clips are refused: `auricle.listeners.windows` cuts them into windows that are judged one by one.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32
from transformers import BatchFeature, SequenceFeatureExtractor

WINDOW_SAMPLES, HOP_SAMPLES, FFT_SIZE = 400, 160, 512
POWER_FLOOR = 1e-9
"""-90 dB: digital silence and the noise of 16 bit look alike."""
CENTRE_LOG10, SCALE_LOG10 = -5.0, 2.0
SHORTEST_S = 0.5


def log_mels(audio: Float[np.ndarray, " samples"], mels: int = 80, sample_rate_hz: int = 16_000) -> Float32[np.ndarray, "mels frames"]:
    """log10 of the mel power (triangles of unit peak, 0 Hz to Nyquist) plus a floor; `samples // 160` frames, one every 160 samples."""
    frames = len(audio) // HOP_SAMPLES
    edge = (WINDOW_SAMPLES - HOP_SAMPLES) // 2
    padded = np.pad(np.asarray(audio, dtype=np.float32), (edge, edge))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES][:frames]
    window = _window()
    power = np.abs(np.fft.rfft(windows * window, FFT_SIZE)) ** 2 / np.sum(window**2)
    return np.log10(power @ mel_filters(mels, sample_rate_hz) + POWER_FLOOR).T.astype(np.float32)


def mel_centres_hz(mels: int, sample_rate_hz: int) -> Float[np.ndarray, " mels"]:
    """Centre frequencies of the mel bands."""
    top = 2595 * np.log10(1 + sample_rate_hz / 2 / 700)
    return (700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1))[1:-1]


def scaled(log10_power: Float[torch.Tensor, "*shape"]) -> Float[torch.Tensor, "*shape"]:
    """Log-mels in the range that networks like: about -2 to 2, the same for every clip."""
    return (log10_power - CENTRE_LOG10) / SCALE_LOG10


class AuricleFeatureExtractor(SequenceFeatureExtractor):
    """Audio to `input_features` [audios, mels, frames] and `feature_lengths` [audios] (frames that hold sound)."""

    model_input_names = ["input_features", "feature_lengths"]

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16_000,
        padding_value: float = 0.0,
        clip_s: float = 3.0,
        **kwargs,
    ):
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.clip_s = clip_s

    @property
    def frames(self) -> int:
        """Frames of a whole window."""
        return round(self.clip_s * self.sampling_rate) // HOP_SAMPLES

    def __call__(
        self, raw_speech: np.ndarray | Sequence[np.ndarray], sampling_rate: int | None = None, return_tensors: str | None = None, **kwargs
    ) -> BatchFeature:
        """Raises ValueError for another sample rate and for clips shorter than 0.5 s or longer than the window."""
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(
                f"sampling_rate = {sampling_rate} Hz, but this listener hears {self.sampling_rate} Hz; resample the audio first"
            )
        clips = [raw_speech] if isinstance(raw_speech, np.ndarray) and raw_speech.ndim == 1 else list(raw_speech)
        features = [self._one(np.asarray(clip, dtype=np.float32)) for clip in clips]
        lengths = [min(self.frames, max(1, len(clip) // HOP_SAMPLES)) for clip in clips]
        data = {"input_features": np.stack(features), "feature_lengths": np.asarray(lengths, dtype=np.int64)}
        return BatchFeature(data, tensor_type=return_tensors)

    def _one(self, clip: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, "mels frames"]:
        duration_s = len(clip) / self.sampling_rate
        if not SHORTEST_S <= duration_s <= self.clip_s + 0.02:
            raise ValueError(
                f"a clip of {duration_s:.2f} s: this listener hears {SHORTEST_S} to {self.clip_s:g} s at a time; "
                "cut longer ones with auricle.listeners.windows.split"
            )
        window = np.zeros(self.frames * HOP_SAMPLES, dtype=np.float32)
        window[: min(len(clip), len(window))] = clip[: len(window)]
        return scaled(torch.from_numpy(log_mels(window, self.feature_size, self.sampling_rate))).numpy()


@lru_cache(maxsize=1)
def _window() -> Float32[np.ndarray, " window_samples"]:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=4)
def mel_filters(mels: int, sample_rate_hz: int) -> Float32[np.ndarray, "bins mels"]:
    """Triangles of unit peak from 0 Hz to Nyquist, evenly spaced in mel (2595 log10(1 + f/700))."""
    top = 2595 * np.log10(1 + sample_rate_hz / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(FFT_SIZE, 1 / sample_rate_hz)
    # The lowest triangles are narrower than a bin: widened to one, so that no mel is empty.
    width = sample_rate_hz / FFT_SIZE
    left = np.minimum(edges[:-2], edges[1:-1] - width)
    right = np.maximum(edges[2:], edges[1:-1] + width)
    rising = (bins[:, None] - left) / (edges[1:-1] - left)
    falling = (right - bins[:, None]) / (right - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
