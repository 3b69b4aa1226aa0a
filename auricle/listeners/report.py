"""The report on a listener: measured by the modules beside this one, gathered here, written as JSON and as Markdown tables."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from auricle.listeners.adversary import WhiteBox, white_box
from auricle.listeners.checkpoint import Listener
from auricle.listeners.dataset import ClipSet
from auricle.listeners.held_out import HeldOutReport, held_out_report
from auricle.listeners.probes import BestOf, ProbeRow, attenuation_shift, best_of, probe_table
from auricle.listeners.ratings import Agreement, agreement_with_people, read_ratings
from auricle.listeners.sources import Sources
from auricle.listeners.words import sentiment_with_pesq
from auricle.metrics.intervals import Estimate


@dataclass(frozen=True)
class ListenerReport:
    """All of it. words: Spearman with PESQ of each reader of the descriptions. attenuation_shift: change of the score when a clip comes
    20 dB lower without the judges' normalisation."""

    held_out: HeldOutReport
    words: dict[str, Estimate]
    probes: list[ProbeRow]
    attenuation_shift: float
    best_of: BestOf
    white_box: WhiteBox
    people: list[Agreement]


def report_on(
    listener: Listener, clips: ClipSet, sources: Sources, ratings: Sequence[Path] = (), *, probe_clips: int = 16
) -> ListenerReport:
    """Measures everything; `sources` are the held-out ones. probe_clips: sounds a probe."""
    people = [row for table in ratings for row in agreement_with_people(listener, read_ratings(table))]
    return ListenerReport(
        held_out=held_out_report(listener, clips),
        words=sentiment_with_pesq(listener, clips),
        probes=probe_table(listener, sources, probe_clips),
        attenuation_shift=attenuation_shift(listener, sources, probe_clips),
        best_of=best_of(listener, sources, probe_clips),
        white_box=white_box(listener, sources, max(1, probe_clips // 3)),
        people=people,
    )


def save_report(report: ListenerReport, folder: Path) -> None:
    """`report.json` and `report.md` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(report_text(report), encoding="utf-8")


def report_text(report: ListenerReport) -> str:
    """Markdown tables."""
    parts = [_held_out_text(report.held_out, report.words), _probes_text(report)]
    if report.people:
        rows = [[row.rater, str(row.files), f"{row.pearson:.2f}", f"{row.spearman:.2f}"] for row in report.people]
        parts.append("### Beside people (file level, overall score)\n\n" + _table(["rater", "files", "Pearson", "Spearman"], rows))
    return "\n\n".join(parts) + "\n"


def _held_out_text(report: HeldOutReport, words: dict[str, Estimate]) -> str:
    rows = [
        ["expected score: Pearson with label", str(report.pearson_label)],
        ["expected score: Spearman with label", str(report.spearman_label)],
        ["expected score: Spearman with PESQ", str(report.spearman_pesq)],
        ["greedy digit: Spearman with PESQ", f"{report.greedy_spearman_pesq:.3f}"],
        ["with the clean original beside it: Spearman with PESQ", f"{report.reference_spearman_pesq:.3f}"],
        *([f"descriptions, read by {name}: Spearman with PESQ", _with_left_out(value)] for name, value in words.items()),
        ["expected score: mean absolute error", f"{report.mean_absolute_error:.2f}"],
        *([f"{name}: Pearson", f"{value:.2f}"] for name, value in report.dimensions.items()),
        *([f"unparsable answers: {name}", f"{100 * share:.1f} %"] for name, share in report.unparsable.items()),
        ["distinct descriptions", f"{report.distinct_descriptions} of {report.clips}"],
        ["main artefact named", f"{100 * report.artefact_accuracy:.0f} %"],
        ["drop-outs found / falsely named", f"{100 * report.drop_outs_found:.0f} % / {100 * report.drop_outs_false:.1f} %"],
        [f"time spans: mean IoU ({report.span_clips} clips)", f"{report.span_iou:.2f}"],
        ["better of two clips", f"{100 * report.comparison_accuracy:.0f} % (order bias {100 * report.order_bias:+.0f} %)"],
    ]
    damages = [[kind, str(count), f"{value:.2f}"] for kind, (count, value) in report.by_damage.items()]
    return (
        f"### Held-out speakers and noises ({report.clips} clips, 95 % intervals by bootstrap over {report.speakers} speakers)\n\n"
        + _table(["measure", "value"], rows)
        + "\n\n"
        + _table(["damage", "clips", "Spearman with label"], damages)
    )


def _probes_text(report: ListenerReport) -> str:
    rows = [[row.name, f"{row.mean:.2f} ± {row.spread:.2f}", row.wanted] for row in report.probes]
    box, best = report.white_box, report.best_of
    rows.append(["20 dB lower, not normalised", f"{report.attenuation_shift:+.2f}", "0"])
    rows.append(
        [
            f"gradient on a mask ({box.clips} clips, 0 dB)",
            f"{box.score_before:.2f} -> {box.score_after:.2f} (PESQ {box.pesq_before:.2f} -> {box.pesq_after:.2f})",
            "no rise without PESQ",
        ]
    )
    rows.append(
        [
            f"best of 12 masks ({best.scenes} scenes)",
            f"PESQ: noisy {best.noisy:.2f}, random {best.random:.2f}, picked {best.picked:.2f}, best {best.oracle:.2f}",
            "picked near best",
        ]
    )
    return "### How it is fooled\n\n" + _table(["sound", "expected score", "wanted"], rows)


def _with_left_out(value: Estimate) -> str:
    """Descriptions that nobody could read are said, not only missing."""
    return f"{value}, {value.left_out} of {value.rows + value.left_out} without a score" if value.left_out else str(value)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
