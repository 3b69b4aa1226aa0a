"""Video files: probing, and decoding to grey pictures at a constant rate. Mouth crops are made by `auricle.mouth`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from auricle.containers import MAX_S, open_container
from auricle.errors import MediaError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".mpg", ".mpeg", ".avi", ".mkv", ".webm", ".ogv", ".ts", ".wmv", ".flv", ".3gp"})

MIN_SHARE_OF_LENGTH = 0.95
"""A file whose pictures end before this share of the length that its header promises counts as cut short."""
MAX_GAP_S = 10.0
"""Longest time that one picture may stand still; a damaged time stamp would otherwise ask for millions of pictures."""
DEFAULT_STEP_S = 0.04
MAX_RATE_HZ = 10_000.0


@dataclass(frozen=True)
class VideoInfo:
    """What a file's header says of its picture. duration_s is None where only decoding would tell."""

    frame_rate_hz: float
    width_px: int
    height_px: int
    duration_s: float | None
    has_sound: bool


def video_info(path: Path | str) -> VideoInfo:
    """Rate, size and length of a video, without decoding it. Raises MediaError where there is no picture to read."""
    with _opened(path) as (container, stream):
        return VideoInfo(_nominal_rate_hz(stream), stream.width, stream.height, _length_s(container, stream), bool(container.streams.audio))


def iterate_frames(path: Path | str, frame_rate_hz: float = 25.0) -> Iterator[UInt8[np.ndarray, "height width"]]:
    """Grey pictures at a constant rate, one after the other, so that a film need not fit in memory.

    Picture k is the one whose time stamp is nearest to k / frame_rate_hz seconds after the first: variable rates come out constant.
    Rotation marks are obeyed. Raises MediaError where the file is missing, empty, cut short, or cannot be decoded.
    """
    made, last, last_s, end_s = 0, None, 0.0, 0.0
    for frame, start_s, stop_s in _timed_frames(path):
        if stop_s > MAX_S:
            raise MediaError(f"{path}: lasts more than {MAX_S / 3600:.0f} h; cut it into parts", fault="length")
        if start_s - last_s > MAX_GAP_S:
            raise MediaError(f"{path}: no picture between {last_s:.2f} s and {start_s:.2f} s: damaged time stamps?", fault="unreadable")
        if last is not None:
            while made / frame_rate_hz < (last_s + start_s) / 2:
                yield _grey(last)
                made += 1
        last, last_s, end_s = frame, start_s, stop_s
    if last is None:
        raise MediaError(f"{path}: holds no picture that can be decoded", fault="empty")
    while made < max(1, round(end_s * frame_rate_hz)):
        yield _grey(last)
        made += 1


def read_frames(path: Path | str, frame_rate_hz: float = 25.0) -> UInt8[np.ndarray, "frames height width"]:
    """All of `iterate_frames` as one array."""
    return np.stack(list(iterate_frames(path, frame_rate_hz)))


@contextmanager
def _opened(path: Path | str) -> Iterator[tuple[InputContainer, VideoStream]]:
    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file", fault="missing")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: empty file (0 bytes)", fault="empty")
    try:
        with open_container(path) as container:
            # An attached picture (the cover of a piece of music) is a video stream to FFmpeg, and no film to us.
            films = [stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic]
            if not films:
                raise MediaError(f"{path}: has no video", fault="unreadable")
            if films[0].codec_context is None:
                raise MediaError(f"{path}: FFmpeg knows no decoder for its pictures; is it damaged?", fault="unreadable")
            # Many files are read side by side: one thread each.
            films[0].codec_context.thread_count = 1
            yield container, films[0]
    except (av.FFmpegError, UnicodeDecodeError) as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MediaError(f"{path}: cannot be decoded ({text}); is it cut short, or no video?", fault="unreadable") from error


def _timed_frames(path: Path | str) -> Iterator[tuple[VideoFrame, float, float]]:
    """Decoded frames with the seconds, counted from the first, at which each starts and ends."""
    with _opened(path) as (container, stream):
        step_s = 1 / _nominal_rate_hz(stream)
        size: tuple[int, int] | None = None
        first_s, count, end_s = None, 0, 0.0
        for frame in container.decode(stream):
            time_s = count * step_s if frame.time is None else frame.time
            first_s = time_s if first_s is None else first_s
            length_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else step_s
            # A damaged length would ask for the last picture millions of times.
            length_s = length_s if 0 < length_s < MAX_GAP_S else DEFAULT_STEP_S
            size = size or (frame.height, frame.width)
            if size != (frame.height, frame.width):
                raise MediaError(f"{path}: picture {count} is {frame.width}x{frame.height}, the first {size[1]}x{size[0]}: damaged?")
            count, end_s = count + 1, time_s - first_s + length_s
            yield frame, time_s - first_s, end_s
        promised_s = _length_s(container, stream) or 0.0
        # Not by the number of pictures: AVI counts those that were never there.
        if end_s < MIN_SHARE_OF_LENGTH * promised_s - 2 * step_s:
            raise MediaError(
                f"{path}: cut short: the header promises {promised_s:.2f} s of pictures, {end_s:.2f} s are there", fault="truncated"
            )


def _length_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # Matroska writes one length for all its streams. Other formats leave FFmpeg to guess it from the bit rate.
    if container.duration is not None and "matroska" in container.format.name:
        return container.duration / av.time_base
    return None


def _grey(frame: VideoFrame) -> UInt8[np.ndarray, "height width"]:
    picture = frame.to_ndarray(format="gray")
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90) % 4)) if frame.rotation else picture


def _nominal_rate_hz(stream: VideoStream) -> float:
    rate_hz = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 0)
    return rate_hz if 1 / MAX_GAP_S < rate_hz < MAX_RATE_HZ else 1 / DEFAULT_STEP_S
