"""The short check of the judges before a run: one that cannot tell clean speech from noise is no reward.

Only judges with a vote are checked, through the panel that the run will ask. A panel that passed once is not checked again while its
judges' prompts, models and options, and the check's own settings, stay what they were.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from auricle.checking.check import Ask, CheckReport, check_judges, request
from auricle.checking.findings import Finding
from auricle.checking.sounds import Sound, one_sound, short_sounds
from auricle.errors import JudgeError
from auricle.files import replacing
from auricle.judging.hashing import content_hash
from auricle.judging.panel import PanelConfig
from auricle.scenes.cache import cache_folder
from pipelines.reporting.check import figure_text, save, wanted_text
from pipelines.settings import Settings

RECIPE = 1
"""Raised whenever the probes change what they measure: verdicts of older ones are then worth nothing."""

MEANINGS = {
    "coverage": "it gives too few verdicts",
    "anchors": "it does not put clean speech above lightly above heavily damaged speech",
    "one_score": "it gives one and the same score to most clips",
    "repeat": "it contradicts itself on the same clips",
    "loudness": "its score follows the level",
    "silence": "it likes silence",
    "no_speech": "it likes sounds without speech",
    "distinct_texts": "it says the same of most clips",
}


def check_before_the_run(settings: Settings, ask: Ask, folder: Path, note: Callable[[str], None]) -> None:
    """Check the judges that have a vote; the report goes to `folder`. Raises JudgeError where one is below a floor (`check.enforce`)."""
    voting = [judge.name for judge in settings.panel.judges if any(judge.weights.values())]
    known = _passed_before(settings, ask, one_sound(settings.check), voting)
    if known is not None and known.exists():
        return
    sounds = short_sounds(settings.check)
    report = check_judges(settings.panel, sounds, settings.check, ask, reword=False)
    save(report, (), sounds, folder, examples=settings.check.examples)
    failures = report.failures(voting)
    if failures and settings.check.enforce:
        raise JudgeError(refusal(failures, folder))
    for finding in failures:
        note(f"check.enforce = false: going on although {_sentence(finding)}")
    if not failures:
        note(f"the judges passed their check ({_figures(report, voting)})")
        if known is not None:
            known.parent.mkdir(parents=True, exist_ok=True)
            with replacing(known) as temporary:
                temporary.write_text(json.dumps({"judges": voting}) + "\n", encoding="utf-8")


def refusal(failures: Sequence[Finding], folder: Path) -> str:
    """What is wrong with which judge, where to hear it, and what to do."""
    judges = " and ".join(dict.fromkeys(repr(finding.judge) for finding in failures))
    told = "; ".join(_sentence(finding) for finding in failures)
    return (
        f"judge {judges} is not fit to reward a run: {told}. Listen in {folder / 'check.html'}; `auricle judge --self-check` tells more. "
        "Mend the judge (auricle calibrate), take its vote (weights = {}), lower the floor (check.floors), or go on all the same with "
        "--set check.enforce=false"
    )


def _sentence(finding: Finding) -> str:
    meaning = MEANINGS.get(finding.probe.partition(":")[0], "")
    told = ", ".join(filter(None, (meaning, finding.detail)))
    return f"{finding.judge}, probe {finding.probe}: {figure_text(finding)} where {wanted_text(finding)} is wanted ({told})"


def _figures(report: CheckReport, voting: Sequence[str]) -> str:
    anchors = [f for f in report.findings if f.probe == "anchors" and f.judge in voting]
    return ", ".join(f"{f.judge}: {figure_text(f)} of graded pairs in order" for f in anchors)


def _passed_before(settings: Settings, ask: Ask, sound: Sound, voting: Sequence[str]) -> Path | None:
    """Where it is remembered that this very panel passed; None where a judge with a vote does not say what it is."""
    panel: PanelConfig = settings.panel
    answer = ask([request(sound)])[0]
    # A judge of words is what the one it reads is, too, whether that one has a vote or not.
    heard = [*voting, *(judge.reads for judge in panel.judges if judge.reads and judge.name in voting)]
    identities = [(answer[name].get("prompt_hash", ""), answer[name].get("model_hash", "")) for name in heard]
    if not all(prompt and model for prompt, model in identities):
        return None
    own = [judge.model_dump(mode="json", include={"name", "kind", "options", "weights", "reads"}) for judge in panel.judges]
    checked = settings.check.model_dump(mode="json", exclude={"enforce", "examples", "clips", "artefacts", "languages"})
    return cache_folder() / "checks" / f"{content_hash([RECIPE, checked, own, panel.loudness_lufs, identities])}.json"
