"""A check of judges on paper: a table for the terminal, Markdown, a page to listen on, JSON, and the sounds themselves."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from auricle import __version__
from auricle.audio import write_audio
from auricle.checking.check import CheckReport
from auricle.checking.findings import Finding
from auricle.checking.people import PeopleRow
from auricle.checking.sounds import RATE_HZ, Sound
from auricle.files import replacing
from pipelines.reporting.page import render_page

STATES = {True: "pass", False: "FAIL", None: "n/a"}
HEAD = ("judge", "probe", "", "figure [95 %]", "wanted", "n", "detail")


def figure_text(finding: Finding) -> str:
    """The figure with its interval."""
    if finding.figure is None:
        return "-"
    interval = "" if finding.low is None or finding.high is None else f" [{finding.low:.2f}, {finding.high:.2f}]"
    return f"{finding.figure:.2f}{interval}"


def wanted_text(finding: Finding) -> str:
    """The floor or the ceiling."""
    return f"{'>=' if finding.at_least else '<='} {finding.bound:g}"


def show(report: CheckReport, people: Sequence[PeopleRow], console: Console) -> None:
    """Tables on a terminal; probes that do not apply are left out."""
    colours = {True: "green", False: "bold red", None: "dim"}
    table = Table(*HEAD, title="self-check")
    for one in report.findings:
        if one.passed is not None:
            state = f"[{colours[one.passed]}]{STATES[one.passed]}[/]"
            table.add_row(one.judge, one.probe, state, figure_text(one), wanted_text(one), str(one.cases), one.detail)
    console.print(table)
    if people:
        beside = Table("judge", "files", "Pearson", "Spearman", title="beside people")
        for row in people:
            beside.add_row(row.judge, f"{row.files} of {row.of}", _estimate(row.pearson), _estimate(row.spearman))
        console.print(beside)


def markdown(report: CheckReport, people: Sequence[PeopleRow]) -> str:
    """The same tables, with what does not apply."""
    lines = [HEAD, ["---"] * len(HEAD)]
    lines += [
        (f.judge, f.probe, STATES[f.passed], figure_text(f), wanted_text(f), str(f.cases), f.detail.replace("|", "/"))
        for f in report.findings
    ]
    text = "# Self-check\n\n" + _table(lines)
    if people:
        rows = [(r.judge, f"{r.files} of {r.of}", _estimate(r.pearson), _estimate(r.spearman)) for r in people]
        text += "\n# Beside people\n\n" + _table([("judge", "files", "Pearson", "Spearman"), ["---"] * 4, *rows])
    return text


def save(report: CheckReport, people: Sequence[PeopleRow], sounds: Sequence[Sound], folder: Path, *, examples: int) -> None:
    """`check.json`, `check.md`, `check.html` and `sounds/*.wav` in `folder`: of every failed or narrow probe the worst examples."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sounds").mkdir(exist_ok=True)
    by_name = {sound.name: sound for sound in sounds}
    shown = {index: [n for n in finding.examples if n in by_name][:examples] for index, finding in enumerate(report.findings)}
    for name in dict.fromkeys(name for names in shown.values() for name in names):
        write_audio(folder / "sounds" / f"{name}.wav", by_name[name].audio.clip(-1.0, 1.0), RATE_HZ)
    with replacing(folder / "check.json") as temporary:
        temporary.write_text(json.dumps(as_json(report, people), indent=1) + "\n", encoding="utf-8")
    (folder / "check.md").write_text(markdown(report, people), encoding="utf-8")
    rows = [
        (finding, STATES[finding.passed], figure_text(finding), wanted_text(finding), shown[i]) for i, finding in enumerate(report.findings)
    ]
    beside = [(row, _estimate(row.pearson), _estimate(row.spearman)) for row in people]
    (folder / "check.html").write_text(render_page("check.html", version=__version__, rows=rows, people=beside), encoding="utf-8")


def as_json(report: CheckReport, people: Sequence[PeopleRow] = ()) -> dict:
    """For machines."""
    return {
        "findings": [asdict(finding) for finding in report.findings],
        "identities": {name: list(identity) for name, identity in report.identities.items()},
        "people": [asdict(row) for row in people],
    }


def _estimate(estimate: object) -> str:
    return "-" if estimate is None else str(estimate)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
