"""Who listens: a prefix of the question that conditions the score, and the stated rule by which it moves the truth.

A profile's shift is in standard deviations of people's votes on that clip and dimension (measured where a corpus has them, else by the SOS
hypothesis, `quality.vote_spread`), so that nobody is stricter about a clip than people differ. `vote` is one listener drawn from the crowd.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from auricle.listeners.quality import MOS, Quality

ProfileName = Literal["neutral", "strict", "casual", "hard-of-hearing", "vote"]
PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)


@dataclass(frozen=True)
class Profile:
    """prefixes: ways to say it (the first is the one that judges use); held_out: ways that training never sees. shifts: by dimension, in
    standard deviations of votes; `otherwise`: for dimensions not named. draws: whether the truth is one vote drawn around the mean."""

    prefixes: tuple[str, ...]
    held_out: tuple[str, ...]
    shifts: Mapping[str, float] = field(default_factory=dict)
    otherwise: float = 0.0
    draws: bool = False


PROFILE_OF: dict[ProfileName, Profile] = {
    "neutral": Profile(("",), ("",)),
    "strict": Profile(
        ("You are a strict audio engineer. ", "Judge as a strict studio engineer. ", "Be as strict as a mastering engineer. "),
        ("Answer as an audio engineer who is strict about every flaw. ",),
        otherwise=-1.0,
    ),
    "casual": Profile(
        ("You are a casual listener. ", "Judge as somebody who listens casually. ", "You listen casually, on a small phone. "),
        ("Answer as a casual listener who does not mind small flaws. ",),
        otherwise=0.8,
    ),
    # High tones and timbre are lost on them; noise and low level weigh more.
    "hard-of-hearing": Profile(
        ("You are hard of hearing. ", "Judge as a listener who is hard of hearing. ", "You hear poorly and wear hearing aids. "),
        ("Answer as a person who is hard of hearing. ",),
        shifts={MOS: -0.5, "overall": -0.5, "noisiness": -1.0, "background noise": -1.0, "loudness": -1.0, "coloration": 0.8},
        otherwise=-0.3,
    ),
    "vote": Profile(
        ("Give one listener's vote. ", "Vote as any one listener might. ", "What would one listener of many say? "),
        ("Answer with the vote of a single listener. ",),
        draws=True,
    ),
}


def heard_by(profile: ProfileName, quality: Quality, rng: np.random.Generator) -> Quality:
    """The truth as this profile would give it; scores stay within 1-5."""
    rule = PROFILE_OF[profile]
    if profile == "neutral":
        return quality
    # One listener is strict or lenient throughout: one draw for all dimensions.
    drawn = float(rng.standard_normal()) if rule.draws else 0.0
    scores = {
        name: float(np.clip(score + (rule.shifts.get(name, rule.otherwise) + drawn) * quality.spread(name), 1.0, 5.0))
        for name, score in quality.scores.items()
    }
    return Quality(scores, quality.duration_s, quality.spreads, quality.damages)


def prefix(profile: ProfileName, wording: int = 0, *, held_out: bool = False) -> str:
    """What goes before the question."""
    ways = PROFILE_OF[profile].held_out if held_out else PROFILE_OF[profile].prefixes
    return ways[wording % len(ways)]
