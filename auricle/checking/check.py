"""A check from beginning to end: the sounds are judged, heard again, asked about in other words and in pairs, and the probes read it all.

sounds --ask--> answers --by judge--> Heard --probes--> findings --> CheckReport
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auricle.checking.config import CheckConfig
from auricle.checking.findings import Finding, findings_of
from auricle.checking.heard import Heard
from auricle.checking.sounds import CLEAN, HEAVY, LIGHT, RATE_HZ, Sound
from auricle.judging.judge import Choice, JudgeClip
from auricle.judging.panel import PanelConfig
from auricle.judging.registry import find_judge
from auricle.judging.verdict import Failed

Ask = Callable[[list[dict[str, Any]]], list[dict[str, dict[str, Any]]]]
"""A panel: requests to answers (docs/design.md)."""
Compare = Callable[[str, Sequence[tuple[JudgeClip, JudgeClip]]], list[Choice | Failed] | None]
"""A judge by name, asked which clip of each pair is better; None where it compares no pairs."""
BLOCK = 32


@dataclass(frozen=True)
class CheckReport:
    """All findings of all judges, and what each judge was. identities: (prompt hash, model hash) by judge, empty where it has none."""

    findings: tuple[Finding, ...]
    identities: dict[str, tuple[str, str]]

    def of(self, judge: str) -> list[Finding]:
        """One judge's findings."""
        return [finding for finding in self.findings if finding.judge == judge]

    def failures(self, judges: Sequence[str] | None = None) -> list[Finding]:
        """Findings that did not pass, of these judges or of all."""
        return [f for f in self.findings if f.passed is False and (judges is None or f.judge in judges)]


def check_judges(
    panel: PanelConfig,
    sounds: Sequence[Sound],
    config: CheckConfig,
    ask: Ask,
    *,
    compare: Compare | None = None,
    reword: bool = True,
    progress: Callable[[int], None] = lambda count: None,
) -> CheckReport:
    """The findings about every judge of `panel`, which `ask` is. progress: is told how many more clips were judged.

    compare, reword: for the whole check; without them nothing is asked in pairs and in other words.
    """
    heard = {judge.name: Heard(judge) for judge in panel.judges}
    _hear(sounds, ask, progress, lambda judge, sound, verdict: heard[judge].first.__setitem__(sound, verdict), heard)
    again = [sound for sound in reversed(sounds) if sound.group == "anchor" and sound.level in (CLEAN, HEAVY)]
    _hear(again, ask, progress, lambda judge, sound, verdict: heard[judge].again.__setitem__(sound, verdict), heard, fresh=True)
    if reword:
        _reword(panel, sounds, ask, progress, heard)
    if compare:
        _compare(sounds, compare, heard)
    findings = [finding for one in heard.values() for finding in findings_of(one, sounds, config.floors)]
    return CheckReport(tuple(findings), {name: one.identity() for name, one in heard.items()})


def request(sound: Sound, **more: Any) -> dict[str, Any]:
    """What a panel is asked about a sound."""
    return {"clip_id": f"check-{sound.name}", "audio": sound.audio, "sample_rate_hz": RATE_HZ, "reference": sound.reference, **more}


def _hear(
    sounds: Sequence[Sound],
    ask: Ask,
    progress: Callable[[int], None],
    keep: Callable[[str, str, Mapping[str, Any]], None],
    heard: Mapping[str, Heard],
    **more: Any,
) -> None:
    for start in range(0, len(sounds), BLOCK):
        block = sounds[start : start + BLOCK]
        for sound, answer in zip(block, ask([request(sound, **more) for sound in block]), strict=True):
            for judge in heard:
                keep(judge, sound.name, answer[judge])
        progress(len(block))


def _reword(panel: PanelConfig, sounds: Sequence[Sound], ask: Ask, progress: Callable[[int], None], heard: dict[str, Heard]) -> None:
    """Other wordings of the judges that are prompted; judges that read their words hear of it too."""
    wordings = {judge.name: find_judge(judge.kind_or_name).wordings for judge in panel.judges}
    wordings |= {judge.name: wordings[judge.reads] for judge in panel.judges if judge.reads}
    kinds = list(dict.fromkeys(sound.kind for sound in sounds if sound.group == "anchor" and sound.kind))
    some = [s for s in sounds if s.group == "anchor" and (s.level == CLEAN or s.kind == kinds[s.utterance % len(kinds)])]
    for wording in range(1, max(wordings.values())):

        def keep(judge: str, sound: str, verdict: Mapping[str, Any], wording: int = wording) -> None:
            if wording < wordings[judge]:
                heard[judge].reworded.setdefault(wording, {})[sound] = verdict

        _hear(some, ask, progress, keep, heard, wording=wording)


def _compare(sounds: Sequence[Sound], compare: Compare, heard: dict[str, Heard]) -> None:
    """Pairs of one utterance: clean with heavy damage and light with heavy damage, each in both orders."""
    anchors = {(s.utterance, s.kind, s.level): s for s in sounds if s.group == "anchor"}
    kinds = list(dict.fromkeys(kind for _, kind, _ in anchors if kind))
    pairs = []
    for number in sorted({utterance for utterance, *_ in anchors}):
        heavy = anchors[number, kinds[number % len(kinds)], HEAVY]
        pairs += [(anchors[number, "", CLEAN], heavy), (anchors[number, heavy.kind, LIGHT], heavy)]
    both = pairs + [(worse, better) for better, worse in pairs]
    for name, one in heard.items():
        answers = compare(name, [(_clip(first), _clip(second)) for first, second in both])
        if answers is not None:
            one.choices = [(first.name, second.name, answer) for (first, second), answer in zip(both, answers, strict=True)]


def _clip(sound: Sound) -> JudgeClip:
    return JudgeClip(sound.name, sound.audio, RATE_HZ, sound.reference)
