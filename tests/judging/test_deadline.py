"""A deadline that stands still while nobody is there to judge."""

import asyncio
from contextlib import suppress

import pytest

from auricle.judging.deadline import Deadline


def test_what_is_paused_does_not_count():
    async def story():
        async with Deadline(0.2, grace_s=60.0) as deadline:
            with deadline.paused():
                await asyncio.sleep(0.4)
            assert not deadline.asleep
        async with Deadline(60.0) as deadline:
            await asyncio.sleep(0.01)

    asyncio.run(story())


async def _spend(deadline, *, paused_s, at_work_s):
    async with deadline:
        with deadline.paused():
            await asyncio.sleep(paused_s)
        await asyncio.sleep(at_work_s)


def test_time_at_work_is_bounded_whatever_was_paused():
    deadline = Deadline(0.1, grace_s=60.0)
    with pytest.raises(TimeoutError):
        asyncio.run(_spend(deadline, paused_s=0.2, at_work_s=60.0))
    assert not deadline.asleep


def test_so_is_the_pause_and_one_can_tell_which_it_was():
    deadline = Deadline(60.0, grace_s=0.1)
    with pytest.raises(TimeoutError):
        asyncio.run(_spend(deadline, paused_s=60.0, at_work_s=0.0))
    assert deadline.asleep


def test_pauses_add_up_and_a_fault_in_one_sets_the_clock_going_again():
    deadline = Deadline(60.0, grace_s=0.3)

    async def story():
        async with deadline:
            with suppress(ValueError), deadline.paused():
                await asyncio.sleep(0.25)
                raise ValueError("a fault")
            assert not deadline.asleep
            with deadline.paused():
                await asyncio.sleep(60.0)

    with pytest.raises(TimeoutError):
        asyncio.run(story())
    assert deadline.asleep
