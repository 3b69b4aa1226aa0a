"""What a network sees of a talking-face video: grey squares, cut around the mouth, or from the middle of the picture.

The face is looked for a few times a second by OpenCV's cascade (it comes in OpenCV's wheel; nothing is downloaded); the mouth is a fixed
part of the face box. Its path over time is smoothed and its size held constant, so that the detector's jitter does not look like speech.
Where no face is found often enough, in odd drawings or tight crops, one fixed box below the picture's centre is used.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter1d

from auricle.video import iterate_frames

Crop = Literal["mouth", "centre"]
"""mouth: a box that follows the mouth. centre: the middle of the picture, half as wide as its shorter side; for videos cut around a face
already, such as AVSEC-4's, where it is the central 112 of 224 pixels that the challenge's baseline was trained on."""

ALGORITHM = 1
"""Count up on any change of what the crops look like: caches are keyed by it."""

DETECTIONS_PER_S = 5.0
MIN_SHARE_FOUND = 0.25
SMOOTHING_S = 0.3
DETECTION_SIDE_PX = 240
# Where the mouth lies in the cascade's face box, and how large a crop around it, as shares of the box. Measured on GRID speakers.
MOUTH_HEIGHT_IN_FACE = 0.80
CROP_SIDE_IN_FACE = 0.56
# The same in a picture in which no face was found: AVSEC's videos are cut around the face, and so are most corpora's.
FALLBACK_HEIGHT_IN_PICTURE = 0.65
FALLBACK_SIDE_IN_PICTURE = 0.4


@dataclass(frozen=True)
class MouthCrops:
    """Crops at a constant rate, and whether they follow a face or are the fixed fallback box."""

    frames: UInt8[np.ndarray, "frames height width"]
    face_found: bool


def mouth_crops(path: Path | str, frame_rate_hz: float, size_px: int) -> MouthCrops:
    """The mouth in each picture of a video, as squares of size_px. Decodes twice (find, then cut), so that memory stays small.

    Raises MediaError as `iterate_frames` does.
    """
    every = max(1, round(frame_rate_hz / DETECTIONS_PER_S))
    faces: list[Float[np.ndarray, " 4"] | None] = []
    count, shape = 0, (0, 0)
    for count, picture in enumerate(iterate_frames(path, frame_rate_hz), start=1):
        shape = picture.shape
        if (count - 1) % every == 0:
            faces.append(find_face(picture))
    track = mouth_track(faces, every, count, frame_rate_hz)
    face_found = track is not None
    if track is None:
        height, width = shape
        track = np.tile([width / 2, height * FALLBACK_HEIGHT_IN_PICTURE, min(shape) * FALLBACK_SIDE_IN_PICTURE], (count, 1))
    crops = [cut(picture, box, size_px) for picture, box in zip(iterate_frames(path, frame_rate_hz), track, strict=True)]
    return MouthCrops(np.stack(crops), face_found)


def frame_crops(path: Path | str, frame_rate_hz: float, size_px: int, crop: Crop) -> MouthCrops:
    """`mouth_crops`, or squares of size_px from the middle of each picture (no face is looked for). Raises MediaError."""
    if crop == "mouth":
        return mouth_crops(path, frame_rate_hz, size_px)
    middle = (
        cut(picture, np.array([picture.shape[1] / 2, picture.shape[0] / 2, min(picture.shape) / 2]), size_px)
        for picture in iterate_frames(path, frame_rate_hz)
    )
    return MouthCrops(np.stack(list(middle)), face_found=False)


def find_face(picture: UInt8[np.ndarray, "height width"]) -> Float[np.ndarray, " 4"] | None:
    """The largest upright face: left, top, width, height in pixels; None where there is none."""
    scale = min(1.0, DETECTION_SIDE_PX / min(picture.shape))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    least = max(24, round(min(small.shape) / 5))
    # Dark or pale faces, in which little contrast is left, are found after local equalisation only; that in turn loses some others.
    for image in (small, _equalised(small)):
        found = _cascade().detectMultiScale(image, scaleFactor=1.1, minNeighbors=3, minSize=(least, least))
        if len(found):
            return np.asarray(max(found, key=lambda box: box[2]), dtype=float) / scale
    return None


def mouth_track(
    faces: Iterable[Float[np.ndarray, " 4"] | None], every: int, count: int, frame_rate_hz: float
) -> Float[np.ndarray, "frames 3"] | None:
    """The mouth box (centre x, centre y, side, in pixels) in each of `count` pictures, from faces found in every `every`-th.

    Faces far from the median one (a picture on the wall, a false alarm) do not count. None where too few are left.
    """
    found = [(index * every, *face) for index, face in enumerate(faces) if face is not None]
    looked = -(-count // every)
    if not found:
        return None
    time, left, top, width, height = np.array(found, dtype=float).T
    centres = np.stack([left + width / 2, top + height * MOUTH_HEIGHT_IN_FACE], axis=1)
    side = float(np.median(width))
    near = (np.abs(centres - np.median(centres, axis=0)) < side / 2).all(axis=1) & (np.abs(width / side - 1) < 0.5)
    if near.sum() < MIN_SHARE_FOUND * looked:
        return None
    dense = np.stack([np.interp(np.arange(count), time[near], axis[near]) for axis in centres.T], axis=1)
    smooth = gaussian_filter1d(dense, SMOOTHING_S * frame_rate_hz, axis=0, mode="nearest")
    return np.column_stack([smooth, np.full(count, float(np.median(width[near])) * CROP_SIDE_IN_FACE)])


def cut(picture: UInt8[np.ndarray, "height width"], box: Float[np.ndarray, " 3"], size_px: int) -> UInt8[np.ndarray, "{size_px} {size_px}"]:
    """The square `box` (centre x, centre y, side), moved inside the picture where it sticks out, scaled to size_px."""
    side = int(np.clip(round(box[2]), 1, min(picture.shape)))
    left = int(np.clip(round(box[0] - side / 2), 0, picture.shape[1] - side))
    top = int(np.clip(round(box[1] - side / 2), 0, picture.shape[0] - side))
    method = cv2.INTER_AREA if side >= size_px else cv2.INTER_LINEAR
    return cv2.resize(picture[top : top + side, left : left + side], (size_px, size_px), interpolation=method)


def _equalised(picture: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    return cv2.createCLAHE(clipLimit=4.0, tileGridSize=(4, 4)).apply(cv2.GaussianBlur(picture, (0, 0), 1.5))


_LOCAL = threading.local()


def _cascade() -> cv2.CascadeClassifier:
    """One classifier a thread: loading takes 20 ms, and detecting changes its state."""
    if not hasattr(_LOCAL, "cascade"):
        _LOCAL.cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"))
    return _LOCAL.cascade
