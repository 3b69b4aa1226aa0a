"""`auricle judge --self-check`: is this judge fit to reward anything?

panel, each judge in this process --> sounds (auricle.checking) --> findings --> table, page, JSON, the sounds to listen to
rated recordings (--ratings) --------> correlation with people, DNSMOS and PESQ beside
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from auricle.audio import read_audio
from auricle.checking.check import CheckReport, check_judges
from auricle.checking.people import PeopleRow, beside_people
from auricle.checking.sounds import RATE_HZ, whole_sounds
from auricle.judging.local import LocalPanel
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.registry import find_judge, options_class
from auricle.listeners.ratings import read_ratings
from auricle.progress import Progress
from pipelines.command import EXIT_ERROR, EXIT_OK
from pipelines.reporting.check import save, show
from pipelines.settings import Settings

BESIDE = ("dnsmos", "pesq")


def self_check(panel: PanelConfig, settings: Settings, output: Path, ratings: Sequence[Path]) -> int:
    """The whole check of every judge of `panel`; exit status 1 where a probe failed. Writes into `output`."""
    console = Console(stderr=True)
    sounds = whole_sounds(settings.check)
    # A minute a block is for judges on a cluster; here several share this process's cores.
    panel = panel.model_copy(update={"judges": tuple(judge.model_copy(update={"deadline_s": 900.0}) for judge in panel.judges)})
    with LocalPanel(panel) as local, Progress(console=console, transient=True) as progress:
        task = progress.add_task("checking", total=None)
        report = check_judges(
            panel,
            sounds,
            settings.check,
            local.judge,
            compare=local.compare,
            progress=lambda count: progress.advance(task, count),
        )
    people = [row for table in ratings for row in _people(panel, table)]
    save(report, people, sounds, output, examples=settings.check.examples)
    show(report, people, Console(width=160) if not sys.stdout.isatty() else Console())
    console.print(_sentence(report))
    console.print(f"to read and to listen to: {output / 'check.html'}")
    return EXIT_ERROR if report.failures() else EXIT_OK


def _people(panel: PanelConfig, table: Path) -> list[PeopleRow]:
    """The judges, DNSMOS and PESQ on rated recordings."""
    kinds = {judge.kind_or_name for judge in panel.judges}
    more = [JudgeConfig(name=kind, weights={}, deadline_s=900.0) for kind in BESIDE if kind not in kinds]
    judges = [_aligned(judge) for judge in (*panel.judges, *more)]
    wider = PanelConfig.model_validate(panel.model_dump() | {"judges": [judge.model_dump() for judge in judges]})
    files = read_ratings(table)
    requests = [
        {
            "clip_id": str(file.path),
            "audio": read_audio(file.path, RATE_HZ),
            "sample_rate_hz": RATE_HZ,
            "reference": None if file.reference in (None, file.path) else read_audio(file.reference, RATE_HZ),
        }
        for file in files
    ]
    with LocalPanel(wider) as local:
        return beside_people(wider.judges, [file.mos for file in files], local.judge(requests))


def _aligned(judge: JudgeConfig) -> JudgeConfig:
    """Rated recordings and their originals are seldom of one length."""
    if "lengths" not in options_class(find_judge(judge.kind_or_name)).model_fields:
        return judge
    return judge.model_copy(update={"options": {"lengths": "align"} | judge.options})


def _sentence(report: CheckReport) -> str:
    failures = report.failures()
    if not failures:
        return "every probe that applies is passed"
    return "failed: " + "; ".join(f"{f.judge} {f.probe} {'-' if f.figure is None else f'{f.figure:.2f}'}" for f in failures)
