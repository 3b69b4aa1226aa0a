"""Synthetic noises. Each maker takes (rng, samples, sample_rate_hz) and returns a sound of unit level; no two draws are alike."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy import signal
from scipy.ndimage import gaussian_filter1d

Sound = Float[np.ndarray, " samples"]


def noise(kind: str, rng: np.random.Generator, samples: int, sample_rate_hz: int) -> Sound:
    """A noise of one of `NOISES`, with root mean square 1."""
    audio = NOISES[kind](rng, samples, sample_rate_hz)
    return audio / np.sqrt(np.mean(audio**2) + 1e-12)


def coloured(rng: np.random.Generator, samples: int, sample_rate_hz: int, slope: float) -> Sound:
    """Gaussian noise whose power falls as 1 / frequency**slope above 40 Hz: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.normal(size=samples))
    frequency_hz = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    shaped = np.fft.irfft(spectrum * np.maximum(frequency_hz, 40.0) ** (-slope / 2), samples)
    return shaped / shaped.std()


def _hiss(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    return coloured(rng, samples, rate, rng.uniform(0.0, 1.2))


def _fan(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    blade = 1 + rng.uniform(0.1, 0.5) * np.sin(_phase(rng, samples, rate, rng.uniform(8, 25), 0.01))
    return coloured(rng, samples, rate, rng.uniform(0.8, 1.6)) * blade + rng.uniform(0.1, 0.6) * _hum(rng, samples, rate)


def _hum(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    audio = _harmonics(rng, _phase(rng, samples, rate, rng.choice([50.0, 60.0, 100.0, 120.0]), 0.001), 30, rng.uniform(0.5, 1.2))
    return audio / audio.std() + 0.1 * coloured(rng, samples, rate, 1.0)


def _traffic(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    swell = np.exp(0.8 * _drift(rng, samples, rate, 0.6))
    return coloured(rng, samples, rate, rng.uniform(1.2, 2.0)) * swell + 0.1 * coloured(rng, samples, rate, 0.5)


def _hall(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    """A band of noise that comes and goes, like many things at once far away."""
    low_hz = rng.uniform(150, 600)
    band = signal.butter(2, [low_hz, low_hz * rng.uniform(2, 6)], "bandpass", fs=rate, output="sos")
    return signal.sosfilt(band, rng.normal(size=samples)) * np.exp(0.5 * _drift(rng, samples, rate, 3.0))


def _rain(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    drops = _strokes(rng, samples, rate, rng.uniform(40, 200), (1500, 6500), (0.001, 0.006))
    return drops / (drops.std() + 1e-9) + rng.uniform(0.2, 0.8) * coloured(rng, samples, rate, 0.3)


def _clicks(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    return _strokes(rng, samples, rate, rng.uniform(4, 12), (300, 4000), (0.004, 0.03)) + 0.002 * rng.normal(size=samples)


def _engine(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    phase = _phase(rng, samples, rate, rng.uniform(30, 110), 0.12)
    roar = coloured(rng, samples, rate, 1.0) * (0.5 + 0.5 * np.sin(phase)) ** 2
    tone = _harmonics(rng, phase, 40, rng.uniform(0.3, 0.9))
    return tone / tone.std() + rng.uniform(0.3, 1.0) * roar


def _wind(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    gust = np.exp(1.1 * _drift(rng, samples, rate, 1.5))
    whistle = signal.sosfilt(signal.butter(2, [400, rng.uniform(700, 1500)], "bandpass", fs=rate, output="sos"), rng.normal(size=samples))
    return gust * coloured(rng, samples, rate, 1.8) + rng.uniform(0.3, 1.5) * gust**2 * whistle


def _drill(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    tone = _harmonics(rng, _phase(rng, samples, rate, rng.uniform(150, 420), 0.04), 30, rng.uniform(0.1, 0.7))
    running = (_drift(rng, samples, rate, 0.8) > -0.6).astype(float)
    smooth = np.convolve(running, np.ones(rate // 50) / (rate // 50), "same")
    return (tone / tone.std() + 0.5 * coloured(rng, samples, rate, 0.0)) * smooth + 0.01 * rng.normal(size=samples)


def _crackle(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    return _strokes(rng, samples, rate, rng.uniform(15, 60), (800, 7000), (0.0003, 0.002)) + 0.01 * rng.normal(size=samples)


def _beeps(rng: np.random.Generator, samples: int, rate: int) -> Sound:
    time_s = np.arange(samples) / rate + rng.uniform(0, 2)
    period_s = rng.uniform(0.25, 0.9)
    gate = signal.sosfiltfilt(signal.butter(1, 60, fs=rate, output="sos"), (time_s % period_s < 0.5 * period_s).astype(float))
    second = rng.choice([1.0, 1.25, 1.5])
    pitch_hz = rng.uniform(700, 2400) * np.where((time_s // period_s) % 2 < 1, 1.0, second)
    tone = np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate)
    return gate * (tone + 0.3 * np.tanh(3 * tone)) + 0.02 * coloured(rng, samples, rate, 1.0)


NOISES: dict[str, Callable[[np.random.Generator, int, int], Sound]] = {
    "hiss": _hiss, "fan": _fan, "hum": _hum, "traffic": _traffic, "hall": _hall, "rain": _rain, "clicks": _clicks, "engine": _engine,
    "wind": _wind, "drill": _drill, "crackle": _crackle, "beeps": _beeps,
}  # fmt: skip


def _phase(rng: np.random.Generator, samples: int, rate: int, frequency_hz: float, wobble: float) -> Sound:
    """Phase of a tone whose frequency drifts by a share of `wobble`, in radians."""
    track_hz = frequency_hz * (1 + wobble * _drift(rng, samples, rate, 2.0))
    return rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.cumsum(track_hz) / rate


def _harmonics(rng: np.random.Generator, phase: Sound, count: int, tilt: float) -> Sound:
    """A sum of harmonics whose gains fall as 1 / number**tilt; they stay below about 4 kHz because `count` does."""
    gains = rng.uniform(0.2, 1.0, count) / np.arange(1, count + 1) ** tilt
    # One complex rotation a harmonic instead of one sine: five times as quick.
    turn, power, audio = np.exp(1j * phase), np.ones(len(phase), complex), np.zeros(len(phase))
    for gain in gains:
        power = power * turn
        audio += gain * power.imag
    return audio


def _strokes(
    rng: np.random.Generator, samples: int, rate: int, per_s: float, pitch_hz: tuple[float, float], decay_s: tuple[float, float]
) -> Sound:
    """Short decaying tones at random times: drops, keys, knocks."""
    audio = np.zeros(samples)
    for at in rng.integers(0, samples, rng.poisson(per_s * samples / rate) + 1):
        decay = np.exp(rng.uniform(*np.log(decay_s)))
        count = min(round(6 * decay * rate) + 2, samples - at)
        time_s = np.arange(count) / rate
        frequency_hz = np.exp(rng.uniform(*np.log(pitch_hz)))
        audio[at : at + count] += (
            rng.lognormal(0, 0.7) * np.exp(-time_s / decay) * np.sin(2 * np.pi * frequency_hz * time_s + rng.uniform(0, 6.28))
        )
    return audio


def _drift(rng: np.random.Generator, samples: int, rate: int, bandwidth_hz: float) -> Sound:
    """A smooth random walk about zero with a spread of about one, computed at 100 Hz and interpolated."""
    knots = samples * 100 // rate + 2
    width = 100 / (2 * np.pi * bandwidth_hz)
    margin = int(4 * width)
    smooth = gaussian_filter1d(rng.normal(size=knots + 2 * margin), width)[margin : margin + knots] * np.sqrt(2 * np.sqrt(np.pi) * width)
    return np.interp(np.arange(samples) / rate * 100, np.arange(knots), smooth)
