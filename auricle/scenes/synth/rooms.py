"""Room responses: a direct path, the six first reflections of a box-shaped room, and a decaying tail.

First reflections by the image method (Allen and Berkley 1979, first order); the tail, from where reflections can no longer be told apart,
is Gaussian noise with the decay of RT60. The talker's direct path arrives at sample 0, so that sound and lips stay together.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_SPEED_M_S = 343.0
_EAR_M = 0.0875
_HEAD_SHADOW_DB = 5.0


@dataclass(frozen=True)
class Room:
    """A box-shaped room with a listener in it. Sizes in metres."""

    size_m: Float[np.ndarray, "3"]
    listener_m: Float[np.ndarray, "3"]
    rt60_s: float


def draw_room(rng: np.random.Generator, rt60_s: tuple[float, float]) -> Room:
    """A room of 15 to 150 cubic metres with the listener somewhere near its middle."""
    size = np.array([rng.uniform(2.5, 8), rng.uniform(2.5, 7), rng.uniform(2.3, 3.2)])
    return Room(size, size * np.array([*rng.uniform(0.35, 0.65, 2), 0.5]), float(rng.uniform(*rt60_s)))


def room_response(
    room: Room, rng: np.random.Generator, sample_rate_hz: int, *, distance_m: float, ears: bool = False
) -> Float[np.ndarray, "channels taps"]:
    """The response from a source at about `distance_m` to the microphone (channel 0) and, with `ears`, to the left and right ear.

    The direct path has gain 1 at the microphone. Drawn afresh for each source: its direction, and its tail.
    """
    source = _place(room, rng, distance_m)
    images = np.repeat(source[None, :], 7, axis=0)
    for wall in range(6):
        axis = wall // 2
        images[wall + 1, axis] = -source[axis] if wall % 2 == 0 else 2 * room.size_m[axis] - source[axis]
    # Sabine: the walls' mean reflectance that gives this RT60.
    volume, surface = room.size_m.prod(), 2 * (room.size_m * np.roll(room.size_m, 1)).sum()
    reflectance = np.sqrt(max(1 - 0.161 * volume / (surface * room.rt60_s), 0.05))
    gains = np.array([1.0, *[reflectance] * 6])
    taps = round(sample_rate_hz * (room.rt60_s + 0.02))
    response = np.zeros((3 if ears else 1, taps))
    direct_m = float(np.linalg.norm(source - room.listener_m))
    for channel, side in enumerate((0.0, -1.0, 1.0)[: len(response)]):
        for image, gain in zip(images, gains, strict=True):
            offset = image - room.listener_m
            distance = float(np.linalg.norm(offset))
            lateral = side * offset[0] / max(distance, 1e-6)
            # One ear is nearer by up to its distance from the middle of the head, the other in its shadow.
            delay_s = (distance - direct_m) / _SPEED_M_S + abs(side) * _EAR_M * (1 - lateral) / _SPEED_M_S
            at = round(delay_s * sample_rate_hz)
            if at < taps:
                response[channel, at] += gain * direct_m / distance * 10 ** (lateral * _HEAD_SHADOW_DB / 20)
        response[channel] += _tail(room, rng, sample_rate_hz, taps, direct_m, reflectance)
    return response


def _place(room: Room, rng: np.random.Generator, distance_m: float) -> Float[np.ndarray, "3"]:
    azimuth = rng.uniform(0, 2 * np.pi)
    step = distance_m * np.array([np.cos(azimuth), np.sin(azimuth), rng.uniform(-0.1, 0.1)])
    return np.clip(room.listener_m + step, 0.2, room.size_m - 0.2)


def _tail(
    room: Room, rng: np.random.Generator, sample_rate_hz: int, taps: int, direct_m: float, reflectance: float
) -> Float[np.ndarray, " taps"]:
    """Noise that decays by 60 dB in RT60; its energy against the direct path follows from the critical distance of the room."""
    time_s = np.arange(taps) / sample_rate_hz
    tail = rng.normal(size=taps) * 10 ** (-3 * time_s / room.rt60_s)
    tail[time_s < 0.012] = 0.0
    critical_m = 0.057 * np.sqrt(room.size_m.prod() / room.rt60_s)
    energy = reflectance**2 * (direct_m / critical_m) ** 2
    return tail * np.sqrt(energy / max((tail**2).sum(), 1e-12))
