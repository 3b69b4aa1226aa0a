"""What a run comes to, in a sentence or two: pure functions of its record."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from auricle.metrics.intervals import Estimate
from pipelines.reporting.evaluation import Evaluation
from pipelines.reporting.names import GUARDS, in_order, measure
from pipelines.reporting.runs import RunRecord
from pipelines.reporting.scores import FEWEST_CLUSTERS


@dataclass(frozen=True)
class RunVerdict:
    """tone: `good`, `bad`, `mixed` or `open`. headline: one sentence. detail: what it rests on."""

    tone: str
    headline: str
    detail: str = ""


def run_verdict(record: RunRecord) -> RunVerdict:
    """The verdict on a run: from its evaluation where there is one, else from its guard measurements."""
    stop = next((str(line["event"]) for line in record.events if "stopped by the guard" in str(line.get("event", ""))), "")
    changes, source = changes_of(record)
    if not changes:
        if not record.steps:
            return RunVerdict("open", "The run has not taken a step yet.")
        if not record.is_finetune:
            return RunVerdict("open", f"Supervised training, {record.last_step:,} steps.")
        return RunVerdict(
            "open", "Not judged yet: there are no two measurements on held-out scenes.", f"{record.last_step:,} steps so far."
        )
    verdict = verdict_on(changes, source, optimised_by(record))
    if stop:
        sentence = stop[0].upper() + stop[1:].rstrip(".") + "."
        return RunVerdict("bad" if verdict.tone != "good" else "mixed", sentence, f"{verdict.headline} {verdict.detail}")
    return verdict


def verdict_on(changes: Mapping[str, Estimate], source: str, optimised: Collection[str] = ()) -> RunVerdict:
    """The panel's score is what was optimised; the well-known metrics that had no vote in it are guards.

    A change is clear where its 95 % interval leaves zero out, from at least FEWEST_CLUSTERS speakers (or scenes).
    optimised: parts of the reward.
    """
    panel = changes.get("panel")
    guards = {name: change for name, change in changes.items() if name in GUARDS and name not in optimised}
    risen = [measure(name).label for name in in_order(guards) if _rose(guards[name])]
    fallen = [measure(name).label for name in in_order(guards) if _fell(guards[name])]
    figures = ", ".join(f"{measure(name).label} {_change(name, guards[name])}" for name in in_order(guards))
    clusters = min((change.clusters for change in changes.values()), default=0)
    rough = f" From {clusters} independent groups of clips nothing can be called clear." if clusters < FEWEST_CLUSTERS else ""
    detail = (f"{figures}. {source}" if figures else source) + rough
    beside = (
        f", but {_and(fallen)} fell"
        if fallen
        else f", and {_and(risen)} with it"
        if risen
        else "; no guard changed clearly"
        if guards
        else ""
    )
    if panel is None:
        tone = "mixed" if risen and fallen else "good" if risen else "bad" if fallen else "open"
        moves = [f"{_and(names)} {what}" for names, what in ((risen, "rose"), (fallen, "fell")) if names]
        return RunVerdict(tone, f"{'; '.join(moves) or 'No metric changed clearly'}.", detail)
    if _rose(panel):
        return RunVerdict("mixed" if fallen else "good", f"The panel's score rose by {_change('panel', panel)}{beside}.", detail)
    if _fell(panel):
        return RunVerdict("bad", f"The panel's score fell by {_change('panel', panel)}.", detail)
    return RunVerdict("open", f"No clear change in the panel's score: {_change('panel', panel)}{beside if fallen else ''}.", detail)


def _rose(change: Estimate) -> bool:
    return change.clusters >= FEWEST_CLUSTERS and change.low > 0


def _fell(change: Estimate) -> bool:
    return change.clusters >= FEWEST_CLUSTERS and change.high < 0


def optimised_by(record: RunRecord) -> set[str]:
    """Metrics that had a vote in the reward (a part `dnsmos` counts for all of DNSMOS)."""
    parts = {name.removeprefix("reward/part/").split(".")[0] for name in record.metric_names("reward/part/")}
    return parts | ({"dnsmos_ovrl", "dnsmos_fast_ovrl"} if "dnsmos" in parts else set())


def changes_of(record: RunRecord) -> tuple[dict[str, Estimate], str]:
    """Metric -> change from the pretrained to the fine-tuned enhancer, and a sentence on where it was measured."""
    if record.evaluation is not None:
        system = _tuned_system(record.evaluation)
        found = evaluation_changes(record.evaluation, system) if system else {}
        if found:
            e = record.evaluation
            return found, f"{system} against {e.baseline} on {e.scenes} scenes with {e.speakers} speakers, 95 % intervals by speaker."
    if record.changes:
        scenes = max(change.rows for change in record.changes.values())
        at = f"the best checkpoint (step {record.best_step})" if record.best_step else "the last measurement"
        return dict(record.changes), f"Measured on {scenes} held-out scenes, {at} against the start, 95 % intervals."
    return {}, ""


def evaluation_changes(evaluation: Evaluation, system: str) -> dict[str, Estimate]:
    """The overall differences of one system to the baseline."""
    found = {}
    for metric in evaluation.metrics:
        cell = evaluation.cell(system, metric)
        if cell is not None and cell.difference is not None:
            low, high = (float("nan") if edge is None else edge for edge in (cell.difference_low, cell.difference_high))
            found[metric] = Estimate(cell.difference, low, high, cell.scenes, cell.clusters, cell.failed)
    return found


def _tuned_system(evaluation: Evaluation) -> str | None:
    others = [system for system in evaluation.systems if system not in ("noisy", evaluation.baseline)]
    return "fine-tuned" if "fine-tuned" in others else (others[0] if others else None)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _change(name: str, change: Estimate) -> str:
    how = measure(name)
    unit = f" {how.unit}" if how.unit else ""
    return f"{how.change_text(change.value)}{unit} {how.interval_text(change.low, change.high, change.clusters)}"
