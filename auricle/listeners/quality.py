"""What is known of a clip's quality, in the words of the questions: scores by dimension, how far votes spread, what was done and when.

From our own labels it is worked out by a stated rule; from people's ratings it is read (`auricle.ratings`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from auricle.listeners.labels import AUDIBLE, Artefact, Damage, Labels, score_of

MOS = "mos"
NISQA_DIMENSIONS = (MOS, "noisiness", "coloration", "discontinuity", "loudness")
"""The dimensions of SpeechQualityLLM (arXiv 2512.08238) and of the NISQA corpus; on each, 5 means that nothing is wrong."""
QUALISPEECH_ASPECTS = ("background noise", "distortion", "speed", "continuity", "listening effort", "naturalness", "overall")
"""The seven numeric aspects of QualiSpeech (arXiv 2503.20290)."""

MEANINGS: dict[str, str] = {
    MOS: "overall quality",
    "noisiness": "freedom from noise",
    "coloration": "natural timbre",
    "discontinuity": "freedom from gaps and jumps",
    "loudness": "comfortable level",
    "background noise": "quiet background",
    "distortion": "undistorted voice",
    "speed": "comfortable speed",
    "continuity": "smooth flow",
    "listening effort": "ease of listening",
    "naturalness": "human voice",
    "overall": "overall quality",
}
"""What 5 means on each dimension, for questions."""

SOS_PARAMETER = 0.2
"""a of the hypothesis that the variance of votes around a mean opinion score m is a (6m - m^2 - 5) (Hossfeld, Schatz, Egger: "SOS: the MOS
is not enough!", QoMEX 2011); 0.1 to 0.3 in tests of speech."""

# How much of an artefact's severity each dimension takes, 0-1. The rule behind the labels of synthetic clips; people may weigh otherwise.
_SHARES: dict[Artefact, dict[str, float]] = {
    "noise": {"noisiness": 1.0},
    "correlated noise": {"noisiness": 0.7, "coloration": 0.5},
    "muffling": {"coloration": 1.0},
    "clipping": {"noisiness": 0.4, "coloration": 0.6},
    "drop-outs": {"discontinuity": 1.0},
    "over-suppression": {"coloration": 0.6, "discontinuity": 0.5},
    "musical noise": {"noisiness": 0.7, "coloration": 0.3},
    "reverberation": {"coloration": 0.8},
    "level jumps": {"loudness": 0.9, "discontinuity": 0.5},
    "garbling": {"coloration": 0.5, "discontinuity": 0.7},
    "no speech": dict.fromkeys(NISQA_DIMENSIONS[1:], 1.0),
}


@dataclass(frozen=True)
class Quality:
    """The truth about one clip.

    scores: 1-5 by dimension, such as `mos`, `noisiness`. spreads: the standard deviation of people's votes, where it is known.
    damages: what was done to the clip; None where nobody knows (people's ratings), which is not the same as nothing.
    """

    scores: Mapping[str, float]
    duration_s: float
    spreads: Mapping[str, float] = field(default_factory=dict)
    damages: tuple[Damage, ...] | None = None

    def spread(self, dimension: str) -> float:
        """The standard deviation of votes on a dimension: as measured, else by the SOS hypothesis."""
        return self.spreads[dimension] if dimension in self.spreads else vote_spread(self.scores[dimension])


def vote_spread(score: float, parameter: float = SOS_PARAMETER) -> float:
    """The standard deviation of votes around a mean opinion score, by the SOS hypothesis: 0 at both ends of the scale, largest at 3."""
    return float(np.sqrt(parameter * max(0.0, 6.0 * score - score**2 - 5.0)))


def quality_of(truth: Labels | Quality) -> Quality:
    """Labels in NISQA's dimensions and QualiSpeech's aspects (but `speed`, which no damage of ours changes); a Quality as it is."""
    if isinstance(truth, Quality):
        return truth
    whole = dict.fromkeys(NISQA_DIMENSIONS[1:], 1.0)
    for damage in truth.damages:
        for name, share in _SHARES[damage.artefact].items():
            whole[name] *= 1.0 - share * damage.severity
    scores = {MOS: truth.quality} | {name: score_of(1.0 - left) for name, left in whole.items()}
    own = truth.dimensions
    aspects = {
        "background noise": own["noise"],
        "distortion": own["distortion"],
        "continuity": own["continuity"],
        "listening effort": truth.quality,
        "naturalness": own["naturalness"],
        "overall": truth.quality,
    }
    return Quality(scores | aspects, truth.duration_s, damages=truth.damages)


def audible_damages(quality: Quality) -> list[Damage]:
    """What is worth a word, the worst first. Empty also where nobody knows what was done."""
    return sorted((damage for damage in quality.damages or () if damage.severity >= AUDIBLE), key=lambda damage: -damage.severity)
