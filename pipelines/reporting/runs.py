"""A run's folder read back for people: what happened at each step, what was measured, said and lost, and what it comes to in a sentence."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auricle.config import read_toml
from auricle.enhancers.assets import default_enhancer
from auricle.errors import CheckpointError, ConfigError, LedgerError
from auricle.ledger import Account, account
from auricle.ledger import read as read_ledger
from auricle.metrics.intervals import Estimate, paired_interval
from pipelines.reporting.evaluation import Evaluation, read_evaluation
from pipelines.reporting.plot import Series
from pipelines.run_folder import RunFolder
from pipelines.samples import Sample, read_samples
from pipelines.scaling import ScaleEvent, read_scaling


@dataclass(frozen=True)
class Saying:
    """A description that the listener gave, how often, its mean reward, and its share among the first and the last third of the steps."""

    text: str
    count: int
    reward: float
    early_share: float
    late_share: float


@dataclass(frozen=True)
class RunRecord:
    """All of a run. steps, guards: lines of metrics.jsonl and guard.jsonl. changes: guard metric -> paired change since the start."""

    name: str
    folder: Path
    config: Mapping[str, Any]
    config_text: str
    steps: tuple[Mapping[str, Any], ...]
    guards: tuple[Mapping[str, Any], ...]
    events: tuple[Mapping[str, Any], ...]
    samples: tuple[Sample, ...] = ()
    sayings: tuple[Saying, ...] = ()
    account: Account | None = None
    ledger_fault: str = ""
    quarantined: tuple[str, ...] = ()
    evaluation: Evaluation | None = None
    changes: Mapping[str, Estimate] = field(default_factory=dict)
    best_step: int | None = None
    scaled: tuple[ScaleEvent, ...] = ()

    @property
    def duration_s(self) -> float:
        """From the first to the last step, in seconds; gaps between a stop and its resumption are in it."""
        times = [line["time_s"] for line in self.steps if "time_s" in line]
        return times[-1] - times[0] if times else 0.0

    @property
    def is_finetune(self) -> bool:
        """Whether this is (or may become) the main job's run: a supervised one has steps but no reward."""
        return not self.steps or bool(self.metric_names("reward/"))

    @property
    def last_step(self) -> int:
        """Learner steps made."""
        if not self.steps:
            return 0
        counted_from_zero = self.steps[0]["step"] == 0
        return int(self.steps[-1]["step"]) + counted_from_zero

    def metric_names(self, prefix: str) -> list[str]:
        """Names of step metrics that begin with `prefix`, in order of appearance."""
        return list(dict.fromkeys(name for line in self.steps for name in line["metrics"] if name.startswith(prefix)))

    def series(self, metric: str, label: str = "") -> Series:
        """A step metric as a line; steps that lack it are gaps."""
        return _series(self.steps, metric, label or metric)

    def guard_series(self, metric: str, label: str = "") -> Series:
        """A guard metric as a line."""
        return _series(self.guards, metric, label or metric)

    def failures(self) -> dict[str, int]:
        """reason -> failed judgements over all steps."""
        totals: Counter[str] = Counter()
        for line in self.steps:
            for name, value in line["metrics"].items():
                if name.startswith("failures/") and value:
                    totals[name.removeprefix("failures/")] += round(value)
        return dict(totals.most_common())


def read_run(path: Path) -> RunRecord:
    """The record of the run in `path`. Raises ConfigError where there is none; what a run does not have yet is left empty."""
    folder = RunFolder.open(path)
    config = read_toml(folder.path / "config.toml")
    sums, fault = _account(folder.path)
    best_step = _best_step(folder)
    return RunRecord(
        name=config.get("run", {}).get("name", folder.path.name),
        folder=folder.path,
        config=config,
        config_text=(folder.path / "config.toml").read_text(encoding="utf-8"),
        steps=tuple(map(_step_line, folder.lines("metrics.jsonl"))),
        guards=tuple(folder.lines("guard.jsonl")),
        events=tuple(folder.lines("events.jsonl")),
        samples=tuple(read_samples(folder.path)),
        sayings=tuple(sayings(folder.path / "ledger")) if not fault else (),
        account=sums,
        ledger_fault=fault,
        quarantined=tuple(one.sentence() for one in folder.quarantined()),
        evaluation=read_evaluation(folder.path / "evaluation"),
        changes=_changes(folder, best_step),
        best_step=best_step,
        scaled=tuple(read_scaling(folder.path)),
    )


def enhancers_of(path: Path) -> dict[str, Path]:
    """The pretrained enhancer of a run, and what it made of it: the best checkpoint by guard (the last one where none was best)."""
    folder = RunFolder.open(path)
    return {"pretrained": _pretrained(folder), "fine-tuned": _shown(folder)[1] / "enhancer"}


def fine_tuned_is(path: Path) -> str:
    """Which of the run's checkpoints stands for it, in a sentence."""
    folder = RunFolder.open(path)
    step, _ = _shown(folder)
    if folder.best_checkpoint() is None:
        return f"fine-tuned: the last checkpoint, of step {step} (on held-out scenes none was the best by the guard)."
    split = folder.settings().scenes.dev_split
    return f"fine-tuned: the best checkpoint by the guard on held-out scenes of the split {split}, of step {step}."


def _shown(folder: RunFolder) -> tuple[int, Path]:
    found = folder.best_checkpoint() or folder.last_checkpoint()
    if found is None:
        raise ConfigError(
            f"{folder.path}: no checkpoint there yet; let the run reach its first one, or name one with --enhancer NAME=FOLDER"
        )
    return found


def sayings(ledger: Path, most: int = 10) -> list[Saying]:
    """What the listener said most often in training, most frequent first."""
    if not ledger.is_dir():
        return []
    rows = read_ledger(ledger, ["step", "reward", "verdicts"]).to_pylist()
    said: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        texts = [verdict["text"].strip() for verdict in row["verdicts"] or () if verdict["state"] == "scored" and verdict["text"]]
        for text in texts[:1]:
            said.setdefault(text, []).append((row["step"], math.nan if row["reward"] is None else row["reward"]))
    last = max((row["step"] for row in rows), default=0)
    early, late = (last + 1) / 3, 2 * (last + 1) / 3
    everyone = [step for heard in said.values() for step, _ in heard]
    totals = (sum(step < early for step in everyone), sum(step >= late for step in everyone))
    result = []
    for text, heard in sorted(said.items(), key=lambda item: (-len(item[1]), item[0]))[:most]:
        rewards = [reward for _, reward in heard if math.isfinite(reward)]
        mean = sum(rewards) / len(rewards) if rewards else math.nan
        shares = [sum(step < early for step, _ in heard), sum(step >= late for step, _ in heard)]
        early_share, late_share = (share / total if total else 0.0 for share, total in zip(shares, totals, strict=True))
        result.append(Saying(text, len(heard), mean, early_share, late_share))
    return result


def _step_line(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of metrics.jsonl; supervised runs write their metrics flat."""
    if "metrics" in line:
        return line
    metrics = {name: value for name, value in line.items() if name not in ("step", "time_s") and isinstance(value, int | float)}
    return {"step": line["step"], "metrics": metrics, **({"time_s": line["time_s"]} if "time_s" in line else {})}


def _series(lines: Sequence[Mapping[str, Any]], metric: str, label: str) -> Series:
    values = [line["metrics"].get(metric) for line in lines]
    return Series(label, [line["step"] for line in lines], [math.nan if value is None else float(value) for value in values])


def _account(path: Path) -> tuple[Account | None, str]:
    if not (path / "ledger").is_dir():
        return None, ""
    try:
        sums = account(path / "ledger")
    except LedgerError as error:
        return None, str(error)
    return sums, "; ".join(sums.faults)


def _best_step(folder: RunFolder) -> int | None:
    try:
        best = folder.best_checkpoint()
    except CheckpointError:  # its files were removed: the page is about what happened all the same
        return None
    return best[0] if best else None


def _changes(folder: RunFolder, best_step: int | None) -> dict[str, Estimate]:
    measured = folder.measurements()
    if len(measured) < 2:
        return {}
    first = measured[0]
    chosen = next((one for one in measured if one.step == best_step), measured[-1])
    if chosen.step == first.step:
        chosen = measured[-1]
    pairs = {name: (first.scores[name], values) for name, values in chosen.scores.items() if name in first.scores}
    return {
        name: paired_interval(before, after, first.clusters or None)
        for name, (before, after) in pairs.items()
        if any(math.isfinite(a) and math.isfinite(b) for a, b in zip(before, after, strict=True))
    }


def _pretrained(folder: RunFolder) -> Path:
    named = folder.settings().finetune.enhancer
    return named or default_enhancer()
