"""The line before a pool of judges: order, places, calls that are given up, a pool that sleeps."""

import asyncio
from contextlib import suppress

from auricle.judging.call_queue import CallQueue


async def _turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


class Call:
    """One call that stays inside until it is told to go."""

    def __init__(self, queue, order):
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._run(queue, order))

    async def _run(self, queue, order):
        async with queue.place():
            order.append(self)
            await self.go.wait()

    async def cancel(self):
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


def test_calls_come_in_in_order_and_no_more_than_there_are_places():
    async def story():
        queue, order = CallQueue(2), []
        calls = []
        for _ in range(5):
            calls.append(Call(queue, order))
            await _turns()
        assert order == calls[:2]
        assert (queue.state().depth, queue.state().at_work) == (3, 2)
        calls[1].go.set()
        await _turns()
        assert order == calls[:3]
        queue.set_places(4)
        await _turns()
        assert order == calls
        assert queue.state().depth == 0

    asyncio.run(story())


def test_the_age_is_that_of_the_oldest_that_waits():
    async def story():
        queue, order = CallQueue(1), []
        assert queue.state().age_s == 0.0
        inside, first = Call(queue, order), Call(queue, order)
        await asyncio.sleep(0.05)
        second = Call(queue, order)
        await _turns()
        old_s = queue.state().age_s
        assert old_s >= 0.05
        inside.go.set()
        await _turns()
        assert order == [inside, first]
        assert 0.0 <= queue.state().age_s < old_s
        for call in (first, second):
            await call.cancel()

    asyncio.run(story())


def test_a_call_that_is_given_up_loses_no_place_wherever_it_is():
    async def story():
        queue, order = CallQueue(1), []
        inside, waiting, last = (Call(queue, order) for _ in range(3))
        await _turns()
        await waiting.cancel()
        assert (queue.state().depth, queue.state().at_work) == (1, 1)
        inside.go.set()  # `last` is let in by this, and given up before it knows
        await asyncio.sleep(0)
        await last.cancel()
        await _turns()
        assert (queue.state().depth, queue.state().at_work) == (0, 0)
        await Call(queue, order).cancel()
        after = Call(queue, order)
        await _turns()
        assert order[-1] is after
        await after.cancel()

    asyncio.run(story())


def test_whoever_waits_for_a_sleeping_pool_counts_as_waiting():
    async def story():
        queue = CallQueue(0)
        assert queue.asleep
        waking = asyncio.create_task(queue.awake())
        await asyncio.sleep(0.02)
        assert queue.state().depth == 1
        assert queue.state().age_s >= 0.02
        assert not waking.done()
        queue.set_places(2)
        await _turns()
        assert waking.done()
        assert not queue.asleep
        assert queue.state().depth == 0
        await queue.awake()

    asyncio.run(story())
