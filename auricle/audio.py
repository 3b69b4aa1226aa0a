"""Audio files in and out. What is done to audio in memory is in `auricle.signals` (rates, alignment), `auricle.levels` and
`auricle.spectrum`.

Audio in memory is mono float32 of shape [samples], nominally within [-1, 1].
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
import scipy
import soundfile
from av.container import InputContainer
from jaxtyping import Float, Float32

from auricle.containers import MAX_S, MAX_SAMPLES, open_container
from auricle.errors import MediaError
from auricle.files import replacing
from auricle.riff import require_complete
from auricle.signals import resample

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".au", ".opus"})
"""What libsndfile reads; any other suffix is taken for a container and decoded by FFmpeg."""

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
BLOCK_SAMPLES = 1 << 20
MAX_LEAD_S = 60.0
SILENCE_PEAK = 1e-4
"""A file whose loudest sample is below this (-80 dBFS, 3 steps of 16 bit) counts as silent."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says of its sound."""

    sample_rate_hz: int
    channels: int
    samples: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / self.sample_rate_hz


def audio_info(path: Path | str) -> AudioInfo:
    """Rate, channels and length of an audio file by its header, or of a video's sound by decoding it. Raises MediaError as `read_audio`."""
    path = _existing(path)
    if path.suffix.lower() not in AUDIO_SUFFIXES:
        samples, rate_hz, channels = _read_container(path, None)
        return AudioInfo(rate_hz, channels, len(samples))
    try:
        info = soundfile.info(str(path))
    except soundfile.SoundFileError as error:
        raise MediaError(f"{path}: not a readable audio file ({_first_line(error)}); is it cut short, or another format?") from error
    _require_rate(path, info.samplerate)
    if info.frames == 0:
        raise MediaError(f"{path}: holds no samples", fault="empty")
    with path.open("rb") as file:
        require_complete(file, str(path))
    return AudioInfo(info.samplerate, info.channels, info.frames)


def sound_duration_s(path: Path | str) -> float:
    """`audio_info(path).duration_s`."""
    return audio_info(path).duration_s


def read_audio(
    path: Path | str,
    sample_rate_hz: int,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    channel: int | None = None,
    reject_silence: bool = False,
) -> Float32[np.ndarray, " samples"]:
    """The sound of an audio file, or of a video, as mono float32 at `sample_rate_hz`.

    channel: the one to take; None takes their mean. start_s, duration_s: the part to read, cut at the file's end. Of a video with sound,
    time zero is the first picture. Raises MediaError where the file is missing, empty, cut short, not audio, has NaN, or is
    silent (if asked).
    """
    path = _existing(path)
    container = path.suffix.lower() not in AUDIO_SUFFIXES
    if container:
        mono, rate_hz, _ = _read_container(path, channel)
    else:
        mono, rate_hz = _read_file(path, channel, sample_rate_hz, start_s, duration_s)
    if not np.isfinite(mono).all():
        raise MediaError(f"{path}: {int(np.count_nonzero(~np.isfinite(mono)))} of {mono.size} samples are NaN or infinite", fault="nan")
    if reject_silence and (mono.size == 0 or np.abs(mono).max() < SILENCE_PEAK):
        raise MediaError(f"{path}: silent (no sample above {SILENCE_PEAK:g} of full scale)", fault="silent")
    if container or rate_hz != sample_rate_hz:
        # Resampled whole and cut afterwards, so that a crop equals the same part of the whole file.
        mono = _part(resample(mono, rate_hz, sample_rate_hz), sample_rate_hz, start_s, duration_s)
    return np.ascontiguousarray(mono, dtype=np.float32)


def write_audio(
    path: Path | str, audio: Float[np.ndarray, "..."], sample_rate_hz: int, *, encoding: Literal["pcm16", "float32"] = "pcm16"
) -> int:
    """Writes mono audio (wav; other suffixes as libsndfile knows them) under a temporary name and renames it. Returns the samples clipped.

    16-bit audio is rounded without dither and clipped at full scale, and reads back to the same integers; equal input gives equal bytes.
    Raises MediaError on empty input, NaN, or a shape that is not [samples].
    """
    audio = np.asarray(audio)
    if audio.ndim != 1 or audio.size == 0:
        raise MediaError(f"{path}: refusing to write audio of shape {audio.shape}; expected [samples] with at least one")
    # Also what single precision cannot hold.
    if not (np.abs(audio) <= np.finfo(np.float32).max).all():
        raise MediaError(f"{path}: refusing to write audio with NaN or infinite samples", fault="nan")
    data, clipped = audio.astype(np.float32), 0
    if encoding == "pcm16":
        steps = np.rint(audio.astype(np.float64) * 32768)
        # +1.0 itself is one step above the largest integer: not worth counting.
        clipped = int(np.count_nonzero((steps > 32768) | (steps < -32768)))
        data = np.clip(steps, -32768, 32767).astype(np.int16)
    with replacing(path) as temporary:
        if temporary.suffix.lower() == ".wav":
            # libsndfile stamps float wavs with the time of day, and scales 16 bit by 32767 on the way out but 32768 on the way in.
            scipy.io.wavfile.write(temporary, sample_rate_hz, data)
        else:
            soundfile.write(str(temporary), data, sample_rate_hz)
    return clipped


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file", fault="missing")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: empty file (0 bytes)", fault="empty")
    return path


def _read_file(
    path: Path, channel: int | None, sample_rate_hz: int, start_s: float, duration_s: float | None
) -> tuple[Float32[np.ndarray, " samples"], int]:
    """Mono samples and their rate: the wanted part where no resampling is to follow, else all."""
    info = audio_info(path)
    first, count = 0, -1
    if info.sample_rate_hz == sample_rate_hz:
        first = min(round(start_s * sample_rate_hz), info.samples)
        count = -1 if duration_s is None else min(round(duration_s * sample_rate_hz), info.samples - first)
    wanted = info.samples - first if count < 0 else count
    _require_bearable(path, wanted, info.sample_rate_hz)
    step = max(1, BLOCK_SAMPLES // info.channels)
    blocks: list[np.ndarray] = []
    try:
        # Block by block: a damaged header may promise more samples than there is memory for.
        with soundfile.SoundFile(str(path)) as file:
            file.seek(first)
            while (left := wanted - sum(len(block) for block in blocks)) > 0:
                block = file.read(min(left, step), dtype="float32", always_2d=True)
                if len(block) == 0:
                    done = wanted - left
                    raise MediaError(f"{path}: cut short: the header promises {wanted} samples, {done} could be decoded", fault="truncated")
                blocks.append(_one_channel(block, channel, path))
    except soundfile.SoundFileError as error:
        raise MediaError(f"{path}: cannot be decoded ({_first_line(error)}); is it cut short?") from error
    return (np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)), info.sample_rate_hz


def _read_container(path: Path, channel: int | None) -> tuple[Float32[np.ndarray, " samples"], int, int]:
    """Mono samples from the first picture on, their rate, and how many channels there were."""
    blocks: list[np.ndarray] = []
    form: tuple[str, str, int] | None = None
    start_s, channels, rate_hz, count = 0.0, 0, 0, 0
    try:
        with open_container(path) as container:
            if not container.streams.audio:
                raise MediaError(f"{path}: has no sound", fault="missing")
            stream = container.streams.audio[0]
            if stream.codec_context is None:
                raise MediaError(f"{path}: FFmpeg knows no decoder for its sound; is it damaged?")
            for frame in container.decode(stream):
                if form is None:
                    form = (frame.format.name, frame.layout.name, frame.sample_rate)
                    start_s, channels, rate_hz = frame.time or 0.0, frame.layout.nb_channels, frame.sample_rate
                    _require_rate(path, rate_hz)
                    # Packed, not planar: PyAV counts one plane too many where there are eight, and reads past the last.
                    converter = av.AudioResampler(format="flt", layout=frame.layout, rate=rate_hz)
                if form != (frame.format.name, frame.layout.name, frame.sample_rate):
                    raise MediaError(f"{path}: its sound changes from {form} to another form on the way; is it damaged?")
                for block in converter.resample(frame):
                    blocks.append(_one_channel(block.to_ndarray().reshape(-1, channels), channel, path))
                    count += len(blocks[-1])
                    _require_bearable(path, count, rate_hz)
            zero_s = _first_picture_s(container, start_s)
    except (av.FFmpegError, UnicodeDecodeError) as error:
        raise MediaError(f"{path}: cannot be decoded ({_first_line(error)}); is it cut short, or no audio or video file?") from error
    if not blocks:
        raise MediaError(f"{path}: holds no samples", fault="empty")
    lead = round((start_s - zero_s) * rate_hz)
    if abs(lead) > MAX_LEAD_S * rate_hz:
        raise MediaError(f"{path}: sound and picture start {abs(lead) / rate_hz:.1f} s apart: damaged time stamps?")
    samples = np.concatenate(blocks)
    return (np.pad(samples, (lead, 0)) if lead > 0 else samples[-lead:]), rate_hz, channels


def _first_picture_s(container: InputContainer, default_s: float) -> float:
    picture = container.streams.video[0] if container.streams.video else None
    if picture is None or picture.start_time is None or picture.time_base is None:
        return default_s
    return float(picture.start_time * picture.time_base)


def _require_rate(path: Path, rate_hz: int) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise MediaError(f"{path}: sample rate {rate_hz} Hz in the header; expected {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz", fault="rate")


def _require_bearable(path: Path, samples: int, rate_hz: int) -> None:
    """Before memory is spent on it: hours of silence fit into a few kilobytes."""
    if samples > min(MAX_SAMPLES, MAX_S * rate_hz):
        raise MediaError(
            f"{path}: lasts {samples / rate_hz / 3600:.1f} h or more at {rate_hz} Hz; more than {MAX_S / 3600:.0f} h, or {MAX_SAMPLES} "
            "samples, are not decoded: cut it into parts",
            fault="length",
        )


def _one_channel(samples: Float32[np.ndarray, "samples channels"], channel: int | None, path: Path) -> Float32[np.ndarray, " samples"]:
    if channel is None:
        return samples.mean(axis=1, dtype=np.float32)
    if channel >= samples.shape[1]:
        raise MediaError(f"{path}: asked for channel {channel}, but it has {samples.shape[1]} (counted from 0)")
    return samples[:, channel]


def _part(audio: np.ndarray, sample_rate_hz: int, start_s: float, duration_s: float | None) -> np.ndarray:
    first = round(start_s * sample_rate_hz)
    return audio[first:] if duration_s is None else audio[first : first + round(duration_s * sample_rate_hz)]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
