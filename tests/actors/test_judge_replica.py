"""One replica of a judge, without Serve: when it counts as hanging."""

import asyncio
import threading
from typing import ClassVar

import numpy as np
import pytest

from actors.judges import JudgeReplica
from auricle.config import Config
from auricle.errors import JudgeError
from auricle.judging.judge import Judge, JudgeClip
from auricle.judging.verdict import Scored

GO_ON = threading.Event()


class NoOptions(Config):
    """None."""


class WaitingJudge(Judge):
    """Takes two calls at once, and waits until it may go on."""

    options: NoOptions
    concurrent: ClassVar[int] = 2

    def judge(self, clips):
        GO_ON.wait(20.0)
        return [Scored(3.0)] * len(clips)


async def until(what):
    """Waits, on a busy machine too, until `what` holds."""
    for _ in range(2000):
        if what():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came to pass")


def test_calls_that_are_given_up_still_hang_and_calls_that_wait_do_not():
    replica = JudgeReplica.func_or_class({"name": "waiting", "kind": f"{__name__}:WaitingJudge", "deadline_s": 0.01})
    clips = [JudgeClip("one", np.zeros(160, np.float32), 16_000)]

    async def story():
        calls = [asyncio.create_task(replica.judge(clips)) for _ in range(3)]
        await until(lambda: len(replica._busy) == 2)
        await asyncio.sleep(0.2)
        assert len(replica._busy) == 2  # the third waits for a thread, and is not at work
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(JudgeError, match="has been at one batch"):
            replica.check_health()
        GO_ON.set()
        await replica.judge(clips)
        await until(lambda: not replica._busy)
        replica.check_health()

    asyncio.run(story())
