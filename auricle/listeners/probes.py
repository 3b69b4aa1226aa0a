"""How a listener is fooled: sounds that it should rate low or high, whatever it was trained on, and what it picks among candidates.

For the report that `auricle calibrate` writes of the weights that it just trained, in transformers, on held-out speakers and noises: means
for people to read. `auricle.checking` asks any judge by the path that rewards (panel, engine, deadlines), and passes or fails it. What both
play comes from one place: `nonspeech`, `suppression`, `degradations`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from scipy import signal

from auricle.errors import MetricError
from auricle.levels import normalise_loudness
from auricle.listeners.asking import expected_scores, features_of_audio, score_of_sound
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import LUFS
from auricle.listeners.degradations import scaled_to_ratio
from auricle.listeners.nonspeech import no_speech
from auricle.listeners.questions import question
from auricle.listeners.sources import Sources
from auricle.listeners.suppression import suppress
from auricle.metrics.intrusive import pesq_wb

Audio = Float32[np.ndarray, " samples"]
RATE_HZ = 16_000
CANDIDATES = 12


@dataclass(frozen=True)
class ProbeRow:
    """One kind of sound: the listener's mean score, its spread over clips, and what a sane listener does."""

    name: str
    mean: float
    spread: float
    wanted: str


@dataclass(frozen=True)
class BestOf:
    """Mean PESQ of mixtures through spoiled masks: the mixture, a random candidate, the one the listener likes best, the true best."""

    scenes: int
    noisy: float
    random: float
    picked: float
    oracle: float


def probe_table(listener: Listener, sources: Sources, clips: int = 16, seed: int = 0) -> list[ProbeRow]:
    """The probes on `clips` crops of held-out speech, each at the fixed loudness that judges use."""
    asked = question("score")
    rows = []
    for name, (make, wanted) in PROBES.items():
        scores = []
        for index in range(clips):
            rng = np.random.default_rng([seed, index])
            speech = sources.speech_crop(int(listener.clip_s * RATE_HZ), rng)
            noise = sources.noise_crop(len(speech), rng)
            scores.append(score_of_sound(listener, make(speech, noise, rng), RATE_HZ, asked))
        rows.append(ProbeRow(name, float(np.mean(scores)), float(np.std(scores)), wanted))
    return rows


def attenuation_shift(listener: Listener, sources: Sources, clips: int = 16, seed: int = 0) -> float:
    """By how much the score moves when the same clip comes 20 dB lower, without the loudness normalisation that judges apply first."""
    asked, shifts = question("score"), []
    for index in range(clips):
        rng = np.random.default_rng([seed, index])
        audio = normalise_loudness(sources.speech_crop(int(listener.clip_s * RATE_HZ), rng), RATE_HZ, LUFS)
        before, after = (
            getattr(verdict, "score", np.nan)
            for verdict in expected_scores(listener, asked, *features_of_audio(listener, [audio, 0.1 * audio]))
        )
        shifts.append(after - before)
    return float(np.mean(shifts))


def best_of(listener: Listener, sources: Sources, scenes: int = 16, seed: int = 0) -> BestOf:
    """Of twelve random masks on a noisy scene the listener picks one: what that is worth in PESQ."""
    asked, table = question("score"), []
    for index in range(scenes):
        rng = np.random.default_rng([seed, 1, index])
        speech = sources.speech_crop(int(listener.clip_s * RATE_HZ), rng)
        noise = scaled_to_ratio(sources.noise_crop(len(speech), rng), speech, rng.uniform(-3, 10))
        candidates = [suppress(speech, noise, RATE_HZ, rng).audio for _ in range(CANDIDATES)]
        heard = [normalise_loudness(audio, RATE_HZ, LUFS) for audio in candidates]
        scores = [getattr(verdict, "score", -np.inf) for verdict in expected_scores(listener, asked, *features_of_audio(listener, heard))]
        try:
            pesq = [pesq_wb(speech, audio, RATE_HZ) for audio in (speech + noise, *candidates)]
        except MetricError:
            continue
        table.append((pesq[0], float(np.mean(pesq[1:])), pesq[1 + int(np.argmax(scores))], max(pesq[1:])))
    means = np.mean(table, axis=0) if table else np.full(4, np.nan)
    return BestOf(len(table), *(float(value) for value in means))


def _low_pass(cut_hz: float) -> Callable[[Audio, Audio, np.random.Generator], Audio]:
    sections = signal.butter(8, cut_hz, fs=RATE_HZ, output="sos")
    return lambda speech, noise, rng: signal.sosfilt(sections, speech).astype(np.float32)


def _random_phase(speech: Audio, noise: Audio, rng: np.random.Generator) -> Audio:
    spectrum = signal.stft(speech, nperseg=512, noverlap=256)[2]
    turned = np.abs(spectrum) * np.exp(1j * rng.uniform(-np.pi, np.pi, spectrum.shape))
    return signal.istft(turned, nperseg=512, noverlap=256)[1][: len(speech)].astype(np.float32)


def _without_speech(way: str) -> Callable[[Audio, Audio, np.random.Generator], Audio]:
    return lambda speech, noise, rng: no_speech(speech, noise, RATE_HZ, rng, way)[0]


PROBES: dict[str, tuple[Callable[[Audio, Audio, np.random.Generator], Audio], str]] = {
    "clean speech": (lambda speech, noise, rng: speech, "high"),
    "noisy, 20 dB": (lambda speech, noise, rng: speech + scaled_to_ratio(noise, speech, 20.0), "below clean"),
    "noisy, 0 dB": (lambda speech, noise, rng: speech + scaled_to_ratio(noise, speech, 0.0), "low"),
    "speech backwards": (lambda speech, noise, rng: speech[::-1].copy(), "low"),
    "random phase": (_random_phase, "low"),
    "low-pass 3.5 kHz": (_low_pass(3500.0), "middle"),
    "low-pass 1 kHz": (_low_pass(1000.0), "low"),
    "silence": (lambda speech, noise, rng: np.zeros_like(speech), "lowest"),
    "noise alone": (_without_speech("noise"), "lowest"),
    "tones": (_without_speech("tones"), "lowest"),
    "speech-modulated noise": (_without_speech("modulated"), "lowest"),
    "hard gate on noise": (_without_speech("gated"), "lowest"),
}
"""Makers of (speech, noise, generator), and what a sane listener does. Another talker's clean speech cannot be told without a reference."""
