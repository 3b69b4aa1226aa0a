"""Where calibration clips come from: folders of speech and noise, and espeak-ng voices, split by speaker and by noise."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32
from scipy import signal

from auricle.audio import AUDIO_SUFFIXES, audio_info, read_audio
from auricle.errors import EmptyCorpusError
from auricle.scenes.synth.music import STYLES, music
from auricle.scenes.synth.noises import NOISES
from auricle.scenes.synth.noises import noise as synthetic_noise
from auricle.scenes.synth.texts import talk
from auricle.scenes.synth.voice import languages, speak, variants

Part = Literal["train", "held-out"]
Audio = Float32[np.ndarray, " samples"]

RUMBLE_HZ = 70
"""Noises are high-passed here: some recordings are mostly rumble, and a ratio to that means nothing."""
HELD_OUT_SHARE = 0.15


@dataclass(frozen=True)
class Sources:
    """The material of one part. Speakers, voices, noise files and kinds of synthetic noise of the two parts have nothing in common."""

    speech: tuple[tuple[str, Path], ...]
    noise: tuple[Path, ...]
    noise_kinds: tuple[str, ...]
    voices: tuple[str, ...]
    synthetic_share: float
    sample_rate_hz: int = 16_000

    def speech_crop(self, samples: int, rng: np.random.Generator) -> Audio:
        """`samples` of one talker with enough speech in them, peaks at 0.5."""
        return self.talk_crop(samples, rng)[0]

    def talk_crop(self, samples: int, rng: np.random.Generator) -> tuple[Audio, str]:
        """As `speech_crop`, with the talker's name; of espeak-ng that of the variant, which is its speaker."""
        for _ in range(20):
            whole, talker = self._synthetic(samples, rng) if rng.random() < self.synthetic_share else self._recorded(rng)
            crop = _crop(whole, samples, rng)
            if np.sqrt(np.mean(crop**2)) > 0.5 * np.sqrt(np.mean(whole**2)) and np.abs(crop).max() > 1e-3:
                return (crop * (0.5 / np.abs(crop).max())).astype(np.float32), talker
        raise EmptyCorpusError("calibrate: 20 speech crops in a row were nearly silent; are the speech folders really speech?")

    def noise_crop(self, samples: int, rng: np.random.Generator) -> Audio:
        """`samples` of an interferer at unit power: one competing talker, babble, music, synthetic or recorded noise."""
        way = rng.random()
        if way < 0.12:
            audio = self.speech_crop(samples, rng)
        elif way < 0.20:
            audio = np.sum([self.speech_crop(samples, rng) for _ in range(int(rng.integers(3, 7)))], axis=0)
        elif way < 0.26:
            audio = music(rng, samples, self.sample_rate_hz, str(rng.choice(STYLES)))
        elif way < 0.46 or not self.noise:
            audio = synthetic_noise(str(rng.choice(self.noise_kinds)), rng, samples, self.sample_rate_hz)
        else:
            path = self.noise[int(rng.integers(len(self.noise)))]
            audio = _crop(_noise_file(path, self.sample_rate_hz), samples, rng)
        power = float(np.mean(audio**2))
        # A silent stretch of a recording is no noise.
        audio = audio / np.sqrt(power) if power > 1e-10 else synthetic_noise(self.noise_kinds[0], rng, samples, self.sample_rate_hz)
        return audio.astype(np.float32)

    def _recorded(self, rng: np.random.Generator) -> tuple[Audio, str]:
        # Speakers first, then files: one with many files must not crowd out the others.
        speakers = sorted({speaker for speaker, _ in self.speech})
        speaker = speakers[int(rng.integers(len(speakers)))]
        files = [path for name, path in self.speech if name == speaker]
        return _speech_file(files[int(rng.integers(len(files)))], self.sample_rate_hz), speaker

    def _synthetic(self, samples: int, rng: np.random.Generator) -> tuple[Audio, str]:
        text = talk(rng, 1 + samples // (3 * self.sample_rate_hz))
        voice = str(rng.choice(self.voices))
        utterance = speak(
            text,
            voice=voice,
            pitch=int(rng.integers(25, 80)),
            rate_wpm=int(rng.integers(130, 220)),
            tract_scale=float(rng.uniform(0.9, 1.15)),
            sample_rate_hz=self.sample_rate_hz,
        )
        return utterance.audio, voice.partition("+")[2]


def find_sources(
    part: Part,
    speech_folders: Sequence[Path],
    noise_folders: Sequence[Path],
    *,
    synthetic_share: float,
    seed: int,
    sample_rate_hz: int = 16_000,
) -> Sources:
    """The sources of one part. Without any speech folder all speech is synthetic. Raises EmptyCorpusError for a folder without audio."""
    speech = [(speaker_of(path), path) for path in _audio_files(speech_folders)]
    voices = [f"{language}+{variant}" for language in languages() for variant in variants()]
    speakers = _half(sorted({speaker for speaker, _ in speech}), part, seed)
    # Voices are split by variant, which is what a speaker is to espeak-ng.
    kept = set(_half(sorted(variants()), part, seed))
    return Sources(
        speech=tuple((speaker, path) for speaker, path in speech if speaker in set(speakers)),
        noise=tuple(_half(_audio_files(noise_folders), part, seed)),
        noise_kinds=tuple(_half(sorted(NOISES), part, seed)),
        voices=tuple(voice for voice in voices if voice.partition("+")[2] in kept),
        synthetic_share=synthetic_share if speech else 1.0,
        sample_rate_hz=sample_rate_hz,
    )


def speaker_of(path: Path) -> str:
    """The file's name up to the first `-` or `_`: the speaker in LibriSpeech (1183-124566-0000) and VCTK (p234_001)."""
    return re.split(r"[-_]", path.stem, maxsplit=1)[0]


def _half(items: Sequence, part: Part, seed: int) -> list:
    """Train or held-out items; a single item has to serve both."""
    order = np.random.default_rng([seed, len(items)]).permutation(len(items))
    held_out = max(1, round(HELD_OUT_SHARE * len(items))) if len(items) > 1 else 0
    if not held_out:
        return list(items)
    chosen = order[:held_out] if part == "held-out" else order[held_out:]
    return [items[k] for k in sorted(chosen)]


def _audio_files(folders: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        if not files:
            raise EmptyCorpusError(f"{folder}: no audio files ({', '.join(sorted(AUDIO_SUFFIXES))})")
        found += [path for path in files if audio_info(path).duration_s >= 1.0]
    return found


def _crop(audio: Audio, samples: int, rng: np.random.Generator) -> Audio:
    if len(audio) < samples:
        audio = np.pad(audio, (0, samples - len(audio))) if len(audio) > 0.6 * samples else np.resize(audio, samples)
    start = int(rng.integers(len(audio) - samples + 1))
    return audio[start : start + samples]


@lru_cache(maxsize=160)
def _speech_file(path: Path, sample_rate_hz: int) -> Audio:
    return read_audio(path, sample_rate_hz)


@lru_cache(maxsize=64)
def _noise_file(path: Path, sample_rate_hz: int) -> Audio:
    sections = signal.butter(4, RUMBLE_HZ, "high", fs=sample_rate_hz, output="sos")
    return signal.sosfilt(sections, read_audio(path, sample_rate_hz)).astype(np.float32)
