"""A pool that several judges share: one deployment, whose replicas load the judges that are asked for and put away those that are not.

Invariants:
- At most `loaded` judges are loaded in a replica; to make room, the one that was not asked for longest goes (Serve's model multiplexing).
- A judge that has to go finishes the calls it is at first, so no call is lost; those that come later load it again, here or elsewhere.
- It is gone before the next one is built, so that a process never holds more than `loaded`.
- The time that loading takes is told apart, and is not counted in a judge's deadline.
- Calls to one judge are judged one after the other, in the judge's own thread; calls to two loaded judges at once.

    Panel --model_id--> replica that has it, or has room --not loaded--> (least recently used one closes) --build--> judge --> verdicts
"""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from ray import serve

from actors.judge_usage import Reply
from actors.judges import HANG_FACTOR, MAX_ONGOING, JudgeReplica, pool_options
from auricle.judging.judge import JudgeClip
from auricle.judging.panel import JudgeConfig, SharedPoolConfig


class Tenant:
    """One loaded judge. Serve calls `__del__` of what it puts away, and awaits it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._host = JudgeReplica.func_or_class(config)  # type: ignore[attr-defined]
        self._closing = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._calls = 0
        self._patience_s = HANG_FACTOR * JudgeConfig.model_validate(config).deadline_s

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within it, the judge is not put away. To be entered before the event loop could do that."""
        self._calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def judge(self, clips: list[JudgeClip]) -> Reply:
        """Its verdicts."""
        return await self._host.judge_apart(clips)

    def check_health(self) -> None:
        """Raises JudgeError where it hangs, or can judge no more."""
        self._host.check_health()

    def __del__(self) -> None:
        if hasattr(self, "_closing") and self._closing.acquire(blocking=False):  # once; and not of a judge that could not be built
            self._idle.wait(self._patience_s)
            self._host.close()


@serve.deployment(health_check_period_s=5, health_check_timeout_s=30, graceful_shutdown_timeout_s=5)
class JudgePool:
    """Hosts up to `loaded` of its judges at a time."""

    def __init__(self, loaded: int, configs: dict[str, dict[str, Any]]) -> None:
        self._tenants: dict[str, Tenant] = {}

        async def load(name: str) -> Tenant:
            # Serve has put away the one that was not asked for longest; what still holds it here would keep its model in memory.
            while len(self._tenants) >= loaded:
                self._tenants.pop(next(iter(self._tenants)))
            await asyncio.to_thread(gc.collect)  # what an engine or a model holds on a GPU hangs in cycles
            self._tenants[name] = tenant = await asyncio.to_thread(Tenant, configs[name])
            return tenant

        self._tenant = serve.multiplexed(max_num_models_per_replica=loaded)(load)

    async def judge(self, name: str, clips: list[JudgeClip]) -> AsyncIterator[Reply | None]:
        """Of the judge called `name`: None once it is loaded, then its reply."""
        tenant = await self._tenant(name)
        if name in self._tenants:
            self._tenants[name] = self._tenants.pop(name)  # newest last, as Serve's own table
        with tenant.kept():
            yield None
            yield await tenant.judge(clips)

    def check_health(self) -> None:
        """Called by Serve. Raises where this replica has to be replaced."""
        for tenant in list(self._tenants.values()):
            tenant.check_health()


def shared_deployment(pool: SharedPoolConfig, judges: list[JudgeConfig]) -> serve.Application:
    """The Serve deployment of a shared pool."""
    waiting = max(MAX_ONGOING, *(2 * judge.batch_size for judge in judges))
    options = pool_options(pool, max(judge.deadline_s for judge in judges)) | {"name": pool.name, "max_ongoing_requests": waiting}
    # A tenant is a judge like any other, only that its processes are the pool's.
    configs = {judge.name: judge.model_copy(update={"shared": ""}).model_dump(mode="json") for judge in judges}
    return JudgePool.options(**options).bind(pool.loaded, configs)  # type: ignore[attr-defined]
