"""The ledger: what became of every rollout, on disk as Parquet.

Invariants:
- Every rollout id ends in exactly one state, `trained` or `dropped` (with a reason).
- A part file covers whole steps, `steps-AAAAAA-BBBBBB.parquet` for steps A <= step < B, and is written before the checkpoint of step B.
  Resuming at step B therefore keeps the parts that end at or before B and removes the others: their rollouts are made again, with
  the same ids.
- A run killed after it wrote a part and before its checkpoint was final has rows beyond its last checkpoint: nothing is missing, they count
  as ended until it is resumed, and then once again at most, for the part goes.
- issued = trained + dropped + in flight. Ids are issued in order, so what is issued but in no part is in flight.
- A run that ends in order (finished, stopped by guard, budget, time or Ctrl-C) leaves nothing in flight: ids beyond its last step are
  withdrawn, that is, no longer issued. A killed run's ids stay in flight. Both are issued again, the same ids, when it is resumed.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from auricle.errors import LedgerError
from auricle.files import on_disk

State = Literal["trained", "dropped"]

VERDICT_TYPE = pa.struct(
    [
        ("judge", pa.string()),
        ("state", pa.string()),
        ("score", pa.float64()),
        ("text", pa.string()),
        ("dimensions", pa.string()),
        ("spans", pa.list_(pa.struct([("artefact", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]))),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("prompt_hash", pa.string()),
        ("model_hash", pa.string()),
        ("audio_hash", pa.string()),
        ("latency_s", pa.float64()),
        ("attempts", pa.int32()),
    ]
)

SCHEMA = pa.schema(
    [
        ("rollout_id", pa.int64()),
        ("step", pa.int64()),
        ("scene_id", pa.string()),
        ("sample", pa.int32()),
        ("version", pa.int64()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("reward", pa.float64()),
        ("verdicts", pa.list_(VERDICT_TYPE)),
    ]
)


@dataclass(frozen=True)
class LedgerEntry:
    """What became of one rollout. reward is None where it was dropped; verdicts maps a judge's name to its answer (docs/design.md)."""

    rollout_id: int
    step: int
    scene_id: str
    sample: int
    version: int
    state: State
    reason: str = ""
    reward: float | None = None
    verdicts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def verdict_row(judge: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """One judge's answer as a row of the ledger's `verdicts` column."""
    return {
        "judge": judge,
        "state": answer["state"],
        "score": answer.get("score"),
        "text": answer.get("rationale") or "",
        "dimensions": json.dumps(answer.get("dimensions") or {}, sort_keys=True),
        "spans": [dict(span) for span in answer.get("spans") or ()],
        "reason": answer.get("reason") or "",
        "detail": answer.get("detail") or "",
        "prompt_hash": answer.get("prompt_hash") or "",
        "model_hash": answer.get("model_hash") or "",
        "audio_hash": answer.get("audio_hash") or "",
        "latency_s": answer.get("latency_s"),
        "attempts": answer.get("attempts"),
    }


def write_part(folder: Path, first_step: int, end_step: int, entries: Iterable[LedgerEntry]) -> Path:
    """Write the entries of steps [first_step, end_step) as one part, atomically. Returns its path. Raises DiskFullError."""
    rows = [
        {name: getattr(entry, name) for name in SCHEMA.names if name != "verdicts"}
        | {"verdicts": [verdict_row(judge, answer) for judge, answer in entry.verdicts.items()]}
        for entry in sorted(entries, key=lambda entry: entry.rollout_id)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"steps-{first_step:06d}-{end_step:06d}.parquet"
    temporary = path.with_suffix(".parquet.tmp")
    with on_disk(path):
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary)
        os.replace(temporary, path)
    return path


def part_range(path: Path) -> tuple[int, int]:
    """First step and end step of a part, from its name."""
    try:
        _, first, end = path.stem.split("-")
        return int(first), int(end)
    except ValueError:
        raise LedgerError(f"{path}: not a ledger part; expected a name like steps-000000-000010.parquet") from None


def parts(folder: Path) -> list[Path]:
    """The parts in order of their steps. Raises LedgerError where they overlap or leave a gap."""
    paths = sorted(folder.glob("*.parquet"), key=part_range)
    expected = 0
    for path in paths:
        first, end = part_range(path)
        if first != expected:
            raise LedgerError(f"{path}: begins at step {first}, expected {expected}; a part before it is missing or stands twice")
        expected = end
    return paths


def truncate(folder: Path, step: int) -> None:
    """Remove the parts that go beyond `step`, when a run resumes at the checkpoint of that step."""
    for path in folder.glob("*.parquet"):
        if part_range(path)[1] > step:
            path.unlink()


def record_issued(folder: Path, issued: int, *, withdrawn: int = 0) -> None:
    """Note, atomically, that ids 0 .. issued-1 have been handed to the rollout pool; withdrawn: how many beyond them were taken back."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "issued.json.tmp"
    with on_disk(folder / "issued.json"):
        temporary.write_text(json.dumps({"issued": issued, "withdrawn": withdrawn}))
        os.replace(temporary, folder / "issued.json")


@dataclass(frozen=True)
class Account:
    """The ledger's sum. faults lists what does not add up; empty means that it does. withdrawn: ids taken back when the run ended.

    beyond: those of the ended whose steps lie beyond the last checkpoint.
    """

    issued: int
    trained: int
    dropped: int
    in_flight: int
    reasons: dict[str, int]
    faults: tuple[str, ...] = ()
    withdrawn: int = 0
    beyond: int = 0

    @property
    def balanced(self) -> bool:
        """Whether issued = trained + dropped + in flight, every id once."""
        return not self.faults

    def sentence(self) -> str:
        """The printed reconciliation."""
        return f"issued {self.issued} = trained {self.trained} + dropped {self.dropped} + in flight {self.in_flight}"

    def remark(self) -> str:
        """What the sum leaves open, for people; empty where nothing is."""
        if self.beyond:
            return (
                f"{self.in_flight} in flight, and {self.beyond} ended beyond the last checkpoint: the run is writing one, or it was killed "
                "while it did; resuming issues them again"
            )
        if self.in_flight:
            return f"{self.in_flight} in flight: the run is going on, or it was killed; resuming issues them again"
        if self.withdrawn:
            return f"{self.withdrawn} ids beyond the last step were withdrawn when the run ended; resuming issues them again"
        return ""


def read(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """All parts of a ledger as one table. Raises LedgerError where one cannot be read."""
    paths = parts(folder)
    if not paths:
        return SCHEMA.empty_table() if columns is None else SCHEMA.empty_table().select(columns)
    return pa.concat_tables([_read_part(path, columns) for path in paths])


def _read_part(path: Path, columns: list[str] | None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, schema=SCHEMA)
    except (pa.ArrowException, OSError) as error:
        raise LedgerError(f"{path}: cannot be read ({str(error).splitlines()[0]}); restore it, or resume the run before it") from error


def finished_steps(folder: Path) -> Iterator[tuple[int, list[LedgerEntry]]]:
    """Each finished step with its entries, in order. Of verdicts only state and reason are read, and only of rollouts that were dropped."""
    columns = [name for name in SCHEMA.names if name != "verdicts"]
    for path in parts(folder):
        verdicts: dict[int, dict[str, dict[str, Any]]] = {}
        dropped = pq.read_table(path, columns=["rollout_id", "verdicts"], schema=SCHEMA, filters=[("state", "=", "dropped")])
        for row in dropped.to_pylist():
            verdicts[row["rollout_id"]] = {one["judge"]: {"state": one["state"], "reason": one["reason"]} for one in row["verdicts"] or ()}
        steps: dict[int, list[LedgerEntry]] = {step: [] for step in range(*part_range(path))}
        for row in pq.read_table(path, columns=columns, schema=SCHEMA).to_pylist():
            steps.setdefault(row["step"], []).append(LedgerEntry(**row, verdicts=verdicts.get(row["rollout_id"], {})))
        yield from sorted(steps.items())


def account(folder: Path) -> Account:
    """Add the ledger up and check that every id stands in it exactly once."""
    if not folder.is_dir():
        raise LedgerError(f"{folder}: no ledger there; give the run's folder, for example runs/demo")
    table = read(folder, ["rollout_id", "step", "state", "reason", "reward"])
    ids, states = table["rollout_id"].to_pylist(), table["state"].to_pylist()
    faults = []
    if sorted(ids) != list(range(len(ids))):
        twice = sorted(i for i, count in Counter(ids).items() if count > 1)[:5]
        missing = sorted(set(range(max(ids) + 1)) - set(ids))[:5]
        faults.append(f"ids are not 0..{len(ids) - 1} once each (twice: {twice}, missing: {missing})")
    if unknown := sorted(set(states) - {"trained", "dropped"}):
        faults.append(f"unknown states {unknown}")
    reasons: dict[str, int] = {}
    for state, reason, reward in zip(states, table["reason"].to_pylist(), table["reward"].to_pylist(), strict=True):
        if state == "dropped":
            reasons[reason or "?"] = reasons.get(reason or "?", 0) + 1
        elif reward is None or reward != reward:
            faults.append("a trained rollout has no reward")
    checkpoint = _last_checkpoint(folder)
    paths = parts(folder)
    end = part_range(paths[-1])[1] if paths else 0
    if checkpoint is not None and end < checkpoint:
        faults.append(f"the ledger ends at step {end}, the last checkpoint is of step {checkpoint}: a part is missing")
    beyond = 0 if checkpoint is None else sum(step >= checkpoint for step in table["step"].to_pylist())
    trained, dropped = states.count("trained"), states.count("dropped")
    issued_path = folder / "issued.json"
    handed_out = _read_json(issued_path, "issued") if issued_path.exists() else {"issued": len(ids)}
    issued, withdrawn = int(handed_out["issued"]), int(handed_out.get("withdrawn", 0))
    if issued < len(ids):
        faults.append(f"{len(ids)} rollouts ended, but only {issued} were issued")
    return Account(issued, trained, dropped, issued - len(ids), reasons, tuple(dict.fromkeys(faults)), withdrawn, beyond)


def _last_checkpoint(folder: Path) -> int | None:
    """The step that the run would go on from; None where there is no checkpoint yet."""
    last = folder.parent / "checkpoints" / "last.json"
    return int(_read_json(last, "step")["step"]) if last.exists() else None


def _read_json(path: Path, wanted: str) -> dict[str, Any]:
    """A small file of the books, with a whole number called `wanted`. Raises LedgerError where it is cut off or something else."""
    try:
        record = json.loads(path.read_text())
        int(record[wanted])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{path}: cannot be read ({error!r}); it should hold a JSON object with a number {wanted!r}") from error
    return record
