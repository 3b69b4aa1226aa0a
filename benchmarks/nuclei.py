"""Vowel nuclei against the true vowels of espeak-ng's speech: recall, precision, lengths.

    python -m benchmarks.nuclei --utterances 100 --part held-out

A nucleus is right when its middle lies in a vowel (20 ms of margin) that no other nucleus has; vowels in a row count as one. The detector's
settings were chosen on the voices of the part `train`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.gsrm.activity import ActivityConfig, speech_stretches
from auricle.gsrm.alignment import is_vowel
from auricle.gsrm.nuclei import NucleiConfig, Vowel, find_nuclei
from auricle.gsrm.praat import RATE_HZ, track
from auricle.listeners.sources import find_sources
from auricle.metrics.agreement import pearson
from auricle.scenes.synth.texts import talk
from auricle.scenes.synth.voice import Phoneme, speak

MARGIN_S = 0.02


@dataclass(frozen=True)
class Found:
    """One utterance's counts, and (found, true) lengths in seconds of the vowels that were found."""

    right: int
    nuclei: int
    vowels: int
    lengths: list[tuple[float, float]]


def main(argv: Sequence[str] | None = None) -> int:
    """Print one row for each signal-to-noise ratio (white noise)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nuclei", description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=100)
    parser.add_argument("--part", choices=("train", "held-out"), default="held-out", help="which voices (default: held-out)")
    parser.add_argument("--snr-db", type=float, nargs="*", default=[float("inf"), 20.0, 10.0, 0.0])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    voices = find_sources(arguments.part, [], [], synthetic_share=1.0, seed=0).voices
    print(
        "| SNR dB | vowels | recall [95 %] | precision [95 %] | length found / true, ms | Pearson of lengths |\n|---|---|---|---|---|---|"
    )
    for snr_db in arguments.snr_db:
        rng = np.random.default_rng(arguments.seed)
        found = [_utterance(voices, snr_db, rng) for _ in range(arguments.utterances)]
        print(_row(snr_db, found, arguments.seed), flush=True)
    return 0


def _utterance(voices: Sequence[str], snr_db: float, rng: np.random.Generator) -> Found:
    rate_wpm, pitch = int(rng.integers(130, 220)), int(rng.integers(25, 80))
    spoken = speak(talk(rng, 1), str(rng.choice(voices)), pitch=pitch, rate_wpm=rate_wpm, sample_rate_hz=RATE_HZ)
    noise = np.std(spoken.audio) * 10 ** (-snr_db / 20) * rng.standard_normal(len(spoken.audio))
    heard = track((spoken.audio + noise).astype(np.float32), RATE_HZ)
    nuclei = find_nuclei(heard, speech_stretches(heard, ActivityConfig()), NucleiConfig())
    vowels = true_vowels(spoken.phonemes)
    taken: dict[int, float] = {}
    for nucleus in nuclei:
        for place, vowel in enumerate(vowels):
            if place not in taken and vowel.start_s - MARGIN_S <= nucleus.centre_s <= vowel.end_s + MARGIN_S:
                taken[place] = nucleus.duration_s
                break
    return Found(len(taken), len(nuclei), len(vowels), [(length_s, vowels[place].duration_s) for place, length_s in taken.items()])


def true_vowels(phonemes: Sequence[Phoneme]) -> list[Vowel]:
    """The vowels, those in a row joined."""
    joined: list[Vowel] = []
    for phoneme in phonemes:
        if is_vowel(phoneme.symbol):
            if joined and abs(joined[-1].end_s - phoneme.start_s) < 1e-6:
                joined[-1] = Vowel(joined[-1].start_s, phoneme.end_s)
            else:
                joined.append(Vowel(phoneme.start_s, phoneme.end_s))
    return joined


def _row(snr_db: float, found: Sequence[Found], seed: int) -> str:
    lengths = np.array([pair for one in found for pair in one.lengths])
    counts = np.array([(one.right, one.nuclei, one.vowels) for one in found])
    recall, precision = (_ratio(counts[:, 0], counts[:, column], seed) for column in (2, 1))
    means = " / ".join(f"{1000 * value:.0f}" for value in lengths.mean(axis=0))
    return f"| {snr_db:g} | {counts[:, 2].sum()} | {recall} | {precision} | {means} | {pearson(lengths[:, 0], lengths[:, 1]):.2f} |"


def _ratio(top: np.ndarray, bottom: np.ndarray, seed: int) -> str:
    """A ratio of sums with its bootstrap interval over utterances."""
    rows = np.random.default_rng(seed).integers(len(top), size=(2_000, len(top)))
    low, high = np.quantile(top[rows].sum(axis=1) / bottom[rows].sum(axis=1), [0.025, 0.975])
    return f"{top.sum() / bottom.sum():.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
