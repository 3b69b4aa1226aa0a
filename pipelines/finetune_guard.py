"""The guard as the job sees it: which checkpoints are measured, what the measurements mean, what is done about a failed one.

Invariants:
- Every judgement is made against the pretrained policy's measurement (step 0): before that one is there, others only wait on disk.
- A measurement that fails, that takes longer than `guard.timeout_s`, or in which panel or guards gave no score at all is lost: that is
  said, and it is made again; MOST_LOST in a row stop the run rather than let it go on unguarded.
- Every checkpoint of the schedule is measured: one that was written, and not measured when the run was killed, is when it goes on. (None is
  pruned before: what is being measured is spared, and what is missing is asked for before anything else is written.)
- What measurements mean is worked out anew from those on disk, so that a resumed run judges as the first would have.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from actors.cluster import ON_HEAD
from actors.guard import GuardMeter
from auricle.errors import ConfigError
from auricle.judging.panel import PanelConfig
from auricle.learning.guard import GuardMonitor, Judgement, Measurement, emptiness
from auricle.metrics.scoring import check_metrics
from auricle.scenes.choice import spread_choice
from auricle.scenes.scene import Scene
from pipelines.display import Display
from pipelines.run_folder import RunFolder
from pipelines.settings import Settings
from pipelines.tracking import Tracker

MOST_LOST = 3
"""Measurements that may fail in a row before the run stops."""


class GuardWatch:
    """Measures beside the stream; `note` tells people, `stop` asks the run to end with a checkpoint."""

    def __init__(
        self,
        settings: Settings,
        run: RunFolder,
        tracker: Tracker,
        display: Display,
        *,
        note: Callable[[str], None],
        stop: Callable[[str], None],
    ) -> None:
        self._settings, self._run, self._tracker, self._display = settings, run, tracker, display
        self._note, self._stop = note, stop
        self._start_meter: Callable[[], Any] = lambda: None
        self._meter: Any = None
        self._export = "enhancer"
        self._running: dict[Any, tuple[int, Path | None]] = {}
        self._lost = 0
        self._began_s = time.monotonic()
        self.fooled, self.unguarded = "", ""

    def start(self, scenes: Sequence[Scene], enhancer_folder: str, panel_app: str) -> None:
        """Start the meter on scenes spread evenly over the held-out ones. Raises ConfigError where nothing could be watched."""
        guard = self._settings.guard
        check_metrics(guard.metrics)
        if not any(scene.target is not None for scene in scenes) and not any(name.startswith("dnsmos") for name in guard.metrics):
            raise ConfigError(
                f"guard.metrics = {list(guard.metrics)}: all need clean targets, and the held-out scenes have none; add dnsmos_fast_ovrl"
            )
        if unguarded := [name for name in guard.metrics if name not in guard.tolerance]:
            missing = f"guard.tolerance = {guard.tolerance} has no value for {', '.join(unguarded)}"
            if len(unguarded) == len(set(guard.metrics)):
                raise ConfigError(f"{missing}: no fall would ever stop the run; give a tolerance for one of them at least")
            self._note(f"{missing}: measured, but no fall of it stops the run")
        if voting := optimised_guards(guard.metrics, self._settings.panel):
            self._note(
                f"guard.metrics: {', '.join(voting)} is optimised, too (a judge of panel.judges votes with it), so it is no independent "
                "check of the reward: what a judge gains by being fooled it shows as a rise"
            )
        self.watch_with(
            GuardMeter,
            spread_choice(scenes, guard.scenes),
            enhancer_folder,
            self._settings.rollout.clip_s,
            guard.metrics,
            self._settings.panel,
            panel_app,
            self._settings.reward.timeout_s,
        )

    def watch_with(self, meter: type, *arguments: Any, export: str = "enhancer") -> None:
        """Start a meter: an actor with `measure(step, folder)`. export: the folder that it reads within a checkpoint."""
        # Restarted whenever it dies: without it the run would go on unguarded.
        actor = ray.remote(num_cpus=0.1, max_restarts=-1, resources=ON_HEAD)(meter)
        self._start_meter, self._export = partial(actor.remote, *arguments), export
        self._meter = self._start_meter()

    @property
    def measuring(self) -> set[int]:
        """Steps whose checkpoints are still needed."""
        return {step for step, _ in self._running.values()}

    def measure(self, step: int, checkpoint: Path | None) -> None:
        """Ask for the measurement of a checkpoint (None: the pretrained policy)."""
        if not self._running:
            self._began_s = time.monotonic()
        folder = None if checkpoint is None else str(checkpoint / self._export)
        self._running[self._meter.measure.remote(step, folder)] = (step, checkpoint)

    def measure_what_is_missing(self, checkpoint: tuple[int, Path] | None) -> None:
        """The starting point, and what was written but not measured before the run broke, up to `checkpoint`, where it goes on."""
        usable = (measurement for measurement in self._run.measurements() if not emptiness(measurement, self._settings.guard))
        known = {measurement.step for measurement in usable} | self.measuring
        wanted: dict[int, Path | None] = {0: None}
        if checkpoint is not None:
            on_disk = self._run.checkpoints(checkpoint[0])
            wanted |= {step: folder for step, folder in on_disk if step % self._settings.guard.every == 0} | dict([checkpoint])
        for step, folder in sorted(wanted.items()):
            if step not in known:
                self.measure(step, folder)

    def collect(self, timeout_s: float = 0.0) -> None:
        """Take what is ready."""
        if not self._running:
            return
        ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=timeout_s)
        died = False
        for reference in ready:
            step, checkpoint = self._running.pop(reference)
            self._began_s = time.monotonic()  # the meter measures one after the other
            try:
                measurement = ray.get(reference)
            except RayError as error:
                if died and isinstance(error, RayActorError):  # it waited behind the one that is lost with the meter
                    self.measure(step, checkpoint)
                    continue
                died = isinstance(error, RayActorError)
                self._lose(step, checkpoint, str(error).strip().splitlines()[-1])
                continue
            if empty := emptiness(measurement, self._settings.guard):
                self._lose(step, checkpoint, empty)
            else:
                self._lost = 0
                self._take(measurement)
        self._check_hanging()

    def wait(self) -> None:
        """Take all that is under way; each measurement has its deadline."""
        while self._running:
            self.collect(timeout_s=1.0)

    def _check_hanging(self) -> None:
        """Start the meter anew where a measurement takes too long; those that waited behind it are asked for again."""
        limit_s = self._settings.guard.timeout_s
        if not self._running or time.monotonic() - self._began_s < limit_s:
            return
        (step, checkpoint), *waiting = self._running.values()
        self._running = {}
        ray.kill(self._meter)
        self._meter = self._start_meter()  # another actor: what is asked of it cannot reach the one that is being killed
        self._lose(step, checkpoint, f"it did not end within guard.timeout_s = {limit_s:g} s")
        for other in waiting:
            self.measure(*other)

    def _take(self, measurement: Measurement) -> None:
        self._run.write_measurement(measurement)
        means = measurement.means()
        self._run.append("guard.jsonl", {"step": measurement.step, "time_s": time.time(), "metrics": means})
        self._tracker.log_metrics(measurement.step, {f"guard/{name}": value for name, value in means.items()})
        self._display.guard(measurement.step, means)
        guards = [name for name in self._settings.guard.metrics if name in self._settings.guard.tolerance]
        if measurement.step == 0 and (absent := [name for name in guards if name not in means]):
            self._note(f"guard: {', '.join(absent)} gave no score at the start on any held-out scene, so it guards nothing")
        judgements = judge_all(self._settings, self._run.measurements())
        # A starting point that had to be measured again comes late: what it makes the best may have been pruned meanwhile.
        best = [one for one in judgements.values() if one.is_best and one.step > 0 and self._run.has_checkpoint(one.step)]
        if best:
            self._run.mark_best(best[-1].step, best[-1].change)
        if (now := judgements.get(measurement.step)) and now.unknown:
            self._note(
                f"guard: {', '.join(now.unknown)} gave no score at step {now.step} on most held-out scenes; this is no best checkpoint"
            )
        sentence = next((judgement.sentence for judgement in judgements.values() if judgement.sentence), "")
        if sentence and not self.fooled:
            self._note(sentence)
            if self._settings.guard.stop:
                self.fooled = sentence
                self._stop(f"guard: {sentence}")

    def _lose(self, step: int, checkpoint: Path | None, why: str) -> None:
        self._note(f"the guard's measurement of step {step} failed: {why}")
        self._lost += 1
        if self._lost < MOST_LOST:
            self.measure(step, checkpoint)
        elif self._settings.guard.stop:
            self.unguarded = f"{self._lost} guard measurements failed in a row, the last with: {why}"
            self._stop(f"unguarded: {self.unguarded}")


def optimised_guards(metrics: Sequence[str], panel: PanelConfig) -> list[str]:
    """Guard metrics that a judge with a vote gives, too: of the same kind, whatever the window or the variant."""
    kinds = {judge.kind_or_name for judge in panel.judges if any(judge.weights.values())}
    return [name for name in metrics if _family(name) in {_family(kind) for kind in kinds}]


def _family(name: str) -> str:
    return "dnsmos" if name.startswith("dnsmos") else {"estoi": "stoi"}.get(name, name)


def judge_all(settings: Settings, measurements: Sequence[Measurement]) -> dict[int, Judgement]:
    """What each measurement means, by step; empty as long as the starting point is missing, or holds nothing to compare with."""
    if not measurements or measurements[0].step != 0 or emptiness(measurements[0], settings.guard):
        return {}
    monitor = GuardMonitor(settings.guard)
    return {measurement.step: monitor.add(measurement) for measurement in measurements}
