"""What was done to a clip and how good it is after that: the truth a listener is calibrated on.

Scores are on 1-5, 5 is best. Severities are on 0-1, 0 is inaudible.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

Artefact = Literal[
    "noise",
    "correlated noise",
    "muffling",
    "clipping",
    "drop-outs",
    "over-suppression",
    "musical noise",
    "reverberation",
    "level jumps",
    "garbling",
    "no speech",
]
ARTEFACTS: tuple[Artefact, ...] = get_args(Artefact)

DIMENSIONS = ("noise", "distortion", "continuity", "colouration", "reverberation", "naturalness")
"""Aspects of quality with a score of their own; `noise` 5 means: no noise."""

AUDIBLE = 0.12
"""Severity from which on an artefact is worth a word."""

_DIMENSION_OF: dict[Artefact, str] = {
    "noise": "noise",
    "correlated noise": "distortion",
    "muffling": "colouration",
    "clipping": "distortion",
    "drop-outs": "continuity",
    "over-suppression": "distortion",
    "musical noise": "noise",
    "reverberation": "reverberation",
    "level jumps": "continuity",
}
# How much each dimension takes from naturalness: a voice through a bad line is still a voice, a torn one is not.
_UNNATURAL = {"noise": 0.15, "distortion": 0.6, "continuity": 0.5, "colouration": 0.3, "reverberation": 0.25}


@dataclass(frozen=True)
class Damage:
    """One artefact. spans: (start_s, end_s) where it is heard; several only for drop-outs. parameters: the numbers it was made with."""

    artefact: Artefact
    severity: float
    spans: tuple[tuple[float, float], ...]
    parameters: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """The truth about one clip. pesq: wide-band PESQ against the clean clip in the same room; None where there is no speech to compare."""

    quality: float
    pesq: float | None
    dimensions: dict[str, float]
    damages: tuple[Damage, ...]
    duration_s: float

    @property
    def main_damage(self) -> Damage | None:
        """The most severe audible artefact, None where the clip sounds clean."""
        audible = [damage for damage in self.damages if damage.severity >= AUDIBLE]
        return max(audible, key=lambda damage: damage.severity) if audible else None


def quality_from_pesq(pesq: float) -> float:
    """PESQ-wb on a scale that listeners use evenly: the logistic of ITU-T P.862.2, equation (1), undone, then 0..4.5 mapped to 1..5."""
    raw = (3.8224 - np.log(4.0 / (np.clip(pesq, 1.02, 4.64) - 0.999) - 1.0)) / 1.3669
    return float(1.0 + 4.0 * np.clip(raw / 4.5, 0.0, 1.0))


def make_labels(pesq: float | None, damages: tuple[Damage, ...], duration_s: float) -> Labels:
    """Quality and dimensions of a clip with these damages. pesq: against the clean clip in the same room.

    Quality is that of PESQ, but no better than a muffled clip deserves (PESQ-wb forgives a low-pass at 3.5 kHz), less what the room takes,
    and 1 without speech.
    """
    if any(damage.artefact == "no speech" for damage in damages):
        return Labels(1.0, None, dict.fromkeys(DIMENSIONS, 1.0), damages, duration_s)
    if pesq is None:
        raise ValueError("labels: a clip with speech needs its PESQ")
    quality = quality_from_pesq(pesq)
    for damage in damages:
        if damage.artefact == "muffling":
            quality = min(quality, 5.0 - 3.6 * damage.severity)
    for damage in damages:
        if damage.artefact == "reverberation":
            quality = 1.0 + (quality - 1.0) * room_share(damage.severity)
    return Labels(quality, pesq, _dimensions(damages), damages, duration_s)


def room_share(severity: float) -> float:
    """The share of quality above 1 that a room leaves: nearly all in a living room, four tenths where words run into each other.

    A rule of ours, not of people: PESQ against dry speech would leave 37 % of it already at a clarity of 16 dB.
    """
    return 1.0 - 0.6 * severity**1.5


def severity_of_clarity(c50_db: float) -> float:
    """Reverberation's severity by its clarity index (ISO 3382: early energy, up to 50 ms, over late): 0 from 24 dB on, 1 at -3 dB."""
    return severity_of_ratio(c50_db, -3.0, 24.0)


def score_of(severity: float) -> float:
    """Severity 0-1 as a score 5-1."""
    return 5.0 - 4.0 * severity


def severity_of_ratio(ratio_db: float, worst_db: float, best_db: float) -> float:
    """A signal-to-damage ratio as a severity: 1 at `worst_db` and below, 0 at `best_db` and above, linear between."""
    return float(np.clip((best_db - ratio_db) / (best_db - worst_db), 0.0, 1.0))


def _dimensions(damages: tuple[Damage, ...]) -> dict[str, float]:
    severities = dict.fromkeys(DIMENSIONS, 0.0)
    garbled = 0.0
    for damage in damages:
        if damage.artefact == "garbling":
            garbled = max(garbled, damage.severity)
            severities["distortion"] = max(severities["distortion"], damage.severity)
            continue
        name = _DIMENSION_OF[damage.artefact]
        # Damages of one dimension add up like independent ones: what the first left whole, the second may still harm.
        severities[name] = 1.0 - (1.0 - severities[name]) * (1.0 - damage.severity)
    whole = 1.0 - garbled
    for name, share in _UNNATURAL.items():
        whole *= 1.0 - share * severities[name]
    severities["naturalness"] = 1.0 - whole
    return {name: score_of(severity) for name, severity in severities.items()}
