"""What a run comes to, into MLflow: its verdict, the evaluation, the page, and the clips with the judges' words."""

from pathlib import Path
from typing import Any

from pipelines.reporting.evaluation import Evaluation
from pipelines.reporting.runs import read_run
from pipelines.reporting.verdict import run_verdict
from pipelines.samples import Sample
from pipelines.tracking import Tracker


def publish_run(tracker: Tracker, run: Path) -> None:
    """Log what stands in the run's folder by now: tag `verdict`, report, configuration, samples, evaluation. May be called again."""
    record = read_run(run)
    verdict = run_verdict(record)
    tracker.set_tag("verdict", f"{verdict.headline} {verdict.detail}".strip())
    for name in ("report.html", "config.toml"):
        if (record.folder / name).exists():
            tracker.log_artifact(record.folder / name)
    for sample in record.samples:
        _publish_sample(tracker, sample)
    heard = [(sample.scene_id, stage, hearing) for sample in record.samples for stage, hearing in sample.hearings.items()]
    if heard:
        columns: dict[str, list[Any]] = {"scene": [scene_id for scene_id, _, _ in heard], "stage": [stage for _, stage, _ in heard]}
        scores = list(dict.fromkeys(name for _, _, hearing in heard for name in hearing.scores))
        columns |= {name: [hearing.scores.get(name) for _, _, hearing in heard] for name in scores}
        tracker.log_table("samples", columns | {"words": [hearing.words for _, _, hearing in heard]})
    if record.evaluation is not None:
        _publish_evaluation(tracker, record.evaluation, record.folder / "evaluation", len(record.steps))


def _publish_sample(tracker: Tracker, sample: Sample) -> None:
    for stage, path in sample.files.items():
        tracker.log_audio(path, f"samples/{sample.scene_id}/{stage}.wav")
    words = next(iter(sample.files.values())).with_name("words.json")
    if words.exists():
        tracker.log_artifact(words, f"samples/{sample.scene_id}/words.json")


def _publish_evaluation(tracker: Tracker, evaluation: Evaluation, folder: Path, step: int) -> None:
    metrics: dict[str, float | None] = {}
    for system in evaluation.systems:
        for metric in evaluation.metrics:
            cell = evaluation.cell(system, metric)
            if cell is not None:
                metrics[f"evaluation/{system}/{metric}"] = cell.mean
                if system not in ("noisy", evaluation.baseline):
                    metrics[f"evaluation/{system}/{metric} change"] = cell.difference
    tracker.log_metrics(step, metrics)
    for name in ("table.csv", "scenes.csv", "summary.json"):
        tracker.log_artifact(folder / name, f"evaluation/{name}")
