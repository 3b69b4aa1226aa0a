"""Sound that strangers send: decoded within bounds that are looked at before anything is decoded.

    bytes --size--> kind by content --header: rate, channels, length--> decode (never more than the header said) --> mono float32

Only formats whose header tells the length, and that libsndfile decodes, come in: wav, flac, ogg. No container reaches FFmpeg.
"""

import io

import numpy as np
import soundfile
from jaxtyping import Float32
from pydantic import Field, PositiveFloat, PositiveInt

from auricle.config import Config
from auricle.errors import MediaError
from auricle.files import LONGEST_NAME, is_plain_name
from auricle.riff import require_complete

MAGIC = {b"RIFF": "WAV", b"RF64": "WAV", b"fLaC": "FLAC", b"OggS": "OGG"}
BLOCK_SAMPLES = 1 << 18


class UploadLimits(Config):
    """The largest sound that comes in."""

    max_mib: PositiveFloat = 32.0
    """Size of the file, in MiB."""
    max_s: PositiveFloat = 120.0
    """Length of the sound, in seconds."""
    max_channels: PositiveInt = Field(default=8, le=64)
    """Channels; judges hear their mean."""
    min_rate_hz: PositiveInt = 8_000
    """Lowest sample rate."""
    max_rate_hz: PositiveInt = 96_000
    """Highest sample rate."""

    @property
    def max_bytes(self) -> int:
        """`max_mib` in bytes."""
        return int(self.max_mib * (1 << 20))


def decode_upload(data: bytes, limits: UploadLimits) -> tuple[Float32[np.ndarray, " samples"], int]:
    """Mono samples and their rate. Raises MediaError saying which limit, and what came."""
    if not data:
        raise MediaError("the upload is empty; send the bytes of a wav, flac or ogg file", fault="empty")
    if len(data) > limits.max_bytes:
        raise MediaError(f"the upload has {len(data)} bytes; at most {limits.max_mib:g} MiB come in", fault="length")
    kind = MAGIC.get(data[:4])
    if kind is None:
        raise MediaError("the upload is no wav, flac or ogg file (by its first four bytes); convert it first")
    require_complete(io.BytesIO(data), "the upload")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_header(file, limits)
            samples = _mono(file)
    except (soundfile.SoundFileError, ValueError, OSError) as error:
        raise MediaError(f"the upload cannot be decoded as {kind} ({_first_line(error)}); is it cut short?") from error
    if not np.isfinite(samples).all():
        raise MediaError(f"{int(np.count_nonzero(~np.isfinite(samples)))} samples of the upload are NaN or infinite", fault="nan")
    return samples, file.samplerate


def plain_name(name: str, *, what: str = "name") -> str:
    """A name that strangers chose, if it is one part of a path and can lead nowhere; raises MediaError otherwise."""
    if not is_plain_name(name):
        raise MediaError(f"{what} {name[:LONGEST_NAME]!r}: expected a plain name of at most {LONGEST_NAME} characters, without folders")
    return name


def _check_header(file: soundfile.SoundFile, limits: UploadLimits) -> None:
    if not limits.min_rate_hz <= file.samplerate <= limits.max_rate_hz:
        raise MediaError(
            f"the upload is sampled at {file.samplerate} Hz; expected {limits.min_rate_hz} to {limits.max_rate_hz} Hz", fault="rate"
        )
    if file.channels > limits.max_channels:
        raise MediaError(f"the upload has {file.channels} channels; at most {limits.max_channels} come in")
    if file.frames <= 0:
        raise MediaError("the upload holds no samples", fault="empty")
    if file.frames > limits.max_s * file.samplerate:
        raise MediaError(
            f"the upload lasts {file.frames / file.samplerate:.1f} s by its header; at most {limits.max_s:g} s come in", fault="length"
        )


def _mono(file: soundfile.SoundFile) -> Float32[np.ndarray, " samples"]:
    blocks = []
    left = file.frames
    while left > 0:
        block = file.read(min(left, BLOCK_SAMPLES), dtype="float32", always_2d=True)
        if not len(block):
            raise MediaError(f"the upload is cut short: its header promises {file.frames} samples, {left} are missing", fault="truncated")
        blocks.append(block.mean(axis=1, dtype=np.float32))
        left -= len(block)
    return np.concatenate(blocks)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
