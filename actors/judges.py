"""The judges on Ray Serve: one deployment a judge, whatever kind of judge it is.

Invariants:
- A judge is built and asked in one thread of its replica, and by no other, unless it says that it takes several calls at once
  (`Judge.concurrent`); the replica's event loop stays free for calls and health.
- Calls that wait are judged together, up to `batch_calls`; each caller gets its own verdicts, in its order. A judge that takes several
  calls at once batches them itself: a vLLM engine lets the next block in before it is done with the last. A judge whose
  clips are judged `alone` does neither: one call after another, one clip after another.
- Nothing a judge does raises through `judge`: what goes wrong is Failed (auricle.judging.judge.judge_safely). What a caller can see
  raised is the replica's death or a full queue, and `ServeBench` makes JudgeUnavailableError of them.
- A replica whose judge hangs, or says that it can judge no more, fails its health check: Serve starts another.

    Panel --block--> CallQueue --> queue of a replica --several blocks--> judge (its thread) --verdicts--> each Panel call
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayTaskError, WorkerCrashedError
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from actors.judge_usage import Replies, Reply, Worked
from actors.pulse import own_pulse
from auricle.errors import JudgeError, JudgeUnavailableError
from auricle.judging.call_queue import CallQueue
from auricle.judging.deadline import Deadline
from auricle.judging.judge import Identity, Judge, JudgeClip, judge_each, judge_safely
from auricle.judging.panel import JudgeConfig, SharedPoolConfig
from auricle.judging.registry import build_judge
from auricle.judging.verdict import Verdict
from auricle.pulse import during
from auricle.usage import Usage, UsageMeter

HANG_FACTOR = 3.0
"""A batch that takes longer than so many deadlines counts as hanging."""
MAX_ONGOING = 64
GRACE_S = 60.0
"""How long a process of a pool that shrinks may go on with its calls, or its judge's deadline where that is longer; then they are repeated
elsewhere."""


@serve.deployment(max_ongoing_requests=MAX_ONGOING, health_check_period_s=5, health_check_timeout_s=30, graceful_shutdown_timeout_s=5)
class JudgeReplica:
    """Hosts one judge."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = JudgeConfig.model_validate(config)
        own_pulse(f"judge {self._config.name}", app=own_app())
        self._busy: dict[object, float] = {}
        self._worked, self._meter = Worked(), UsageMeter(self._config.name)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"judge-{self._config.name}")
        self._judge: Judge = self._thread.submit(
            build_judge, self._config.kind_or_name, self._config.options, source=f"panel judge {self._config.name!r}, options"
        ).result()
        several = self._judge.concurrent > 1 and not self._config.alone
        self._threads = ThreadPoolExecutor(self._judge.concurrent, thread_name_prefix="judge") if several else self._thread
        self._batched.set_max_batch_size(self._config.batch_calls)  # type: ignore[attr-defined]
        self._batched.set_batch_wait_timeout_s(self._config.batch_wait_s)  # type: ignore[attr-defined]

    async def judge(self, clips: list[JudgeClip]) -> Reply:
        """One verdict a clip, and how they came about."""
        together = self._threads is self._thread and not self._config.alone
        return self._reply(*await (self._batched(clips) if together else self._judged(clips)))

    async def judge_apart(self, clips: list[JudgeClip]) -> Reply:
        """As `judge`, but without waiting for other calls: Serve keeps one queue of calls for all objects of a class."""
        return self._reply(*await self._judged(clips))

    def _reply(self, verdicts: list[Verdict], worked_s: float) -> Reply:
        return verdicts, self._judge.identity, replace(self._meter.sample(), busy_s=self._worked.seconds), worked_s

    def close(self) -> None:
        """End the judge, in its own thread."""
        self._thread.submit(self._judge.close).result()
        for pool in {self._thread, self._threads}:
            pool.shutdown()

    @serve.batch
    async def _batched(self, blocks: list[list[JudgeClip]]) -> list[tuple[list[Verdict], float]]:
        together, worked_s = await self._judged([clip for block in blocks for clip in block])
        verdicts = iter(together)
        return [([next(verdicts) for _ in block], worked_s) for block in blocks]

    async def _judged(self, clips: list[JudgeClip]) -> tuple[list[Verdict], float]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, clips)

    def _timed(self, clips: list[JudgeClip]) -> tuple[list[Verdict], float]:
        """In a thread: a call that waits for one is not at work, and one that its caller gave up still is."""
        call = object()
        self._busy[call] = began = time.monotonic()
        self._worked.begin()
        try:
            with during(f"{self._config.name} judges {len(clips)} clips"):
                verdicts = (judge_each if self._config.alone else judge_safely)(self._judge, clips)
            return verdicts, time.monotonic() - began
        finally:
            self._worked.end()
            del self._busy[call]

    def check_health(self) -> None:
        """Called by Serve. Raises where this replica has to be replaced."""
        busy_s = time.monotonic() - min(list(self._busy.values()), default=time.monotonic())
        if busy_s > HANG_FACTOR * self._config.deadline_s:
            raise JudgeError(
                f"judge {self._config.name!r} has been at one batch for {busy_s:.0f} s; its deadline is {self._config.deadline_s:g} s"
            )
        self._judge.check_health()


def own_app() -> str:
    """The Serve application that this process is a replica of; empty where it is none."""
    try:
        return serve.get_replica_context().app_name
    except RayServeException:
        return ""


class ServeBench:
    """`sitting.Bench` over a deployment's handle, behind the queue of its pool."""

    def __init__(self, handle: DeploymentHandle, queue: CallQueue) -> None:
        self._handle, self._queue = handle, queue
        self._replies = Replies()

    async def judge(self, clips: list[JudgeClip], deadline: Deadline) -> tuple[list[Verdict], Identity]:
        """See `sitting.Bench`."""
        began = time.monotonic()
        if self._queue.asleep:
            with deadline.paused():
                await self._queue.awake()
        async with self._queue.place():
            try:
                return self._replies.take(await self._call(clips, deadline), began)
            except RayTaskError as error:
                raise JudgeUnavailableError(f"{type(error).__name__}: {error.cause}") from error
            except (RayActorError, WorkerCrashedError, RayServeException) as error:
                raise JudgeUnavailableError(_first_line(error)) from error

    async def _call(self, clips: list[JudgeClip], deadline: Deadline) -> Reply:
        return await self._handle.judge.remote(clips)

    def usages(self, judge: str) -> list[Usage]:
        """Of each of the judge's processes that answered lately."""
        return self._replies.usages(judge)


class SharedBench(ServeBench):
    """The same for a judge in a shared pool, which may have to be loaded first: the deadline's clock stands still until it is."""

    def __init__(self, handle: DeploymentHandle, queue: CallQueue, name: str) -> None:
        # Serve leads a call to a process in which the model is loaded already, where there is one.
        super().__init__(handle.options(multiplexed_model_id=name, stream=True), queue)
        self._name = name

    async def _call(self, clips: list[JudgeClip], deadline: Deadline) -> Reply:
        answers = self._handle.judge.remote(self._name, clips)
        with deadline.paused():
            await anext(answers)  # said once it is loaded
        answer = await anext(answers)
        async for _ in answers:  # to its end, so that Serve knows that the call is over
            pass
        return answer


def judge_deployment(config: JudgeConfig) -> serve.Application:
    """The Serve deployment of one judge, with its pool's size and resources."""
    options = pool_options(config, config.deadline_s) | {
        "name": config.name,
        "max_ongoing_requests": max(MAX_ONGOING, 2 * config.batch_size),
    }
    return JudgeReplica.options(**options).bind(config.model_dump(mode="json"))  # type: ignore[attr-defined]


def pool_options(config: JudgeConfig | SharedPoolConfig, deadline_s: float) -> dict[str, Any]:
    """Serve's options for size and resources of a pool of judges, of which none takes longer than `deadline_s`."""
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": config.num_cpus, "num_gpus": config.num_gpus, "resources": config.resources},
        # A judge that cannot be built (no such model, not enough memory) mostly cannot be built the next time either.
        "max_constructor_retry_count": 2,
    }
    if config.max_replicas > config.min_replicas:
        options["autoscaling_config"] = AutoscalingConfig(
            min_replicas=config.min_replicas,
            max_replicas=config.max_replicas,
            policy=AutoscalingPolicy(policy_function="actors.pool_policy:QueueAgePolicy"),
            # The delays are the policy's own (ScalingConfig).
            upscale_delay_s=0,
            downscale_delay_s=0,
            downscale_to_zero_delay_s=0,
        )
        # A process that is taken away finishes the calls that it has in hand.
        options["graceful_shutdown_timeout_s"] = max(GRACE_S, deadline_s)
    else:
        options["num_replicas"] = config.max_replicas
    return options


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
