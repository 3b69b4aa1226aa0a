"""The answer as text: evidence log, judgement, score (GSRM, arXiv 2602.13891). Written, constrained at decoding, and parsed strictly.

    context: 11 vowels; pitch 110-160 Hz in most vowels; rate high
    sounds: noise highest
    positive: pitch slope level in many vowels; melody usual
    issue: clarity lowest; duration highest in some vowels
    judgement: the voice is unnatural; the sound is damaged
    score: 2.3

One regular expression, made from the same tables that write answers, is both the grammar for decoding and the parser's gate: what does not
match it as a whole is Failed("unparsable"), and no number is ever looked for in the rest of a text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from auricle.gsrm.evidence import LARGEST_COUNT, SHARES, CheckConfig, Claim, contradictions, count_contradiction
from auricle.gsrm.features import CLIP_MEASURES
from auricle.gsrm.findings import SUBJECT_WORDS, VOWEL_SUBJECTS, Findings
from auricle.judging.verdict import Failed

Form = Literal["evidence", "judgement", "score"]
"""How much is said before the score: everything; the judgement only; nothing (the paper's ablations)."""

NATURALNESS = ("not human", "unnatural", "somewhat unnatural", "mostly natural", "natural")
SOUND = ("ruined", "badly damaged", "damaged", "slightly damaged", "clean")
"""What is said of the voice and of the sound, from 1 to 5."""
NONE = "none"
MOST_CLAIMS = 3
_SECTIONS = ("sounds", "positive", "issue")


@dataclass(frozen=True)
class Answer:
    """One answer. vowels, claims by section: of the form `evidence` only; naturalness, sound (1-5): not of the form `score`."""

    score: float
    naturalness: int | None = None
    sound: int | None = None
    vowels: int | None = None
    context: tuple[Claim, ...] = ()
    sounds: tuple[Claim, ...] = ()
    positive: tuple[Claim, ...] = ()
    issue: tuple[Claim, ...] = ()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All evidence, each claim once however often it is made."""
        return tuple(dict.fromkeys(self.context + self.sounds + self.positive + self.issue))


def answer_text(answer: Answer) -> str:
    """The answer as `parse_answer` reads it back, in the form that its parts make."""
    lines = []
    if answer.vowels is not None:
        lines.append("context: " + "; ".join([f"{answer.vowels} vowels", *map(str, answer.context)]))
        lines += [f"{name}: {'; '.join(map(str, getattr(answer, name))) or NONE}" for name in _SECTIONS]
    if answer.naturalness is not None and answer.sound is not None:
        lines.append(f"judgement: the voice is {NATURALNESS[answer.naturalness - 1]}; the sound is {SOUND[answer.sound - 1]}")
    return "\n".join([*lines, f"score: {answer.score:.1f}"])


@cache
def grammar(form: Form = "evidence") -> str:
    """The regular expression of all answers of a form, without anchors or anything else that a decoder could not know."""
    return _grammar(form, _claim(), "(0|[1-9][0-9]?)")


def grounded_grammar(claims: Sequence[Claim], vowels: int) -> str:
    """The same of answers with evidence that say nothing but these claims, and this number of vowels (or LARGEST_COUNT): for one clip, what
    is true of it."""
    return _grammar("evidence", _one_of(map(str, claims)) if claims else "", str(min(vowels, LARGEST_COUNT)))


def _grammar(form: Form, claim: str, count: str) -> str:
    """claim: the expression of one, or empty where there is none to make."""
    score = r"score: ([1-4]\.[0-9]|5\.0)"
    judgement = rf"judgement: the voice is ({'|'.join(NATURALNESS)}); the sound is ({'|'.join(SOUND)})\n"
    if form == "score":
        return score
    if form == "judgement":
        return judgement + score
    said = rf"({NONE}|{claim}(; {claim}){{0,{MOST_CLAIMS - 1}}})" if claim else NONE
    context = rf"context: {count} vowels" + (rf"(; {claim}){{0,{MOST_CLAIMS}}}" if claim else "") + r"\n"
    return context + "".join(rf"{name}: {said}\n" for name in _SECTIONS) + judgement + score


def parse_answer(text: str, form: Form = "evidence") -> Answer | Failed:
    """An answer, or Failed("unparsable"): the whole text (blanks around it aside) has to be one of the grammar's."""
    text = text.strip()
    if not text.isascii() or _compiled(form).fullmatch(text) is None:
        shown = text if len(text) <= 80 else text[:77] + "..."
        return Failed("unparsable", f"expected an answer of the form {form!r}, got {shown!r}")
    lines = dict(line.split(": ", 1) for line in text.split("\n"))
    score = float(lines["score"])
    if form == "score":
        return Answer(score)
    voice, sound = lines["judgement"].removeprefix("the voice is ").split("; the sound is ")
    naturalness, sound_grade = NATURALNESS.index(voice) + 1, SOUND.index(sound) + 1
    if form == "judgement":
        return Answer(score, naturalness, sound_grade)
    count, *context = lines["context"].split("; ")
    sections = {name: tuple(map(_read_claim, () if lines[name] == NONE else lines[name].split("; "))) for name in _SECTIONS}
    return Answer(score, naturalness, sound_grade, int(count.removesuffix(" vowels")), tuple(map(_read_claim, context)), **sections)


def check_answer(answer: Answer, findings: Findings, config: CheckConfig) -> Failed | None:
    """Failed("contradicts_evidence") where the measured features contradict what the answer says of them."""
    against = contradictions(answer.claims, findings, config)
    if answer.vowels is not None and (count := count_contradiction(answer.vowels, findings, config)):
        against.append(count)
    return Failed("contradicts_evidence", "; ".join(against)) if against else None


def _claim() -> str:
    vowels = "|".join(f"{subject} ({'|'.join(map(re.escape, SUBJECT_WORDS[subject]))})" for subject in VOWEL_SUBJECTS)
    clip = "|".join(f"{subject} ({'|'.join(SUBJECT_WORDS[subject])})" for subject in CLIP_MEASURES)
    return _plain(rf"((({vowels}) in ({'|'.join(SHARES)}) vowels)|({clip}))")


def _one_of(texts: Iterable[str]) -> str:
    return _plain(f"({'|'.join(map(re.escape, texts))})")


def _plain(pattern: str) -> str:
    """re.escape puts a backslash before blanks and dashes, which decoders' dialects do not all know."""
    return pattern.replace("\\ ", " ").replace("\\-", "-")


def _read_claim(text: str) -> Claim:
    said, _, share = text.partition(" in ")
    # The longest subject first: `pitch variation low` is not about `pitch`.
    subject = next(name for name in sorted(SUBJECT_WORDS, key=len, reverse=True) if said.startswith(name + " "))
    return Claim(subject, said.removeprefix(subject + " "), share.removesuffix(" vowels"))


@cache
def _compiled(form: Form) -> re.Pattern[str]:
    return re.compile(grammar(form))
