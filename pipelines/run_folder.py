"""A run's folder: what stands where, and how lines are appended and cut back when a run resumes.

RUN/config.toml  metrics.jsonl  guard.jsonl  events.jsonl  guard/step-000010.json  ledger/  samples/  evaluation/  report.html
RUN/quarantine.json: scenes that are left out (auricle.learning.quarantine); it follows from the ledger
RUN/watchdog/step-000012-DATE-TIME.txt: what every pool was doing when no step ended any more
RUN/frameworks.log: the warnings of Ray, Serve, vLLM and others
RUN/checkpoints/step-000120/{enhancer,engine,versions}/  last.json  best.json
"""

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import reduce
from pathlib import Path
from typing import Any

from actors.coordinator import checkpoint_folder, partial_folder, write_json
from auricle import ledger
from auricle.config import build, build_known, merge, parse_assignments, read_toml, to_toml
from auricle.errors import CheckpointError, ConfigError, DiskFullError
from auricle.files import is_plain_name, is_uri, on_disk, replacing
from auricle.judging.same_panel import OF_THE_HOST, PATIENCE, changed
from auricle.learning.guard import Measurement
from auricle.learning.quarantine import Quarantined
from auricle.object_store import ObjectStore
from pipelines.deadlines import check_deadlines
from pipelines.mirror import RunMirror
from pipelines.run_lock import only_job_in
from pipelines.run_store import fetch, read_index, read_record, require_free
from pipelines.settings import Settings

FRAMEWORKS_LOG = "frameworks.log"
"""`actors.chatter.NAME`, which is not imported: who only looks at a folder need not wait for Ray."""
_log = logging.getLogger(__name__)

FROZEN = (
    "run.seed",
    "scenes",
    "exploration",
    "rollout.clip_s",
    "finetune.enhancer",
    "finetune.scenes_per_step",
    "finetune.samples_per_scene",
    "guard.scenes",
    "guard.metrics",
    "panel.loudness_lufs",
    "reason.listener",
    "reason.clips",
    "reason.questions",
    "reason.rewards",
    "reason.trainable",
    "reason.clips_per_step",
    "reason.answers_per_clip",
)
"""Settings that say what a rollout id, a reward and a measurement are; a resumed run keeps them, and what its judges say."""


class RunFolder:
    """One run on disk. `create` for a new one, `open` for one that is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mirror: RunMirror | None = None

    @classmethod
    def create(cls, settings: Settings, held: ExitStack | None = None) -> "RunFolder":
        """A new folder with the settings in it. Raises ConfigError where a run of that name stands already.

        held: what holds the folder for this job alone (`run_lock`), for as long as it is open.
        """
        path = (settings.run.folder / settings.run.name).absolute()
        if (path / "config.toml").exists():
            raise ConfigError(
                f"{path}: a run stands there already; resume it (auricle finetune --resume {path}), "
                "or give another name (--set run.name=NAME)"
            )
        if settings.run.store:
            require_free(f"{settings.run.store.rstrip('/')}/{settings.run.name}")
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        _hold(path, held)
        run.write_settings(settings)
        return run

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run. Raises ConfigError where there is none."""
        if not (path / "config.toml").exists():
            raise ConfigError(f"{path}: no run there (no config.toml); give the folder of a run, such as runs/demo")
        return cls(path.absolute())

    @classmethod
    def resume(cls, place: str, assignments: list[str], held: ExitStack | None = None) -> tuple["RunFolder", Settings]:
        """The run to go on with, and its settings: in a folder, or, by URI, in a store, from where it is fetched into `run.folder`.

        A run that came from a store goes on being kept there. held: as of `create`. Raises ConfigError, StoreError.
        """
        if is_uri(place):
            store = ObjectStore(place)
            parent, _, name = store.uri.rpartition("/")
            assignments = [f"run.store={json.dumps(parent)}", *assignments]
            folder = _working_folder(store, assignments) / name
            folder.mkdir(parents=True, exist_ok=True)
            _hold(folder, held)  # before it is written: a job may be at work there
            _require_behind(folder, store)
            run = cls.open(fetch(store, folder))
        else:
            run = cls.open(Path(place))
            _hold(run.path, held)
        settings = run.resumed_settings(assignments)
        run.write_settings(settings)
        return run, settings

    def settings(self, assignments: list[str] | None = None) -> Settings:
        """The run's settings, with `--set` assignments on top, for looking at the run.

        A folder that an older version wrote can be looked at too: keys that are not known any more are left out, and said.
        """
        path = self.path / "config.toml"
        settings, left_out = build_known(Settings, read_toml(path), source=str(path))
        if left_out:
            _log.warning("%s was written by another version of Auricle; left out: %s", path, "; ".join(left_out))
        return self._with(settings, assignments) if assignments else settings

    def resumed_settings(self, assignments: list[str]) -> Settings:
        """As `settings`, for going on with the run. Raises ConfigError where an assignment changes what its rollouts mean."""
        path = self.path / "config.toml"
        kept = read_toml(path)
        _check_dnsmos(kept.get("guard", {}), path)
        before, left_out = build_known(Settings, kept, source=str(path))
        if left_out:
            raise ConfigError(
                f"{path} was written by another version of Auricle: {'; '.join(left_out)}. Go on with that version, or remove these keys "
                "from the file; evaluate, report and ledger read the run as it is"
            )
        after = self._with(before, assignments)
        if assignments:  # what a run began with it may go on with
            check_deadlines(after)
        for name in FROZEN:
            old, new = (reduce(getattr, name.split("."), settings) for settings in (before, after))
            if old != new:
                raise ConfigError(f"{self.path}: {name} was {old!r} and cannot become {new!r} in the middle of a run; start a new one")
        if others := changed(before.panel.judges, after.panel.judges):
            raise ConfigError(
                f"{self.path}: panel.judges: {'; '.join(others)}. That cannot change in the middle of a run; start a new one "
                f"({', '.join((*PATIENCE, *OF_THE_HOST))} can)"
            )
        return after

    def _with(self, settings: Settings, assignments: list[str]) -> Settings:
        values = merge(settings.model_dump(mode="json", exclude_none=True), parse_assignments(assignments))
        return build(Settings, values, source=f"{self.path / 'config.toml'} with --set")

    def keep_scenes(self, scene_ids: Sequence[str], name: str = "scenes.json") -> None:
        """Note scenes in their order, or check that they are still the same: they are dealt, and measurements pair up, by place."""
        path = self.path / name
        if not path.exists():
            write_json(path, list(scene_ids))
        elif json.loads(path.read_text()) != list(scene_ids):
            raise ConfigError(
                f"{self.path}: the corpus has changed since the run began ({path.name} holds the scenes it began with); "
                "restore it, or start a new run"
            )

    def write_settings(self, settings: Settings) -> None:
        """Keep the settings as the run's configuration, atomically."""
        temporary = self.path / "config.toml.tmp"
        with on_disk(self.path / "config.toml"):
            temporary.write_text(to_toml(settings), encoding="utf-8")
            os.replace(temporary, self.path / "config.toml")

    def last_checkpoint(self) -> tuple[int, Path] | None:
        """Step and folder of the newest complete checkpoint; None before the first, also where the run was killed while it wrote that.

        Raises CheckpointError where there was one and none is left: beginning at step 0 would wipe the run's books.
        """
        found = self._pointer("last.json")
        if found is None and (parts := ledger.parts(self.path / "ledger")):
            # `commit` writes the ledger's part, renames the checkpoint, then points last.json at it: a kill may fall between any two.
            [(_, step), *more] = map(ledger.part_range, parts)
            partial = partial_folder(self.path, step).is_dir()  # looked at first: the rename may happen meanwhile
            if not more and checkpoint_folder(self.path, step).is_dir():
                return step, checkpoint_folder(self.path, step)
            if not more and partial:
                return None
            if found := self._pointer("last.json"):
                return found
            raise CheckpointError(
                f"{self.path}: the ledger holds finished steps, but no checkpoint is left; restore one, or start a new run"
            )
        return found

    def best_checkpoint(self) -> tuple[int, Path] | None:
        """Step and folder of the best checkpoint by guard; None before the first measurement."""
        return self._pointer("best.json")

    def checkpoints(self, until: int) -> list[tuple[int, Path]]:
        """Steps and folders of the complete checkpoints on disk, up to that of step `until`."""
        found = sorted((int(path.name.removeprefix("step-")), path) for path in (self.path / "checkpoints").glob("step-*"))
        return [(step, path) for step, path in found if step <= until]

    def has_checkpoint(self, step: int) -> bool:
        """Whether the checkpoint of `step` is on disk."""
        return checkpoint_folder(self.path, step).is_dir()

    def mark_best(self, step: int, change: Mapping[str, float]) -> None:
        """Make the checkpoint of `step` the best one."""
        write_json(
            self.path / "checkpoints" / "best.json",
            {"step": step, "folder": checkpoint_folder(self.path, step).name, "change": dict(change)},
        )

    def publish(self, step: int) -> None:
        """The checkpoint of `step` and the lines before it are written: they may go into the run's store."""
        if self.mirror is not None:
            self.mirror.publish(step)

    def prune_checkpoints(self, keep: int, spared: set[int]) -> None:
        """Remove all but the newest `keep` checkpoints, the best one, those of the steps in `spared`, and those going into the store."""
        spared = spared | (self.mirror.uploading if self.mirror else set())
        best = self.best_checkpoint()
        steps = sorted(int(path.name.removeprefix("step-")) for path in (self.path / "checkpoints").glob("step-*"))
        for step in steps[:-keep]:
            if step not in spared and (best is None or step != best[0]):
                shutil.rmtree(checkpoint_folder(self.path, step))

    def append(self, name: str, record: Mapping[str, Any]) -> None:
        """Append one line to `name` (metrics.jsonl, guard.jsonl, events.jsonl), whole or not at all. Raises DiskFullError."""
        path = self.path / name
        whole = _cut_to_whole_lines(path) if path.exists() else 0  # half a line, from a kill, would swallow this one
        try:
            with on_disk(path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except DiskFullError:
            if path.exists():
                os.truncate(path, whole)
            raise

    def event(self, sentence: str, step: int) -> None:
        """Note something worth knowing."""
        self.append("events.jsonl", {"step": step, "time_s": time.time(), "event": sentence})

    def write_dump(self, steps: int, page: str) -> Path:
        """Keep what every pool was doing when, after so many steps, nothing happened any more; answers with the file."""
        path = self.path / "watchdog" / f"step-{steps:06d}-{time.strftime('%Y%m%d-%H%M%S')}.txt"
        with on_disk(path), replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
        self.event(f"watchdog: {page.splitlines()[0]}; what every pool was doing: {path.relative_to(self.path)}", steps)
        return path

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The records of `name`; a line cut off by a kill is passed over."""
        path = self.path / name
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict):
                yield record

    def frameworks_log(self) -> Path | None:
        """Where the warnings of Ray, Serve, vLLM and others are (`actors.chatter`); None where they gave none."""
        path = self.path / FRAMEWORKS_LOG
        return path if path.is_file() and path.stat().st_size else None

    def write_measurement(self, measurement: Measurement) -> None:
        """Keep a guard measurement scene by scene, so that a resumed run judges as the first would have."""
        folder = self.path / "guard"
        folder.mkdir(exist_ok=True)
        scores = {name: list(map(float, values)) for name, values in measurement.scores.items()}
        record = {"step": measurement.step, "scores": scores, "clusters": list(measurement.clusters)}
        write_json(folder / f"step-{measurement.step:06d}.json", record)

    def measurements(self) -> list[Measurement]:
        """All guard measurements, by step."""
        files = sorted((self.path / "guard").glob("step-*.json"))
        return [Measurement(**json.loads(path.read_text())) for path in files]

    def quarantined(self) -> list[Quarantined]:
        """The scenes that are left out, as the coordinator last wrote them; empty where nobody can read it."""
        path = self.path / "quarantine.json"
        try:
            return [Quarantined(**one) for one in json.loads(path.read_text())["scenes"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []

    def rewind(self, step: int) -> None:
        """Forget what was noted beyond the checkpoint of `step`: it will be done again.

        In an order in which a kill half way leaves what `last_checkpoint` understands: the ledger's parts go before their checkpoints.
        """
        ledger.truncate(self.path / "ledger", step)
        last = self.path / "checkpoints" / "last.json"
        if step and not last.exists():
            write_json(last, {"step": step, "folder": checkpoint_folder(self.path, step).name})
        for name, beyond in (("metrics.jsonl", step - 1), ("guard.jsonl", step)):
            kept = [record for record in self.lines(name) if record["step"] <= beyond]
            temporary = self.path / f"{name}.tmp"
            with on_disk(self.path / name):
                temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
                os.replace(temporary, self.path / name)
        for path in (self.path / "guard").glob("step-*.json"):
            if int(path.stem.removeprefix("step-")) > step:
                path.unlink()
        if step:  # one that was renamed, and not pointed at yet, when the run was killed: nothing may take it for one of this life
            for path in (self.path / "checkpoints").glob("step-*"):
                if int(path.name.removeprefix("step-")) > step:
                    shutil.rmtree(path)
        for path in (self.path / "checkpoints").glob(".partial-*"):
            shutil.rmtree(path, ignore_errors=True)  # a dying rank may still write into it; it is written anew
        best = self.path / "checkpoints" / "best.json"
        if best.exists() and json.loads(best.read_text())["step"] > step:
            best.unlink()

    def _pointer(self, name: str) -> tuple[int, Path] | None:
        path = self.path / "checkpoints" / name
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text())
            step, folder_name = int(record["step"]), str(record["folder"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error!r}); let it name a step-... folder beside it") from error
        if not is_plain_name(folder_name):
            raise CheckpointError(f"{path} names {folder_name!r}; a checkpoint lies beside it, and its name has no folders")
        folder = path.parent / folder_name
        if not folder.is_dir():
            raise CheckpointError(
                f"{path} names {folder}, which is missing; restore it, or let {path.name} name an older one that is there"
            )
        return step, folder


def _working_folder(store: ObjectStore, assignments: list[str]) -> Path:
    """run.folder of a run in a store, with `--set` assignments on top."""
    with tempfile.TemporaryDirectory() as passing:
        path = Path(passing) / "config.toml"
        store.download(path.name, path)
        settings, _ = build_known(Settings, merge(read_toml(path), parse_assignments(assignments)), source=f"{store.uri}/{path.name}")
    return settings.run.folder


def _require_behind(folder: Path, store: ObjectStore) -> None:
    """Raises ConfigError where the folder has steps of the run that its store has not: they would go when it is fetched."""
    if not (folder / "config.toml").exists() or not read_record(folder, store.uri):
        return
    try:
        found = RunFolder(folder).last_checkpoint()
    except CheckpointError:  # a fetch that broke off: there is nothing to go on with
        return
    stored = read_index(store)["checkpoints"].get("checkpoints/last.json", {"step": 0})["step"]
    if found and found[0] > stored:
        raise ConfigError(
            f"{folder} holds this run as of step {found[0]}, {store.uri} as of step {stored}. Go on from the folder (--resume {folder}), "
            "which puts the rest into the store, or remove the folder to go on from the store"
        )


def _hold(folder: Path, held: ExitStack | None) -> None:
    if held is not None:
        held.enter_context(only_job_in(folder))


def _cut_to_whole_lines(path: Path) -> int:
    """Its length in bytes, once a last line without an end is gone."""
    with path.open("rb+") as file:
        length = file.seek(0, os.SEEK_END)
        if not length:
            return 0
        file.seek(length - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            length = file.read().rfind(b"\n") + 1
            file.truncate(length)
        return length


def _check_dnsmos(guard: Mapping[str, Any], path: Path) -> None:
    """Raises ConfigError for a run whose guard may have meant another DNSMOS by the same name: its measurements would not pair up.

    `dnsmos_ovrl` was one pass over the clip (`dnsmos_fast_ovrl` now) until shortly before `guard.timeout_s` came to be.
    """
    if "dnsmos_ovrl" in guard.get("metrics", ()) and "timeout_s" not in guard:
        raise ConfigError(
            f"{path}: guard.metrics = {guard['metrics']} is of an older version, in which dnsmos_ovrl was what dnsmos_fast_ovrl is now; "
            "going on would compare two different scores. Start a new run, or write dnsmos_fast_ovrl for dnsmos_ovrl in config.toml and in "
            "guard/step-*.json; evaluate, report and ledger read the run as it is"
        )
