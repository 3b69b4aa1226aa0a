"""Clips without speech that a listener must not like: silence, noise, tones, and what gates and modulators make of noise."""

import numpy as np
from jaxtyping import Float32
from scipy import ndimage

from auricle.listeners.labels import Damage

WAYS = ("silence", "noise", "tones", "modulated", "gated")


def no_speech(
    speech: Float32[np.ndarray, " samples"],
    noise: Float32[np.ndarray, " samples"],
    rate: int,
    rng: np.random.Generator,
    way: str | None = None,
) -> tuple[Float32[np.ndarray, " samples"], tuple[Damage, ...]]:
    """A clip of `speech`'s length without speech, in one of WAYS; only the envelope of `speech` is used, and that only by `modulated`."""
    way = way or str(rng.choice(WAYS))
    samples = len(speech)
    noise = noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9)
    if way == "silence":
        audio = noise * 10 ** rng.uniform(-6, -4.5) if rng.random() < 0.5 else np.zeros(samples)
    elif way == "noise":
        audio = 0.05 * (noise if rng.random() < 0.7 else rng.standard_normal(samples))
    elif way == "tones":
        time_s = np.arange(samples) / rate
        audio = sum(0.05 * np.sin(2 * np.pi * f * time_s) for f in rng.uniform(60, 4000, int(rng.integers(1, 5))))
    elif way == "modulated":
        power = ndimage.uniform_filter1d(speech.astype(np.float64) ** 2, int(rng.uniform(0.005, 0.06) * rate))
        envelope = np.sqrt(np.maximum(power, 0.0))
        audio = envelope * (noise if rng.random() < 0.5 else rng.standard_normal(samples))
    else:
        power = ndimage.uniform_filter1d(noise.astype(np.float64) ** 2, int(0.05 * rate))
        audio = 0.05 * noise * (power > np.quantile(power, rng.uniform(0.5, 0.9)))
    return np.asarray(audio, dtype=np.float32), (Damage("no speech", 1.0, ((0.0, samples / rate),), {"way": float(WAYS.index(way))}),)
