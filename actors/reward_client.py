"""The reward stage of the stream: a thin, asynchronous client of the panel.

Invariants:
- Every row that comes in goes out, with an answer from every judge: scored, or failed with a reason. A failure is never a number.
- In an exact run a verdict that is missing by accident (a deadline, a death, an exception) breaks the stream instead: the block is judged
  again from the last checkpoint. To drop its rollout would be another run.
- A block has a deadline. Within it a call that fails is repeated, a bounded number of times, after a jittered pause; judges are
  idempotent by clip id, so that a block judged again (Ray Data executes at least once) does no harm.

    block of rollouts --> requests --> Panel (Serve) --> answers --> verdicts (JSON) and parts [rows, parts]
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from actors.pulse import own_pulse
from actors.settings import RewardConfig
from auricle.errors import PoolError
from auricle.judging.exact import accident
from auricle.judging.panel import PanelConfig, parts_of, relative_parts, spans_of
from auricle.judging.verdict import Failed, verdict_to_dict
from auricle.learning.credit import span_penalties
from auricle.pulse import during
from auricle.usage import Usage, UsageMeter, from_texts, usage_column

LOOK_EVERY_S, LOOK_TIMEOUT_S = 2.0, 10.0
"""How often the judges' processes are asked after, and how long the answer is waited for, beside the judging."""


class RewardStage:
    """A `map_batches` callable: judges a block's rollouts, and the reference model's output where the panel is relative to it."""

    def __init__(self, config: RewardConfig, panel: PanelConfig, app_name: str, *, exact: bool = False) -> None:
        self._config, self._panel, self._exact = config, panel, exact
        self._handle = serve.get_app_handle(app_name)
        self._usage = UsageMeter("reward")
        self._judges: list[Usage] = []
        self._look: asyncio.Task[None] | None = None
        self._looked_s = -LOOK_EVERY_S
        own_pulse("reward client", app=app_name)

    async def __call__(self, batch: dict[str, np.ndarray]) -> AsyncIterator[dict[str, np.ndarray]]:
        """Adds `verdicts` (JSON), `parts` and `reference_parts` [rows, parts] (NaN: not judged), and `credit` [rows, knots].

        Raises PoolError in an exact run where a verdict is missing by accident.
        """
        began = time.monotonic()
        waited_s = max(0.0, time.time() - float(batch["made_at_s"].max()))
        self._look_at_judges()
        usable = [row for row, fault in enumerate(batch["fault"]) if not fault]
        requests = [_request(batch, row, f"{batch['rollout_id'][row]}", batch["enhanced"][row]) for row in usable]
        references = [row for row in usable if len(batch["reference_enhanced"][row])]
        requests += [
            _request(batch, row, f"{batch['rollout_id'][row]}-reference", np.frombuffer(batch["reference_enhanced"][row], np.float32))
            for row in references
        ]
        with during(f"step {batch['step'][0]}: {len(requests)} clips from rollout {batch['rollout_id'][0]} on are at the panel"):
            answers, retries = await self._judge(requests)
        if self._exact and (lost := accident(answers)):
            raise PoolError(
                f"{lost} in the block of rollout {batch['rollout_id'][0]}; an exact run (exact_staleness) drops nothing for that. If it "
                "comes again, raise the judge's deadline_s and the deadlines around it, or lower reward.blocks_in_flight"
            )
        rows = len(batch["rollout_id"])
        by_row: list[Mapping[str, Any]] = [{} for _ in range(rows)]
        for row, answer in zip(usable, answers[: len(usable)], strict=True):
            by_row[row] = answer
        batch["verdicts"] = np.array([json.dumps(answer) for answer in by_row], dtype=object)
        parts = parts_of(self._panel, by_row)
        frozen = _spread_to_scenes(batch, references, parts_of(self._panel, answers[len(usable) :]), parts)
        batch["parts"] = relative_parts(self._panel, parts, frozen)
        # What a baseline would subtract from them: nothing more where the part is relative already.
        batch["reference_parts"] = relative_parts(self._panel, frozen, frozen)
        batch["credit"] = np.stack(
            [span_penalties(spans_of(answer), times) for answer, times in zip(by_row, batch["knot_times_s"], strict=True)]
        )
        batch["usage"] = usage_column([*from_texts(batch["usage"]), self._usage.sample(), *self._judges], rows)
        batch["retries"] = np.full(rows, float(retries))
        batch["reward_wait_s"] = np.full(rows, waited_s)
        batch["reward_s"] = np.full(rows, (time.monotonic() - began) / rows)
        batch["judged_at_s"] = np.full(rows, time.time())
        yield batch

    def _look_at_judges(self) -> None:
        """Ask after the judges' processes now and then; the block that is being judged does not wait for it."""
        if (self._look is None or self._look.done()) and time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            self._look = asyncio.create_task(self._ask_for_usage())

    async def _ask_for_usage(self) -> None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                self._judges = await self._handle.usage.remote()
        except (RayError, RayServeException, TimeoutError):
            self._judges = []  # the panel is being started anew, or is overloaded: nothing is known of it now

    async def _judge(self, requests: Sequence[dict[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
        """The answers, and how often the panel had to be asked again."""
        if not requests:
            return [], 0
        fault, attempt = "", 0
        try:
            async with asyncio.timeout(self._config.timeout_s):
                for attempt in range(1, self._config.attempts + 1):
                    if attempt > 1:
                        await asyncio.sleep(self._config.pause_s * 2 ** (attempt - 2) * random.uniform(0.5, 1.5))
                    try:
                        answers = await self._handle.judge.remote(list(requests))
                        # A panel that was joined may have further judges, which are not this run's.
                        return [{judge.name: one[judge.name] for judge in self._panel.judges} for one in answers], attempt - 1
                    except (RayError, RayServeException) as error:  # a replica died or is overloaded: worth another try
                        fault = f"{type(error).__name__}: {error}".splitlines()[0]
        except TimeoutError:
            fault = f"the panel did not answer within {self._config.timeout_s:g} s (call {attempt}){': ' + fault if fault else ''}"
        failed = verdict_to_dict(Failed("unavailable", fault))
        return [{judge.name: failed | {"attempts": attempt} for judge in self._panel.judges} for _ in requests], max(0, attempt - 1)


def _request(batch: dict[str, np.ndarray], row: int, clip_id: str, audio: np.ndarray) -> dict[str, Any]:
    target = batch["target"][row] if "target" in batch and bool(batch["has_target"][row]) else None
    return {"clip_id": clip_id, "audio": audio, "sample_rate_hz": int(batch["sample_rate_hz"][row]), "reference": target}


def _spread_to_scenes(batch: dict[str, np.ndarray], rows: Sequence[int], judged: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The reference model's parts, judged once a scene, on every row of that scene; NaN where it was not judged."""
    result = np.full_like(like, np.nan)
    for row, parts in zip(rows, judged, strict=True):
        same = (batch["scene_id"] == batch["scene_id"][row]) & (batch["step"] == batch["step"][row])
        result[same] = parts
    return result
