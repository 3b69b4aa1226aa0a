"""Named acoustic conditions: which noises, rooms and microphones a corpus has. Pretrain on one and adapt to another."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import signal

from auricle.errors import ConfigError


@dataclass(frozen=True)
class Condition:
    """One acoustic condition.

    noises: names of `noises.NOISES`, or "babble". music: a style. rt60_s, target_m, interferer_m: ranges of reverberation time and
    distances. band_hz: what the microphone passes. tilt_db: its gain at 8 kHz against 1 kHz, rising steadily. mu_law: 8-bit companding,
    whose error counts as interference.
    """

    name: str
    about: str
    noises: tuple[str, ...]
    music: str
    rt60_s: tuple[float, float]
    target_m: tuple[float, float]
    interferer_m: tuple[float, float]
    band_hz: tuple[float, float] | None = None
    tilt_db: float = 0.0
    mu_law: bool = False


CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition(
            name="A",
            about="a furnished room: steady noises, babble, pads of chords; full band",
            noises=("hiss", "fan", "hum", "traffic", "hall", "babble"),
            music="pads",
            rt60_s=(0.1, 0.25),
            target_m=(0.4, 0.8),
            interferer_m=(0.8, 2.5),
        ),
        Condition(
            name="B",
            about="a bare hall: impulsive and tonal noises, plucked music, longer echoes, a dull microphone (120 Hz - 5.5 kHz)",
            noises=("rain", "clicks", "engine", "wind", "drill", "crackle", "beeps"),
            music="plucks",
            rt60_s=(0.3, 0.6),
            target_m=(0.5, 1.2),
            interferer_m=(1.0, 3.0),
            band_hz=(120.0, 5500.0),
            tilt_db=-6.0,
        ),
        Condition(
            name="telephone",
            about="the noises of A over a telephone line: 300 Hz - 3.4 kHz, mu-law",
            noises=("hiss", "fan", "hum", "traffic", "hall", "babble"),
            music="pads",
            rt60_s=(0.1, 0.25),
            target_m=(0.1, 0.4),
            interferer_m=(0.8, 2.5),
            band_hz=(300.0, 3400.0),
            mu_law=True,
        ),
    )
}


def find_condition(name: str) -> Condition:
    """The condition of that name. Raises ConfigError."""
    if name not in CONDITIONS:
        known = "; ".join(f"{condition.name} ({condition.about})" for condition in CONDITIONS.values())
        raise ConfigError(f"condition {name!r}: unknown; choose one of {known}")
    return CONDITIONS[name]


def microphone(
    audio: Float[np.ndarray, "channels samples"], condition: Condition, sample_rate_hz: int
) -> Float[np.ndarray, "channels samples"]:
    """What the condition's microphone makes of a sound: linear, so that sums stay sums."""
    if condition.band_hz:
        audio = signal.sosfilt(signal.butter(4, condition.band_hz, "bandpass", fs=sample_rate_hz, output="sos"), audio, axis=-1)
    if condition.tilt_db:
        edges_hz = np.array([0.0, 1000.0, sample_rate_hz / 2])
        gains_db = np.array([0.0, 0.0, condition.tilt_db * (sample_rate_hz / 2 - 1000) / 7000])
        taps = signal.firwin2(65, edges_hz, 10 ** (gains_db / 20), fs=sample_rate_hz)
        audio = signal.fftconvolve(audio, taps[None, :], mode="same", axes=-1)
    return audio


def companded(audio: Float[np.ndarray, "channels samples"], mu: float = 255.0, bits: int = 8) -> Float[np.ndarray, "channels samples"]:
    """`audio` after mu-law companding (ITU-T G.711's law, in closed form), relative to its own peak."""
    peak = np.abs(audio).max() + 1e-12
    squeezed = np.sign(audio) * np.log1p(mu * np.abs(audio) / peak) / np.log1p(mu)
    steps = 2 ** (bits - 1) - 1
    squeezed = np.rint(squeezed * steps) / steps
    return peak * np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log1p(mu)) / mu
