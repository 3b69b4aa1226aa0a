"""Evidence: claims about a clip in a small language, and whether the measured features bear them out.

A claim is `SUBJECT WORD in SHARE vowels` (pitch variation lowest in many vowels) or, of the whole clip, `SUBJECT WORD` (noise highest).
Claims are checked with a tolerance: they are wrong when the measurement lies outside what the words stand for and the margin around it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from auricle.config import Config
from auricle.gsrm.features import CLIP_MEASURES
from auricle.gsrm.findings import GRADE_DECILES, PITCH_SUBJECTS, SUBJECT_WORDS, VOWEL_SUBJECTS, Findings, grade_of
from auricle.gsrm.normalisation import FEATURE_WORDS, NO_BIN, SLOPE_WORDS

SHARES: Mapping[str, tuple[float, float]] = {"few": (0.0, 0.25), "some": (0.25, 0.5), "many": (0.5, 0.75), "most": (0.75, 1.0)}
"""The share of vowels that a word stands for; `few` is at least one."""
LARGEST_COUNT = 99
"""More vowels than this are told as so many."""
USUAL_SHARE: Mapping[str, float] = {"lowest": 0.1, "low": 0.15, "usual": 0.5, "high": 0.15, "highest": 0.1}
"""The share of vowels in each bin of ordinary speech, as the percentiles of the bins say."""


class CheckConfig(Config):
    """How exactly evidence has to agree with the measurement."""

    share_tolerance: float = Field(default=0.1, ge=0.0, le=1.0)
    """A share of vowels may lie this far outside of what its word stands for."""
    decile_tolerance: NonNegativeInt = 1
    """A measure of the clip may lie this many deciles outside of what its word stands for."""
    count_tolerance: NonNegativeFloat = 0.1
    """The number of vowels may be off by this share of it, and by one in any case."""


@dataclass(frozen=True)
class Claim:
    """One claim. share: of the vowels; empty for a claim about the clip."""

    subject: str
    word: str
    share: str = ""

    def __str__(self) -> str:
        return f"{self.subject} {self.word}" + (f" in {self.share} vowels" if self.share else "")


def vowel_claim(findings: Findings, subject: str, word: str) -> Claim | None:
    """The true claim about this bin; None where no vowel is in it, or nothing was measured."""
    share = findings.share(subject, word)
    if not share > 0:
        return None
    return Claim(subject, word, next(name for name, (_, high) in SHARES.items() if share <= high))


def clip_claim(findings: Findings, subject: str) -> Claim | None:
    """The true claim about a measure of the clip; None where it could not be measured."""
    decile = findings.decile(subject)
    return None if decile == NO_BIN else Claim(subject, grade_of(decile))


def true_claims(findings: Findings, *, pitch: bool = True, measures: Sequence[str] = CLIP_MEASURES) -> list[list[Claim]]:
    """Every claim that is exactly true: about the clip's measures first, then a list for each feature of vowels (empty lists left out)."""
    shown = [name for name in measures if pitch or name not in PITCH_SUBJECTS]
    lists = [[clip_claim(findings, name) for name in shown]]
    lists += [
        [vowel_claim(findings, subject, word) for word in SUBJECT_WORDS[subject]]
        for subject in VOWEL_SUBJECTS
        if pitch or subject not in PITCH_SUBJECTS
    ]
    return [found for claims in lists if (found := [claim for claim in claims if claim is not None])]


def contradiction(claim: Claim, findings: Findings, config: CheckConfig) -> str:
    """What the measurement says against the claim; empty where it bears it out."""
    if claim.subject in CLIP_MEASURES:
        decile = findings.decile(claim.subject)
        low, high = GRADE_DECILES[claim.word]
        margin = config.decile_tolerance
        if decile == NO_BIN:
            return f"{claim}: could not be measured"
        return "" if low - margin <= decile <= high + margin else f"{claim}: measured in decile {decile} of 0-9"
    share = findings.share(claim.subject, claim.word)
    least, most = SHARES[claim.share]
    if share != share:  # NaN
        return f"{claim}: could not be measured"
    # "In few vowels" is a claim that there are some.
    held = share > 0 and least - config.share_tolerance <= share <= most + config.share_tolerance
    return "" if held else f"{claim}: measured in {share:.0%} of {findings.vowels} vowels"


def count_contradiction(vowels: int, findings: Findings, config: CheckConfig) -> str:
    """The same for the number of vowels."""
    counted = min(findings.vowels, LARGEST_COUNT)
    margin = max(1.0, config.count_tolerance * counted)
    return "" if abs(vowels - counted) <= margin else f"{vowels} vowels: measured {findings.vowels}"


def notable(findings: Findings, *, pitch: bool = True) -> list[tuple[float, Claim]]:
    """Claims about what is unlike ordinary speech, each with how far (higher: more), most notable first."""
    found: list[tuple[float, Claim]] = []
    for subject in VOWEL_SUBJECTS:
        if subject == "pitch" or (not pitch and subject in PITCH_SUBJECTS):
            continue
        for word in SUBJECT_WORDS[subject]:
            claim = None if word in ("usual", "level") else vowel_claim(findings, subject, word)
            if claim:
                usual = USUAL_SHARE.get(word, 0.25 if word in SLOPE_WORDS else 0.02)
                found.append((findings.share(subject, word) - usual, claim))
    for subject in CLIP_MEASURES:
        claim = None if subject in PITCH_SUBJECTS and not pitch else clip_claim(findings, subject)
        if claim and claim.word != "usual":
            found.append((abs(findings.decile(subject) - 4.5) / 9, claim))
    return sorted(found, key=lambda item: -item[0])


def ordinary(findings: Findings, *, pitch: bool = True) -> list[Claim]:
    """Claims about what is as in ordinary speech, the clearest first."""
    found: list[tuple[float, Claim]] = []
    for subject, words in FEATURE_WORDS.items():
        word = "usual" if "usual" in words else "level"
        if subject == "pitch" or (not pitch and subject in PITCH_SUBJECTS):
            continue
        claim = vowel_claim(findings, subject, word)
        if claim and findings.share(subject, word) >= 0.5:
            found.append((findings.share(subject, word), claim))
    for subject in CLIP_MEASURES:
        claim = None if subject in PITCH_SUBJECTS and not pitch else clip_claim(findings, subject)
        if claim and claim.word == "usual":
            found.append((1 - abs(findings.decile(subject) - 4.5) / 4.5, claim))
    return [claim for _, claim in sorted(found, key=lambda item: -item[0])]


def contradictions(claims: Sequence[Claim], findings: Findings, config: CheckConfig) -> list[str]:
    """What the measurement says against these claims."""
    return [against for claim in claims if (against := contradiction(claim, findings, config))]
