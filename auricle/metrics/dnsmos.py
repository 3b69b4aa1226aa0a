"""DNSMOS P.835 and P.808 (Reddy 2021, 2022): what listeners would say of a clip, without a reference. The models come with speechmos.

Two ways to fill the models' window of 9.01 s:
- official: short clips are repeated, windows hop by 1 s, scores are averaged: Microsoft's script, to six digits;
- fast: one pass over the clip as it is. On 68 clips of 3 s (`benchmarks/dnsmos_windows.py`) ten times faster; Pearson with the official
  scores .97 sig, .99 bak, .985 ovrl, .97 p808 (Spearman .84, .97, .94, .96). Good as a reward, not for tables.

DNSMOS hardly hears signal-correlated noise: where people give a signal score of 1.8 it gives 3.3.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from jaxtyping import Float

from auricle.errors import EnvironmentSetupError, MetricError

RATE_HZ = 16_000
WINDOW_S = 9.01
HOP_S = 1.0
SHORTEST_S = 0.5
WINDOW_SAMPLES = int(WINDOW_S * RATE_HZ)

# Both files fix the input's length, though the networks take any. These edits of the protobuf, each of equal length, free it: a declared
# size (`dim_value`) becomes a named dimension, the shape [-1, 900, 160] becomes [1, -1, 160], the end [max, 144000] of a slice [1, -160].
_MAX, _MINUS_ONE, _MINUS_160, _ONE = b"\xff" * 8 + b"\x7f", b"\xff" * 9 + b"\x01", b"\xe0\xfe" + b"\xff" * 7 + b"\x01", b"\x81\x00"
_FREE_LENGTH = {
    "sig_bak_ovr.onnx": (
        (b"\x08\xa0\xe6\x08", b"\x12\x02ns", 1),
        (_MINUS_ONE + b"\x84\x07\xa0\x01", _ONE + _MINUS_ONE + b"\xa0\x01", 2),
        (_MAX + b"\x80\xe5\x08", _ONE + _MINUS_160, 1),
    ),
    "model_v8.onnx": ((b"\x08\x84\x07", b"\x12\x01f", 1),),
}

MEL_BANDS, FRAME_SAMPLES, HOP_SAMPLES = 120, 321, 160


@dataclass(frozen=True)
class DnsmosScores:
    """Mean opinion scores, about 1-5: signal, background, overall (P.835, after the published polynomials) and overall (P.808)."""

    sig: float
    bak: float
    ovrl: float
    p808: float


def dnsmos(audio: Float[np.ndarray, " samples"], sample_rate_hz: int, *, fast: bool = False) -> DnsmosScores:
    """DNSMOS of one clip at 16 kHz, within +-1. Raises MetricError (wrong rate, too short, not finite, clipped beyond +-1)."""
    audio = np.asarray(audio, dtype=np.float32)
    if sample_rate_hz != RATE_HZ:
        raise MetricError(f"dnsmos: defined at {RATE_HZ} Hz, got {sample_rate_hz} Hz; resample the clip first")
    if audio.ndim != 1 or len(audio) < SHORTEST_S * RATE_HZ:
        raise MetricError(f"dnsmos: shape {audio.shape}; expected mono audio [samples] of at least {SHORTEST_S} s")
    if not np.isfinite(audio).all():
        raise MetricError("dnsmos: the clip holds NaN or infinite samples")
    if np.abs(audio).max() > 1.0:
        raise MetricError(f"dnsmos: the clip's peak is {np.abs(audio).max():.2f}; scale it to within +-1 first")
    windows = audio[None, : min(len(audio), WINDOW_SAMPLES) // HOP_SAMPLES * HOP_SAMPLES] if fast else official_windows(audio)
    scores = np.mean([_score(window) for window in windows], axis=0)
    return DnsmosScores(*(float(value) for value in scores))


def official_windows(audio: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "windows window_samples"]:
    """The windows of Microsoft's script: the clip doubled until it fills one, then every full window at a hop of 1 s."""
    while len(audio) < WINDOW_SAMPLES:
        audio = np.append(audio, audio)
    hops = int(np.floor(len(audio) / RATE_HZ) - WINDOW_S) + 1
    starts = [int(hop * HOP_S * RATE_HZ) for hop in range(max(hops, 1))]
    return np.stack([audio[start : start + WINDOW_SAMPLES] for start in starts if start + WINDOW_SAMPLES <= len(audio)])


def _score(window: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "4"]:
    p835, p808 = _models()
    sig, bak, ovrl = p835.run(None, {"input_1": window[None]})[0][0]
    mel = mel_decibels(window[:-HOP_SAMPLES])
    overall = p808.run(None, {"input_1": mel[None]})[0][0][0]
    return np.array(
        [
            np.polyval([-0.08397278, 1.22083953, 0.0052439], sig),
            np.polyval([-0.13166888, 1.60915514, -0.39604546], bak),
            np.polyval([-0.06766283, 1.11546468, 0.04602535], ovrl),
            overall,
        ]
    )


def mel_decibels(audio: Float[np.ndarray, " samples"]) -> Float[np.ndarray, "frames bands"]:
    """The P.808 model's input: a mel power spectrogram in dB below its own maximum, (dB + 40) / 40."""
    padded = np.pad(audio, FRAME_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME_SAMPLES)[::HOP_SAMPLES]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME_SAMPLES + 1)[:-1], axis=1)) ** 2
    mel = np.maximum(power @ _mel_filters().T, 1e-10)
    decibels = 10.0 * np.log10(mel / mel.max())
    return ((np.maximum(decibels, decibels.max() - 80.0) + 40.0) / 40.0).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_filters() -> Float[np.ndarray, "bands bins"]:
    """Triangles on Slaney's mel scale (linear to 1 kHz, logarithmic above), each of area one."""
    top = 15.0 + 27.0 * np.log(RATE_HZ / 2 / 1000.0) / np.log(6.4)
    mels = np.linspace(0.0, top, MEL_BANDS + 2)
    edges = np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * 6.4 ** ((mels - 15.0) / 27.0))
    bins = np.fft.rfftfreq(FRAME_SAMPLES, 1.0 / RATE_HZ)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]


@lru_cache(maxsize=1)
def _models() -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.inter_op_num_threads = 1
    cpu = ["CPUExecutionProvider"]
    p835 = onnxruntime.InferenceSession(_model_bytes("sig_bak_ovr.onnx"), options, providers=cpu)
    return p835, onnxruntime.InferenceSession(_model_bytes("model_v8.onnx"), options, providers=cpu)


def _model_bytes(name: str) -> bytes:
    package = find_spec("speechmos")
    if package is None or package.origin is None:
        raise EnvironmentSetupError("dnsmos: the package speechmos (it holds the models) is not installed; pip install speechmos==0.0.1.1")
    content = (Path(package.origin).parent / "dnsmos_models" / name).read_bytes()
    for fixed, free, times in _FREE_LENGTH[name]:
        if content.count(fixed) != times:
            raise EnvironmentSetupError(f"dnsmos: {name} is not the file of speechmos 0.0.1.1; install that version")
        content = content.replace(fixed, free)
    return content
