"""The people of the embedded corpus: a voice, a way of speaking and a face, drawn from (seed, split, number)."""

from dataclasses import dataclass

import numpy as np

from auricle.scenes.mixing import scene_rng
from auricle.scenes.scene import Split
from auricle.scenes.synth.face import FaceLook, draw_look
from auricle.scenes.synth.texts import talk
from auricle.scenes.synth.voice import Phoneme, Utterance, languages, speak, variants

SPEAKERS = {"train": 64, "dev": 16, "eval": 24}
"""How many people each split has; no two splits share one, nor a voice variant."""

# Robots, whisperers, toys, and espeak-ng's variants for other languages' sake.
_UNNATURAL = {
    "Demonic", "UniRobot", "anikaRobot", "whisper", "whisperf", "croak", "Tweaky", "AnxiousAndy", "fast", "kaukovalta", "Storm", "aunty",
    *(f"robosoft{number}" for number in ("", 2, 3, 4, 5, 6, 7, 8)), *(f"klatt{number}" for number in ("", 2, 3, 4, 5, 6)),
}  # fmt: skip
_SHARES = {"train": (0, 1, 2), "dev": (3,), "eval": (4,)}  # of every five variants


@dataclass(frozen=True)
class Talker:
    """One person. effort: how clearly the lips move; `Utterance`s come from `say`."""

    name: str
    voice: str
    pitch: int
    pitch_range: int
    rate_wpm: int
    tract_scale: float
    effort: float
    look: FaceLook


def talker(seed: int, split: Split, number: int) -> Talker:
    """Person `number` of a split, the same for ever."""
    rng = scene_rng(seed, split, number, "talker")
    natural = [name for name in variants() if name not in _UNNATURAL]
    own = [name for place, name in enumerate(natural) if place % 5 in _SHARES[split]]
    return Talker(
        name=f"synth-{split}-{number:03d}",
        voice=f"{languages()[rng.integers(len(languages()))]}+{own[rng.integers(len(own))]}",
        pitch=int(rng.integers(25, 76)),
        pitch_range=int(rng.integers(30, 81)),
        rate_wpm=int(rng.integers(135, 211)),
        tract_scale=float(np.exp(rng.uniform(-0.12, 0.14))),
        effort=float(rng.uniform(0.8, 1.15)),
        look=draw_look(scene_rng(seed, split, number, "look")),
    )


def say(person: Talker, rng: np.random.Generator, samples: int, sample_rate_hz: int) -> Utterance:
    """`person` talking for `samples` samples: a short silence, then sentences, cut (and faded over 20 ms) at the end."""
    lead = int(rng.uniform(0.05, 0.25) * sample_rate_hz)
    text = talk(rng, 1)
    spoken = _spoken(person, text, sample_rate_hz)
    while lead + len(spoken.audio) < samples:
        text += " " + talk(rng, 1)
        spoken = _spoken(person, text, sample_rate_hz)
    audio = np.concatenate([np.zeros(lead, np.float32), spoken.audio])[:samples]
    fade = min(sample_rate_hz // 50, samples)
    audio[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    lead_s, end_s = lead / sample_rate_hz, samples / sample_rate_hz
    moved = (Phoneme(symbol, start + lead_s, min(end + lead_s, end_s)) for symbol, start, end in spoken.phonemes if start + lead_s < end_s)
    return Utterance(text, audio, sample_rate_hz, (Phoneme("", 0.0, lead_s), *moved))


def _spoken(person: Talker, text: str, sample_rate_hz: int) -> Utterance:
    return speak(
        text,
        person.voice,
        pitch=person.pitch,
        pitch_range=person.pitch_range,
        rate_wpm=person.rate_wpm,
        tract_scale=person.tract_scale,
        sample_rate_hz=sample_rate_hz,
    )
