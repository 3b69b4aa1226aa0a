"""A drawn talking face. It shows the lips' shapes, a head that moves, eyes that blink, light and camera noise, and nothing else.

What is heard reaches the picture only through `lip_track`: no level, no pitch, no voicing, nothing of the interferers. Head, eyes and
light move by draws of their own. Coordinates are pixels of a 224 x 224 picture, relative to the middle of the head, y downwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter1d

from auricle.scenes.synth.lips import Lips

SIZE_PX = 224
_SUBPIXEL_BITS = 4
_ACROSS = np.linspace(-1.0, 1.0, 19)  # along the mouth, corner to corner

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class FaceLook:
    """One person's looks. Colours are RGB, lengths in pixels."""

    skin: Colour
    hair: Colour
    lip: Colour
    iris: Colour
    shirt: Colour
    half_width: float
    half_height: float
    mouth_half_width: float
    mouth_gap: float
    lip_thickness: float
    mouth_y: float
    eye_distance: float
    eye_size: float
    hair_height: float
    long_hair: bool
    beard: float
    glasses: bool


def draw_look(rng: np.random.Generator) -> FaceLook:
    """A person drawn at random."""
    tone, warmth = rng.uniform(0.25, 1.0), rng.uniform(-8, 8)
    skin = np.array([70, 45, 30]) * (1 - tone) + np.array([238, 200, 175]) * tone + np.array([warmth, 0, -warmth])
    lip = skin * rng.uniform(0.62, 0.8) + np.array([60, 0, 12]) * rng.uniform(0.5, 1.0)
    hair = np.array([[25, 20, 18], [70, 45, 25], [120, 85, 45], [190, 160, 100], [150, 150, 150], [110, 50, 25]])[rng.integers(6)]
    half_height = rng.uniform(64, 74)
    return FaceLook(
        skin=_colour(skin),
        hair=_colour(hair * rng.uniform(0.8, 1.2)),
        lip=_colour(lip),
        iris=_colour(np.array([[90, 60, 35], [60, 90, 120], [70, 100, 60], [40, 30, 25]])[rng.integers(4)]),
        shirt=_colour(rng.uniform(20, 220, 3)),
        half_width=half_height * rng.uniform(0.7, 0.8),
        half_height=half_height,
        mouth_half_width=rng.uniform(22, 28),
        mouth_gap=rng.uniform(23, 31),
        lip_thickness=rng.uniform(4.0, 7.0),
        mouth_y=half_height * rng.uniform(0.5, 0.56),
        eye_distance=rng.uniform(20, 25),
        eye_size=rng.uniform(7, 9.5),
        hair_height=rng.uniform(0.35, 0.6),
        long_hair=bool(rng.random() < 0.4),
        beard=float(rng.uniform(0.3, 0.8)) if rng.random() < 0.25 else 0.0,
        glasses=bool(rng.random() < 0.25),
    )


def render_face(
    look: FaceLook, lips: Float[np.ndarray, "frames shape"], frame_rate_hz: float, rng: np.random.Generator
) -> Iterator[UInt8[np.ndarray, "224 224 3"]]:
    """RGB pictures of `look` whose mouth follows `lips` (rows are `Lips`); all else that moves is drawn from `rng`."""
    frames = len(lips)
    poses = _head_motion(rng, frames, frame_rate_hz)
    eyelids = _blinks(rng, frames, frame_rate_hz)
    gaze = 1.2 * _drift(rng, frames, frame_rate_hz, 0.4, 2)
    background = _background(rng)
    light = _light(rng)
    brightness = rng.uniform(0.75, 1.1) * (1 + 0.03 * _drift(rng, frames, frame_rate_hz, 1.0, 1)[:, 0])
    grain = rng.normal(0.0, rng.uniform(1.5, 5.0), (SIZE_PX + 64, SIZE_PX + 64)).astype(np.float32)
    corners = rng.integers(0, 64, (frames, 2))
    for k in range(frames):
        picture = background.copy()
        _draw_head(picture, look, poses[k], Lips(*lips[k]), eyelids[k], gaze[k])
        exposed = cv2.GaussianBlur(picture, (3, 3), 0.8).astype(np.float32) * (light * brightness[k])
        top, left = corners[k]
        exposed += grain[top : top + SIZE_PX, left : left + SIZE_PX, None]
        yield np.clip(exposed, 0, 255).astype(np.uint8)


def _draw_head(
    picture: np.ndarray, look: FaceLook, pose: Float[np.ndarray, "2 3"], lips: Lips, eyelid: float, gaze: Float[np.ndarray, "2"]
) -> None:
    pen = _Pen(picture, pose)
    width, height = look.half_width, look.half_height
    jaw_drop = 0.45 * look.mouth_gap * lips.opening
    angle = np.linspace(0, 2 * np.pi, 48)
    shade = _scaled(look.skin, 0.78)
    # Shoulders, neck and hair behind the head.
    pen.fill(np.array([[-95, 140], [-70, 92], [-20, 82], [20, 82], [70, 92], [95, 140]]), look.shirt)
    pen.fill(np.array([[-22, 45], [22, 45], [24, 92], [-24, 92]]), shade)
    if look.long_hair:
        pen.fill(_oval(angle, 0, 8, width * 1.22, height * 1.15), look.hair)
    for side in (-1, 1):
        pen.fill(_oval(angle, side * width * 1.0, 2, 7, 13), shade)
    outline = np.stack([np.sin(angle) * width, -np.cos(angle) * height], axis=1)
    below = outline[:, 1] > 0
    outline[below, 1] *= 1 + jaw_drop / height
    outline[below, 0] *= 1 - 0.12 * (outline[below, 1] / height) ** 2
    pen.fill(outline, look.skin)
    # The hair line: the upper part of the outline, closed by a shallow arc.
    top = outline[outline[:, 1] < -look.hair_height * height]
    top = top[np.argsort(top[:, 0])]
    arc = np.stack([top[::-1, 0] * 0.92, -look.hair_height * height - 10 * (1 - (top[::-1, 0] / width) ** 2)], axis=1)
    pen.fill(np.concatenate([top * [1.06, 1.08], arc]), look.hair)
    if look.beard:
        jaw = outline[outline[:, 1] > 0.25 * height]
        jaw = jaw[np.argsort(jaw[:, 0])]
        inner = np.stack([jaw[::-1, 0] * 0.8, np.full(len(jaw), look.mouth_y - 12.0)], axis=1)
        pen.fill(np.concatenate([jaw, inner]), _mixed(look.skin, look.hair, look.beard))
    _draw_eyes(pen, look, eyelid, gaze)
    pen.line(np.array([[-2, -8], [-5, 14], [-7, 20], [0, 23], [7, 20]]), shade, 2)
    pen.fill(_oval(angle[::4], -4, 21, 2.2, 1.4), _scaled(look.skin, 0.5))
    pen.fill(_oval(angle[::4], 4, 21, 2.2, 1.4), _scaled(look.skin, 0.5))
    _draw_mouth(pen, look, lips)


def _draw_eyes(pen: "_Pen", look: FaceLook, eyelid: float, gaze: Float[np.ndarray, "2"]) -> None:
    angle = np.linspace(0, 2 * np.pi, 20)
    size, open_part = look.eye_size, 1 - eyelid
    for side in (-1, 1):
        x, y = side * look.eye_distance, -look.half_height * 0.17
        if open_part > 0.15:
            pen.fill(_oval(angle, x, y, size, 0.5 * size * open_part), (235, 232, 228))
            pen.fill(_oval(angle, x + gaze[0], y + gaze[1] * 0.5, 0.42 * size, 0.42 * size * open_part), look.iris)
            pen.fill(_oval(angle, x + gaze[0], y + gaze[1] * 0.5, 0.2 * size, 0.2 * size * open_part), (12, 10, 10))
        lid = np.array([[-size, 1], [0, -0.55 * size * open_part + 1.5 * eyelid], [size, 1]])
        pen.line(lid + np.array([x, y]), _scaled(look.skin, 0.45), 1)
        brow = np.array([[-1.2 * size, 1], [0, -3], [1.2 * size, 1]])
        pen.line(brow + np.array([x, y - 1.35 * size]), _scaled(look.hair, 0.8), 3)
        if look.glasses:
            pen.line(_oval(angle, x, y, size * 1.75, size * 1.4), (30, 30, 35), 2)
    if look.glasses:
        pen.line(np.array([[-4, -look.half_height * 0.19], [4, -look.half_height * 0.19]]), (30, 30, 35), 2)


def _draw_mouth(pen: "_Pen", look: FaceLook, lips: Lips) -> None:
    half_width = look.mouth_half_width * (1 + 0.22 * lips.spread - 0.42 * lips.rounding - 0.06 * lips.opening)
    gap = look.mouth_gap * max(lips.opening, 0.0) * (1 - 0.2 * lips.rounding)
    thickness = look.lip_thickness * (1 + 0.4 * lips.rounding) * (1 - 0.55 * lips.press)
    # A round mouth is an ellipse, a spread one a pointed slit.
    arch = (1 - _ACROSS**2) ** (0.5 + 0.35 * (1 - lips.rounding))
    bow = arch * (1 - 0.3 * np.exp(-((_ACROSS / 0.16) ** 2)))
    x = _ACROSS * half_width
    y = look.mouth_y
    upper_inner = y - 0.3 * gap * arch
    lower_inner = y + 0.7 * gap * arch
    lower_thickness = 1.3 * thickness * (1 - 0.45 * lips.bite)
    # Shadow under the lower lip, then both lips as one patch, then what is seen between them.
    pen.fill(_band(x * 0.6, lower_inner + lower_thickness, lower_inner + lower_thickness + 3), _scaled(look.skin, 0.86))
    pen.fill(_band(x, upper_inner - thickness * bow, lower_inner + lower_thickness * arch), look.lip)
    pen.line(np.stack([x * 0.5, lower_inner + 0.6 * lower_thickness], axis=1)[5:-5], _mixed(look.lip, (255, 240, 240), 0.3), 1)
    if gap < 1.0:
        pen.line(np.stack([x, y + 0.2 * gap * arch], axis=1), _scaled(look.lip, 0.5), 1)
    else:
        pen.fill(_band(x * 0.93, upper_inner, lower_inner), (52, 18, 22))
        tongue = gap * (0.25 + 0.5 * lips.tongue) * np.maximum(arch - 0.25, 0)
        pen.fill(_band(x * 0.7, lower_inner - tongue, lower_inner), _mixed((150, 70, 75), (205, 110, 112), lips.tongue))
    shown = lips.teeth * min(0.45 * gap + 2.5 * lips.bite, 6.0)
    if shown > 0.4:
        pen.fill(_band(x * 0.78, upper_inner, upper_inner + shown * np.sqrt(arch)), (238, 234, 222))


class _Pen:
    """Draws shapes given in head coordinates into a picture, through the head's pose, with sub-pixel positions."""

    def __init__(self, picture: np.ndarray, pose: Float[np.ndarray, "2 3"]) -> None:
        self._picture, self._pose = picture, pose

    def fill(self, points: Float[np.ndarray, "points 2"], colour: Colour) -> None:
        cv2.fillPoly(self._picture, [self._placed(points)], colour, cv2.LINE_AA, _SUBPIXEL_BITS)

    def line(self, points: Float[np.ndarray, "points 2"], colour: Colour, width_px: int) -> None:
        cv2.polylines(self._picture, [self._placed(points)], False, colour, width_px, cv2.LINE_AA, _SUBPIXEL_BITS)

    def _placed(self, points: np.ndarray) -> np.ndarray:
        return np.rint((points @ self._pose[:, :2].T + self._pose[:, 2]) * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _head_motion(rng: np.random.Generator, frames: int, frame_rate_hz: float) -> Float[np.ndarray, "frames 2 3"]:
    sway = _drift(rng, frames, frame_rate_hz, 0.5, 4)
    scale = rng.uniform(0.92, 1.08) * (1 + 0.012 * sway[:, 0])
    roll = rng.normal(0, 0.04) + 0.025 * sway[:, 1]
    middle = np.array([SIZE_PX / 2, SIZE_PX * 0.47]) + rng.uniform(-7, 7, 2)
    cos, sin = scale * np.cos(roll), scale * np.sin(roll)
    shift = middle + 2.2 * sway[:, 2:]
    return np.stack([np.stack([cos, -sin, shift[:, 0]], axis=1), np.stack([sin, cos, shift[:, 1]], axis=1)], axis=1)


def _blinks(rng: np.random.Generator, frames: int, frame_rate_hz: float) -> Float[np.ndarray, " frames"]:
    at_s = (np.arange(frames) + 0.5) / frame_rate_hz
    closed = np.zeros(frames)
    start_s = rng.exponential(3.0)
    while start_s < frames / frame_rate_hz:
        closed = np.maximum(closed, np.clip(1.4 - np.abs(at_s - start_s) / 0.08, 0, 1))
        start_s += 0.3 + rng.exponential(3.0)
    return closed


def _background(rng: np.random.Generator) -> UInt8[np.ndarray, "224 224 3"]:
    corners = (rng.uniform(50, 190) + rng.uniform(-25, 25, 3) + rng.uniform(-40, 40, (3, 3, 1)) + rng.uniform(-10, 10, (3, 3, 3))).astype(
        np.float32
    )
    smooth = cv2.resize(corners, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)


def _light(rng: np.random.Generator) -> Float[np.ndarray, "224 224 1"]:
    slope_x, slope_y = rng.uniform(-0.22, 0.22), rng.uniform(-0.22, 0.1)
    axis = np.linspace(-1, 1, SIZE_PX, dtype=np.float32)
    return (1 + np.float32(slope_x) * axis[None, :] + np.float32(slope_y) * axis[:, None])[:, :, None]


def _drift(rng: np.random.Generator, frames: int, frame_rate_hz: float, bandwidth_hz: float, size: int) -> Float[np.ndarray, "frames size"]:
    """Smooth random walks about zero with unit spread."""
    width = frame_rate_hz / (2 * np.pi * bandwidth_hz)
    noise = gaussian_filter1d(rng.normal(size=(frames + int(8 * width), size)), width, axis=0)
    return noise[int(4 * width) :][:frames] * np.sqrt(2 * np.sqrt(np.pi) * width)


def _oval(angle: np.ndarray, x: float, y: float, half_width: float, half_height: float) -> Float[np.ndarray, "points 2"]:
    return np.stack([x + half_width * np.cos(angle), y + half_height * np.sin(angle)], axis=1)


def _band(x: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> Float[np.ndarray, "points 2"]:
    return np.concatenate([np.stack([x, upper], axis=1), np.stack([x, lower], axis=1)[::-1]])


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = np.clip(values, 0, 255).astype(float)
    return float(red), float(green), float(blue)


def _scaled(colour: Colour, factor: float) -> Colour:
    return _colour(np.array(colour) * factor)


def _mixed(first: Colour, second: Colour, share: float) -> Colour:
    return _colour(np.array(first) * (1 - share) + np.array(second) * share)
