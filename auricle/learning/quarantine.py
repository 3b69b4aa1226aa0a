"""Which scenes are left out because they fail again and again: a fold over the ledger of the finished steps.

    entries of step 0, 1, 2, ... --add--> streaks of failures --> decisions (scene, step, reason) --at(version)--> what a rollout leaves out

Invariants
- All of it follows from the ledger: a resumed run folds over what it finds there, and decides as the first would have.
- What a rollout leaves out is a function of the version that the gate granted it: version v leaves out what steps up to v - 2 decided. By
  the time v is published every rank has reported those, whatever the timing; so exact runs stay exact.
- A scene fails in a step where none of its rollouts was judged. Steps that it is not in neither count nor break the streak.
- A step in which more than half of the scenes fail says nothing about any of them (a judge or a disk is down) and is not counted: that is
  the failure budget's business.
- A decision holds for the rest of the run. Rollouts under way when it fell are judged and trained on like others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import NonNegativeInt

from auricle.config import Config
from auricle.learning.advantages import FAILED_REFERENCE, FAILED_VERDICT, LONE_SAMPLE
from auricle.ledger import LedgerEntry

QUARANTINED = "quarantined"
"""Reason under which the ledger keeps the rollouts of scenes that are left out."""


class QuarantineConfig(Config):
    """When a scene is left out."""

    after: NonNegativeInt = 3
    """A scene of which no rollout could be judged in so many steps in a row, of those that it is in, is left out for the rest of the run:
    its file cannot be read, the enhancer makes no numbers of it, or all its verdicts fail. 0: never."""


@dataclass(frozen=True)
class Quarantined:
    """A decision: the step that brought it, how many steps in a row had failed by then, and why the last one did."""

    scene_id: str
    step: int
    failures: int
    reason: str

    def sentence(self) -> str:
        """For people."""
        steps = "step" if self.failures == 1 else "steps in a row"
        return f"scene {self.scene_id} is quarantined: it failed in {self.failures} {steps}, last in step {self.step}: {self.reason}"


class Quarantine:
    """The fold. Steps are added in order, each once, with all ranks' entries in any order."""

    def __init__(self, config: QuarantineConfig) -> None:
        self._after = config.after
        self._streaks: dict[str, int] = {}
        self._decided: dict[str, Quarantined] = {}

    @property
    def scenes(self) -> list[Quarantined]:
        """All decisions, in the order of their steps."""
        return list(self._decided.values())

    def at(self, version: int) -> tuple[str, ...]:
        """The scenes that rollouts made with `version` of the policy leave out."""
        return tuple(one.scene_id for one in self._decided.values() if one.step <= version - 2)

    def add(self, step: int, entries: Iterable[LedgerEntry]) -> list[Quarantined]:
        """Take a finished step; answer what it decided."""
        scenes: dict[str, list[LedgerEntry]] = {}
        for entry in sorted(entries, key=lambda entry: entry.rollout_id):
            if entry.reason != QUARANTINED and entry.scene_id not in self._decided:
                scenes.setdefault(entry.scene_id, []).append(entry)
        failed = {scene_id for scene_id, rows in scenes.items() if not any(map(_judged, rows))}
        if not self._after or 2 * len(failed) > len(scenes):
            return []
        new = []
        for scene_id, rows in sorted(scenes.items()):
            self._streaks[scene_id] = self._streaks.get(scene_id, 0) + 1 if scene_id in failed else 0
            if self._streaks[scene_id] >= self._after:
                new.append(Quarantined(scene_id, step, self._streaks.pop(scene_id), cause(rows)))
        self._decided |= {one.scene_id: one for one in new}
        return new


def cause(rows: Sequence[LedgerEntry]) -> str:
    """Why the first of these rollouts was dropped; of verdicts, also which judges failed it and how."""
    reason, verdicts = rows[0].reason, rows[0].verdicts
    if reason not in (FAILED_VERDICT, FAILED_REFERENCE):
        return reason
    judges = ", ".join(f"{judge}: {answer.get('reason') or '?'}" for judge, answer in verdicts.items() if answer.get("state") == "failed")
    return f"{reason} ({judges})" if judges else reason


def _judged(entry: LedgerEntry) -> bool:
    return entry.state == "trained" or entry.reason == LONE_SAMPLE
