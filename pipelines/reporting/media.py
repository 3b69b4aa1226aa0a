"""Sound and spectrograms for pages: everything becomes a `data:` URI, so that a page needs no other file.

Clips are brought to the fixed loudness at which the judges heard them, and stored as FLAC: lossless, and played by every current browser.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
from jaxtyping import Float, UInt8
from matplotlib.image import imsave

from auricle.audio import audio_info, read_audio
from auricle.levels import normalise_loudness

TOP_KHZ = 8.0
_FFT_S, _HOP_S, _RANGE_DB = 0.032, 0.008, 70.0
_PIXELS = (400, 128)


@dataclass(frozen=True)
class Sound:
    """A clip for a page: `audio` and `spectrogram` as data URIs, its length, and how many characters both take."""

    audio: str
    spectrogram: str
    duration_s: float

    @property
    def size(self) -> int:
        """Characters in the page."""
        return len(self.audio) + len(self.spectrogram)


def sound(path: Path) -> Sound:
    """A wav file as a `Sound`. Raises MediaError where it cannot be read."""
    rate_hz = audio_info(path).sample_rate_hz
    audio = normalise_loudness(read_audio(path, rate_hz), rate_hz)
    return Sound(flac_uri(audio, rate_hz), spectrogram_uri(audio, rate_hz), len(audio) / rate_hz)


def flac_uri(audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> str:
    """16-bit FLAC as a data URI."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(audio, -1.0, 1.0), sample_rate_hz, format="FLAC", subtype="PCM_16")
    return _uri("audio/flac", buffer.getvalue())


def spectrogram_uri(audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> str:
    """A spectrogram up to 8 kHz as a PNG data URI."""
    image = (matplotlib.colormaps["magma"](spectrogram(audio, sample_rate_hz)[::-1])[..., :3] * 255).astype(np.uint8)
    return _uri("image/png", png(image))


def spectrogram(audio: Float[np.ndarray, " samples"], sample_rate_hz: int) -> Float[np.ndarray, "rows columns"]:
    """Level from 0 (70 dB below a fixed top) to 1, low frequencies first; at most 128 rows and 400 columns.

    The top is the same for all clips: of clips at one loudness the pictures can be compared.
    """
    size, hop = round(_FFT_S * sample_rate_hz), round(_HOP_S * sample_rate_hz)
    padded = np.pad(np.asarray(audio, np.float64), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] if len(padded) >= size else np.zeros((1, size))
    window = np.hanning(size + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2 / window.sum() ** 2
    rows = min(power.shape[1] - 1, round(TOP_KHZ * 1000 * size / sample_rate_hz))
    power = _pooled(_pooled(power[:, 1 : rows + 1].T, _PIXELS[1]).T, _PIXELS[0]).T
    top_db = -28.0  # a loud vowel at -26 LUFS
    return np.clip((10 * np.log10(np.maximum(power, 1e-14)) - top_db) / _RANGE_DB + 1.0, 0.0, 1.0)


def png(image: UInt8[np.ndarray, "rows columns 3"]) -> bytes:
    """An image as PNG."""
    buffer = io.BytesIO()
    imsave(buffer, image, format="png")
    return buffer.getvalue()


def _pooled(array: np.ndarray, most: int) -> np.ndarray:
    """Neighbouring rows averaged, so that at most `most` are left."""
    if len(array) <= most:
        return array
    edges = np.linspace(0, len(array), most + 1).astype(int)
    return np.add.reduceat(array, edges[:-1], axis=0) / np.diff(edges)[:, None]


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
