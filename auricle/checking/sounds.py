"""The sounds that judges are checked with: speech in graded damage, at other levels, in other languages, and what is no speech at all.

All of it follows from (seed, number of the utterance): equal settings give equal sounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from auricle.checking.config import CheckConfig
from auricle.checking.languages import sentence
from auricle.listeners.degradations import degrade
from auricle.listeners.labels import Damage
from auricle.listeners.nonspeech import no_speech
from auricle.listeners.sources import Sources, find_sources
from auricle.scenes.synth.voice import speak

Audio = Float32[np.ndarray, " samples"]
RATE_HZ = 16_000
CLEAN, LIGHT, HEAVY = "clean", "light", "heavy"
SEVERITIES = {LIGHT: (0.2, 0.35), HEAVY: (0.7, 1.0)}
"""Severities (0-1, auricle.listeners.labels) of damage that is plainly audible, and of damage that nobody can miss."""
LIGHT_SUPPRESSION = (0.2, 0.5)
"""A mask that took less than this took nothing."""
PLANTED_KINDS = ("drop-outs", "noise", "clipping", "correlated noise")
PLANTED_SHARE = (0.05, 0.6)
"""Least and largest share of a clip that a planted artefact covers: less is hard to mark, more is the whole clip."""
NO_SPEECH_WAYS = ("noise", "tones", "modulated", "gated")
STEP_DB = 6.0
DRAWS = 20
ENGLISH = "en-us"


@dataclass(frozen=True)
class Sound:
    """One sound. group: the probe it is for (anchor, louder, quieter, silence, no speech, overdriven, language, spans); kind: the artefact,
    the language or the way; level: clean, light, heavy or none; utterance: sounds of one number share their speech. reference: the clean
    speech; spans: where the artefact is.
    """

    group: str
    kind: str
    level: str
    utterance: int
    audio: Audio
    reference: Audio
    spans: tuple[tuple[float, float], ...] = ()

    @property
    def name(self) -> str:
        """Its own name, which is a file's name too."""
        return "_".join(part.replace(" ", "-") for part in (self.group, self.kind, self.level, f"{self.utterance:02d}") if part)


def short_sounds(config: CheckConfig) -> list[Sound]:
    """Those of the check before a run: anchors, levels, silence and a few clips without speech."""
    makers = _Makers(config)
    utterances = range(config.short_clips)
    kinds = config.short_artefacts
    sounds = [sound for number in utterances for sound in makers.anchors(number, kinds)]
    sounds += [sound for number in utterances for sound in makers.levels(number, kinds)]
    sounds += [makers.without_speech(number, "silence") for number in range(2)]
    return sounds + [makers.without_speech(number, way) for number, way in enumerate(NO_SPEECH_WAYS)]


def one_sound(config: CheckConfig) -> Sound:
    """The first of them, for asking a judge what it is."""
    return _Makers(config).anchors(0, ())[0]


def whole_sounds(config: CheckConfig) -> list[Sound]:
    """Those of the whole check."""
    makers = _Makers(config)
    utterances = range(config.clips)
    kinds = config.artefacts
    sounds = [sound for number in utterances for sound in makers.anchors(number, kinds)]
    sounds += [sound for number in utterances for sound in makers.levels(number, kinds)]
    sounds += [makers.without_speech(number, "silence") for number in utterances]
    sounds += [makers.without_speech(number, way) for number in range(max(2, config.clips // 3)) for way in NO_SPEECH_WAYS]
    sounds += [makers.overdriven(number) for number in utterances]
    speakers = range(max(2, config.clips // 4))
    sounds += [sound for number in speakers for language in (ENGLISH, *config.languages) for sound in makers.language(number, language)]
    return sounds + [makers.planted(number, PLANTED_KINDS[number % len(PLANTED_KINDS)]) for number in range(2 * config.clips)]


class _Makers:
    """Makers of sounds from one set of sources."""

    def __init__(self, config: CheckConfig) -> None:
        self._config, self._samples = config, round(config.clip_s * RATE_HZ)
        self._sources: Sources = find_sources("held-out", config.speech, config.noise, synthetic_share=0.0, seed=config.seed)
        self._variants = sorted({voice.partition("+")[2] for voice in self._sources.voices})
        self._material: dict[int, tuple[Audio, Audio]] = {}
        self._made: dict[tuple[int, str, str], tuple[Audio, tuple[Damage, ...]]] = {}

    def anchors(self, number: int, kinds: Sequence[str]) -> list[Sound]:
        """One utterance clean, and in two strengths of every artefact."""
        speech, _ = self._pair(number)
        sounds = [Sound("anchor", "", CLEAN, number, self._inaudible(speech, number), speech)]
        for kind in kinds:
            for level in SEVERITIES:
                audio, damages = self._graded(number, kind, level)
                sounds.append(Sound("anchor", kind, level, number, audio, speech, damages[0].spans))
        return sounds

    def levels(self, number: int, kinds: Sequence[str]) -> list[Sound]:
        """The light anchor of one artefact, 6 dB up and 6 dB down."""
        kind = kinds[number % len(kinds)]
        speech, _ = self._pair(number)
        audio, _ = self._graded(number, kind, LIGHT)
        gain = np.float32(10 ** (STEP_DB / 20))
        return [Sound("louder", kind, LIGHT, number, audio * gain, speech), Sound("quieter", kind, LIGHT, number, audio / gain, speech)]

    def without_speech(self, number: int, way: str) -> Sound:
        """Nothing that could be understood."""
        speech, noise = self._pair(number)
        audio, _ = no_speech(speech, noise, RATE_HZ, self._rng(number, way), way)
        group = "silence" if way == "silence" else "no speech"
        return Sound(group, "" if way == "silence" else way, "", number, audio, speech)

    def overdriven(self, number: int) -> Sound:
        """Speech 30 dB too loud for a converter: what its limits leave, at full scale."""
        speech, _ = self._pair(number)
        return Sound("overdriven", "", "", number, np.clip(speech * np.float32(10 ** (30 / 20)), -1.0, 1.0), speech)

    def language(self, number: int, language: str) -> list[Sound]:
        """One voice in a language, clean and in heavy noise. The voice and the noise are those of the number in every language."""
        rng = self._rng(number, "voice")
        voice = f"{language}+{self._variants[int(rng.integers(len(self._variants)))]}"
        rate_wpm = int(rng.integers(150, 200))
        spoken = speak(sentence(language, self._rng(number, language)), voice=voice, rate_wpm=rate_wpm, sample_rate_hz=RATE_HZ).audio
        speech = np.resize(spoken, self._samples).astype(np.float32)
        speech *= np.float32(0.5 / max(float(np.abs(speech).max()), 1e-3))
        audio, _ = graded(speech, self._pair(number)[1], "noise", HEAVY, self._rng(number, "language noise"))
        clean = Sound("language", language, CLEAN, number, self._inaudible(speech, number), speech)
        return [clean, Sound("language", language, HEAVY, number, audio, speech)]

    def planted(self, number: int, kind: str) -> Sound:
        """One artefact in a part of the clip, or in several."""
        speech, noise = self._pair(number % self._config.clips)
        rng = self._rng(number, f"planted {kind}")
        for _ in range(DRAWS):
            degraded = degrade(speech, noise, RATE_HZ, rng, kind)
            spans = degraded.damages[0].spans
            covered = sum(end - start for start, end in spans) / self._config.clip_s
            if PLANTED_SHARE[0] <= covered <= PLANTED_SHARE[1] and degraded.damages[0].severity > 0.3 * covered:
                break
        return Sound("spans", kind, "", number, degraded.audio, speech, spans)

    def _pair(self, number: int) -> tuple[Audio, Audio]:
        """Speech and noise of one number."""
        if number not in self._material:
            rng = self._rng(number, "speech")
            speech = self._sources.speech_crop(self._samples, rng)
            self._material[number] = speech, self._sources.noise_crop(self._samples, rng)
        return self._material[number]

    def _graded(self, number: int, kind: str, level: str) -> tuple[Audio, tuple[Damage, ...]]:
        if (number, kind, level) not in self._made:
            speech, noise = self._pair(number)
            self._made[number, kind, level] = graded(speech, noise, kind, level, self._rng(number, f"{kind} {level}"))
        return self._made[number, kind, level]

    def _inaudible(self, speech: Audio, number: int) -> Audio:
        """Speech with noise of -90 dBFS, which nobody hears: a metric that divides by the difference to the reference then has one."""
        noise = self._rng(number, "floor").standard_normal(len(speech), dtype=np.float32)
        return speech + np.float32(10 ** (-90 / 20)) * noise

    def _rng(self, number: int, what: str) -> np.random.Generator:
        return np.random.default_rng([self._config.seed, number, *what.encode()])


def graded(speech: Audio, noise: Audio, kind: str, level: str, rng: np.random.Generator) -> tuple[Audio, tuple[Damage, ...]]:
    """`speech` with an artefact of a strength within SEVERITIES[level], or the nearest of DRAWS draws."""
    low, high = LIGHT_SUPPRESSION if (kind, level) == ("suppression", LIGHT) else SEVERITIES[level]
    best, distance = None, np.inf
    for _ in range(DRAWS):
        degraded = degrade(speech, noise, RATE_HZ, rng, kind)
        severity = max(damage.severity for damage in degraded.damages)
        away = max(low - severity, severity - high, 0.0)
        if away < distance:
            best, distance = degraded, away
        if not away:
            break
    assert best is not None
    return best.audio, best.damages
