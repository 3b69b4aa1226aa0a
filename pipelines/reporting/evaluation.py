"""An evaluation as files and as a printed table.

evaluation/table.csv     one row a group of scenes, system and metric: mean, difference to the baseline with its interval, failures
evaluation/scenes.csv    one row a scene and system: every score; empty where it failed, with the reason beside it; the words
evaluation/summary.json  the same as table.csv with notes, for the report and for other programs
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from auricle.errors import AuricleError
from auricle.files import replacing
from pipelines.reporting.names import measure
from pipelines.reporting.scores import OVERALL, Cell, SceneScores, cells_from_json, cells_to_json, interferer_type, snr_band

FORMAT = "auricle-evaluation-1"
_OVERALL_ONLY = ("dnsmos_sig", "dnsmos_bak")


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    systems: in the order of the table. baseline: the system that differences are taken to; None where there is none.
    notes: sentences for people, such as how many scenes had no target. failures: metric -> reason -> how often.
    """

    systems: tuple[str, ...]
    metrics: tuple[str, ...]
    baseline: str | None
    scenes: int
    speakers: int
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    command: str = ""

    def cell(self, system: str, metric: str, group_kind: str = OVERALL, group: str = OVERALL) -> Cell | None:
        """One cell, or None where no score was usable."""
        found = (c for c in self.cells if (c.group_kind, c.group, c.system, c.metric) == (group_kind, group, system, metric))
        return next(found, None)

    def groups(self) -> list[tuple[str, str]]:
        """(kind, group) in the order of the table."""
        return list(dict.fromkeys((cell.group_kind, cell.group) for cell in self.cells))


def write_evaluation(folder: Path, evaluation: Evaluation, scores: Sequence[SceneScores], snr_band_db: float) -> None:
    """Write the three files; each appears whole or not at all."""
    rows = cells_to_json(evaluation.cells)
    _write_text(folder / "table.csv", _csv([field.name for field in fields(Cell)], [list(row.values()) for row in rows]))
    head = ["scene_id", "speaker", "snr_db", "snr_band", "interferer", "condition", "system", *evaluation.metrics, "failures", "words"]
    _write_text(folder / "scenes.csv", _csv(head, [_scene_row(score, evaluation.metrics, snr_band_db) for score in scores]))
    summary = {"format": FORMAT, **{f.name: getattr(evaluation, f.name) for f in fields(Evaluation)}, "cells": rows}
    _write_text(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")


def read_evaluation(folder: Path) -> Evaluation | None:
    """What `write_evaluation` wrote into `folder`; None where nothing was. Raises AuricleError where it cannot be read."""
    path = folder / "summary.json"
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise ValueError("another format")
        cells = tuple(cells_from_json(data.pop("cells")))
        lists: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return Evaluation(cells=cells, **lists)
    except (ValueError, KeyError, TypeError) as error:
        raise AuricleError(f"{path}: not an evaluation by this version ({error}); run `auricle evaluate` again") from error


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """The table for people: all scenes first, then every group; a row a metric, a column a system."""
    others = [system for system in evaluation.systems[1:] if system != evaluation.baseline]
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(f"{evaluation.scenes} scenes, {evaluation.speakers} speakers")
    for system in evaluation.systems:
        table.add_column(system, justify="right")
    for system in others:
        table.add_column(f"{system} \N{MINUS SIGN} {evaluation.baseline}", justify="right", no_wrap=True)
    for kind, group in evaluation.groups():
        if kind != OVERALL:
            table.add_row(Text(group_label(kind, group), style="bold"))
        for metric in evaluation.metrics:
            if kind == OVERALL or metric not in _OVERALL_ONLY:
                how = measure(metric)
                cells = [evaluation.cell(system, metric, kind, group) for system in evaluation.systems]
                changes = [_change_text(evaluation.cell(system, metric, kind, group)) for system in others]
                table.add_row(f"  {how.label} {how.unit}".rstrip(), *map(_mean_text, cells), *changes)
        table.add_section()
    console.print(table)
    if others:
        console.print(
            "In brackets: 95 % interval of the paired difference (bootstrap over speakers). * leaves zero out, of 6 speakers or more."
        )
    for note in evaluation.notes:
        console.print(note)


def group_label(kind: str, group: str) -> str:
    """A group of scenes in words."""
    if kind == OVERALL:
        return "all"
    return f"SNR {group}" if kind == "snr" else group


def _mean_text(cell: Cell | None) -> Text:
    if cell is None:
        return Text("\N{EN DASH}", style="dim")
    text = Text(measure(cell.metric).text(cell.mean))
    return text.append(f" ({cell.failed} failed)", style="red") if cell.failed else text


def _change_text(cell: Cell | None) -> Text:
    if cell is None or cell.difference is None:
        return Text("\N{EN DASH}", style="dim")
    how = measure(cell.metric)
    interval = how.interval_text(cell.difference_low, cell.difference_high, cell.clusters)
    style = "dim" if not cell.is_clear else ("green" if cell.difference > 0 else "red")
    mark = "*" if cell.is_clear else " "
    return Text(f"{how.change_text(cell.difference)} {interval}{mark}", style=style)


def _scene_row(score: SceneScores, metrics: Sequence[str], snr_band_db: float) -> list[Any]:
    scene = score.scene
    reasons = "; ".join(f"{metric}: {reason}" for metric, reason in score.reasons.items())
    about = [scene.scene_id, scene.speaker, scene.snr_db, snr_band(scene.snr_db, snr_band_db), interferer_type(scene), scene.condition]
    return [*about, score.system, *[score.values.get(metric) for metric in metrics], reasons, score.words]


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if value is None else f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows])
    return text.getvalue()


def _write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
