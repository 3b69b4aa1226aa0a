"""The guard as the job sees it: which checkpoints are measured, what the measurements mean, what is done about a failed one.

Invariants:
- Every judgement is made against the pretrained policy's measurement (step 0): before that one is there, others only wait on disk.
- A measurement that fails, that takes longer than `guard.timeout_s`, or in which panel or guards gave no score at all is lost: that is
  said, and it is made again after a pause; one step's that failed MOST_LOST times stops the run rather than let it go on unguarded. Of the
  start scores on enough scenes are asked (`auricle.learning.guard`); a metric without them guards nothing, which is said, as are scenes
  that cannot be loaded.
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
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.cluster import ON_HEAD
from actors.guard import GuardMeter
from auricle.errors import ConfigError
from auricle.judging.panel import PanelConfig
from auricle.learning.guard import GuardMonitor, Judgement, Measurement, emptiness, scenes_needed, weaknesses
from auricle.metrics.scoring import check_metrics
from auricle.scenes.choice import spread_choice
from auricle.scenes.scene import Scene
from pipelines.display import Display
from pipelines.run_folder import RunFolder
from pipelines.settings import Settings
from pipelines.tracking import Tracker

MOST_LOST = 3
"""How often a step's measurement may fail, with no other made between, before the run stops."""
PAUSE_S = 5.0
"""Until the first try anew; doubled for the second."""


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
        self._again: list[tuple[float, int, Path | None]] = []
        """What was lost: when it is asked for again (monotonic), step, checkpoint."""
        self._lost: dict[int, int] = {}
        """How often the measurement of a step failed, since one was made."""
        self._said: set[str] = set()
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
        chosen = spread_choice(scenes, guard.scenes)
        self._check_scenes(chosen)
        if voting := optimised_guards(guard.metrics, self._settings.panel):
            self._note(
                f"guard.metrics: {', '.join(voting)} is optimised, too (a judge of panel.judges votes with it), so it is no independent "
                "check of the reward: what a judge gains by being fooled it shows as a rise"
            )
        self.watch_with(
            GuardMeter,
            chosen,
            enhancer_folder,
            self._settings.rollout.clip_s,
            guard.metrics,
            self._settings.panel,
            panel_app,
            self._settings.reward.timeout_s,
        )

    def _check_scenes(self, chosen: Sequence[Scene]) -> None:
        """Raises ConfigError where no metric can have scores on enough of the scenes to tell a fall by; without guard.stop, says so."""
        guard, needed = self._settings.guard, scenes_needed(len(chosen))
        labelled = sum(scene.target is not None for scene in chosen)
        possible = {name: len(chosen) if _family(name) == "dnsmos" else labelled for name in guard.metrics if name in guard.tolerance}
        if max(possible.values(), default=0) >= needed:
            return
        fault = (
            f"of {len(chosen)} held-out scenes {labelled} have clean targets, and no metric of guard.metrics = {list(guard.metrics)} can "
            f"have scores on {needed}, so no fall could be told"
        )
        if guard.stop:
            raise ConfigError(
                f"{fault}; give more held-out scenes (guard.scenes, scenes.dev_split), or go on unguarded (guard.stop = false)"
            )
        self._note(f"guard: {fault}")

    def watch_with(self, meter: type, *arguments: Any, export: str = "enhancer") -> None:
        """Start a meter: an actor with `measure(step, folder)`. export: the folder that it reads within a checkpoint."""
        # One that dies is replaced here, not restarted by Ray, which fails every call while it does so: each would count as lost.
        actor = ray.remote(num_cpus=0.1, resources=ON_HEAD)(meter)
        self._start_meter, self._export = partial(actor.remote, *arguments), export
        self._meter = self._start_meter()

    @property
    def measuring(self) -> set[int]:
        """Steps whose checkpoints are still needed."""
        return {step for step, _ in self._running.values()} | {step for _, step, _ in self._again}

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
        """Take what is ready, and ask again for what was lost a while ago."""
        due = [one for one in self._again if one[0] <= time.monotonic()]
        self._again = [one for one in self._again if one not in due]
        for _, step, checkpoint in due:
            self.measure(step, checkpoint)
        if not self._running:
            time.sleep(timeout_s if self._again else 0.0)
            return
        ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=timeout_s)
        for reference in [asked for asked in self._running if asked in ready]:  # in the order in which the meter takes them
            step, checkpoint = self._running.pop(reference)
            self._began_s = time.monotonic()  # the meter measures one after the other
            try:
                measurement = ray.get(reference)
            except RayError as error:
                why = str(error).strip().splitlines()[-1]
                if isinstance(error, RayActorError) and not isinstance(error, RayTaskError):  # the meter's death, not one that it saw
                    self._replace_meter(step, checkpoint, why)
                    return
                self._lose(step, checkpoint, why)
                continue
            for note in measurement.notes:
                self._say_once(note)
            if empty := emptiness(measurement, self._settings.guard):
                self._lose(step, checkpoint, empty)
            else:
                self._lost.clear()
                self._take(measurement)
        self._check_hanging()

    def wait(self) -> None:
        """Take all that is under way; each measurement has its deadline."""
        while self._running or self._again:
            self.collect(timeout_s=1.0)

    def _check_hanging(self) -> None:
        """Start the meter anew where a measurement takes too long; those that waited behind it are asked for again."""
        limit_s = self._settings.guard.timeout_s
        if not self._running or time.monotonic() - self._began_s < limit_s:
            return
        step, checkpoint = self._running.pop(next(iter(self._running)))
        self._replace_meter(step, checkpoint, f"it did not end within guard.timeout_s = {limit_s:g} s")

    def _replace_meter(self, step: int, checkpoint: Path | None, why: str) -> None:
        """Start the meter anew: it has lost the measurement that it was at, and none that waited behind."""
        waiting, self._running = list(self._running.values()), {}
        ray.kill(self._meter)
        self._meter = self._start_meter()  # another actor: what is asked of it cannot reach the one that is being killed
        self._lose(step, checkpoint, why)
        for other in waiting:
            self.measure(*other)

    def _take(self, measurement: Measurement) -> None:
        self._run.write_measurement(measurement)
        means = measurement.means()
        self._run.append("guard.jsonl", {"step": measurement.step, "time_s": time.time(), "metrics": means})
        self._tracker.log_metrics(measurement.step, {f"guard/{name}": value for name, value in means.items()})
        self._display.guard(measurement.step, means)
        for weakness in weaknesses(measurement, self._settings.guard) if measurement.step == 0 else ():
            self._say_once(weakness)
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

    def _say_once(self, sentence: str) -> None:
        """What holds for every measurement is told with the first."""
        if sentence not in self._said:
            self._said.add(sentence)
            self._note(f"guard: {sentence}")

    def _lose(self, step: int, checkpoint: Path | None, why: str) -> None:
        self._note(f"the guard's measurement of step {step} failed: {why}")
        self._lost[step] = lost = self._lost.get(step, 0) + 1
        if lost < MOST_LOST:  # not at once: a panel that is ill for seconds must not use up all tries
            self._again.append((time.monotonic() + PAUSE_S * 2 ** (lost - 1), step, checkpoint))
            return
        del self._lost[step]
        if self._settings.guard.stop:
            self.unguarded = f"the measurement of step {step} failed {lost} times, and no other was made between, the last with: {why}"
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
