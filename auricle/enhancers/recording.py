"""A user's audio or video file: its sound, all channels at its own rate, and the same file with other sound in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from av.container import InputContainer, OutputContainer
from jaxtyping import Float32

from auricle.audio import AUDIO_SUFFIXES, audio_info, read_audio, write_audio
from auricle.containers import MAX_SAMPLES, open_container
from auricle.errors import MediaError
from auricle.files import replacing

_BLOCK = 1024
# What players of each container expect; anything else takes AAC.
_CODECS = {".webm": "libopus", ".ogv": "libopus", ".opus": "libopus", ".mpg": "mp2", ".mpeg": "mp2", ".avi": "mp3"}
_OPUS_RATE_HZ = 48_000


@dataclass(frozen=True)
class Recording:
    """The sound of a file. Of a film, time zero is its first picture."""

    audio: Float32[np.ndarray, "channels samples"]
    sample_rate_hz: int
    has_picture: bool


def read_recording(path: Path | str) -> Recording:
    """Reads any audio file or film. Raises MediaError where the file is missing, empty, damaged, or has no sound."""
    path = Path(path)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        info = audio_info(path)
        rate_hz, channels, has_picture = info.sample_rate_hz, info.channels, False
        if channels * info.samples > MAX_SAMPLES:
            raise MediaError(
                f"{path}: {channels} channels of {info.duration_s / 3600:.1f} h are more than {MAX_SAMPLES} samples; cut it", fault="length"
            )
    else:
        rate_hz, channels, has_picture = _probe(path)
    audio = np.stack([read_audio(path, rate_hz, channel=channel) for channel in range(channels)])
    if audio.shape[1] == 0:
        raise MediaError(f"{path}: holds no samples", fault="empty")
    return Recording(audio, rate_hz, has_picture)


def write_recording(
    path: Path | str, audio: Float32[np.ndarray, "channels samples"], sample_rate_hz: int, picture_of: Path | str | None = None
) -> int:
    """Writes sound as an audio file, or as a film with the unchanged picture of `picture_of`. Returns how many samples were clipped.

    The suffix decides: what libsndfile writes (wav, flac, ogg, mp3...) holds sound only. Raises MediaError where the container cannot hold
    them.
    """
    path = Path(path)
    if not np.isfinite(audio).all():
        raise MediaError(f"{path}: refusing to write audio with NaN or infinite samples")
    if path.suffix.lower() in AUDIO_SUFFIXES and audio.shape[0] == 1:
        return write_audio(path, audio[0], sample_rate_hz)
    clipped = int(np.count_nonzero(np.abs(audio) > 1.0))
    audio = np.clip(audio, -1.0, 1.0)
    with replacing(path) as temporary:
        if path.suffix.lower() in AUDIO_SUFFIXES:
            soundfile.write(str(temporary), audio.T, sample_rate_hz)
        else:
            _write_container(path, temporary, audio, sample_rate_hz, picture_of)
    return clipped


def _probe(path: Path) -> tuple[int, int, bool]:
    """Rate, channels, and whether there is a film (a cover picture is none)."""
    if not path.is_file():
        raise MediaError(f"{path}: no such file", fault="missing")
    try:
        with open_container(path) as container:
            if not container.streams.audio:
                raise MediaError(f"{path}: has no sound to enhance", fault="silent")
            stream = container.streams.audio[0]
            return stream.rate, stream.channels, _film(container) is not None
    except av.FFmpegError as error:
        raise MediaError(f"{path}: cannot be decoded ({error.strerror}); is it an audio or video file?", fault="unreadable") from error


def _film(container: InputContainer) -> av.VideoStream | None:
    films = [stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic]
    return films[0] if films else None


def _write_container(
    path: Path, temporary: Path, audio: Float32[np.ndarray, "channels samples"], sample_rate_hz: int, picture_of: Path | str | None
) -> None:
    try:
        with av.open(str(temporary), "w") as output:
            if picture_of is None:
                output.mux([packet for _, packet in _sound(output, path, audio, sample_rate_hz)])
                return
            with open_container(picture_of, fflags="+genpts") as source:
                _copy_film(source, output, path, audio, sample_rate_hz)
    except (av.FFmpegError, ValueError) as error:
        detail = getattr(error, "strerror", None) or error
        raise MediaError(f"{path}: {path.suffix or 'no suffix'} cannot hold this picture and sound ({detail}); .mkv holds any") from error


def _copy_film(
    source: InputContainer, output: OutputContainer, path: Path, audio: Float32[np.ndarray, "channels samples"], sample_rate_hz: int
) -> None:
    """Packets of picture and sound in the order of their times, both from zero on."""
    film = _film(source)
    assert film is not None, "asked for the picture of a file without one"
    copy = output.add_stream_from_template(film)
    sound = _sound(output, path, audio, sample_rate_hz)
    waiting = next(sound, None)
    shift = film.start_time or 0
    for packet in source.demux(film):
        if packet.dts is None or packet.time_base is None:
            continue  # the demuxer's mark of the end
        now_s = float((packet.dts - shift) * packet.time_base)
        while waiting is not None and waiting[0] <= now_s:
            output.mux(waiting[1])
            waiting = next(sound, None)
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts -= shift
        packet.stream = copy
        output.mux(packet)
    while waiting is not None:
        output.mux(waiting[1])
        waiting = next(sound, None)


def _sound(
    output: OutputContainer, path: Path, audio: Float32[np.ndarray, "channels samples"], sample_rate_hz: int
) -> Iterator[tuple[float, av.Packet]]:
    """Encoded packets with their times in seconds. The stream is added at once, the packets are made as they are asked for."""
    codec = _CODECS.get(path.suffix.lower(), "aac")
    layout = {1: "mono", 2: "stereo"}.get(audio.shape[0])
    if layout is None:
        raise MediaError(f"{path}: {audio.shape[0]} channels of sound in a film; give --channels mono")
    rate_hz = _OPUS_RATE_HZ if codec == "libopus" else sample_rate_hz
    stream = output.add_stream(codec, rate=rate_hz, layout=layout)
    assert isinstance(stream, av.AudioStream)
    return _packets(stream, audio, sample_rate_hz, layout)


def _packets(
    stream: av.AudioStream, audio: Float32[np.ndarray, "channels samples"], sample_rate_hz: int, layout: str
) -> Iterator[tuple[float, av.Packet]]:
    for first in range(0, audio.shape[1], _BLOCK):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio[:, first : first + _BLOCK]), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = sample_rate_hz, first, Fraction(1, sample_rate_hz)
        for packet in stream.encode(frame):
            yield first / sample_rate_hz, packet
    for packet in stream.encode(None):
        yield audio.shape[1] / sample_rate_hz, packet
