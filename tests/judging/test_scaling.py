"""When a pool of judges grows and shrinks: rules without a clock, and the memory behind them with a clock that the test winds."""

import pytest

from auricle.judging.call_queue import QueueState
from auricle.judging.scaling import Bounds, PoolScaler, ScalingConfig, Seen, decide

CONFIG = ScalingConfig(target_queue_age_s=5.0, upscale_delay_s=10.0, downscale_delay_s=60.0, idle_to_zero_s=300.0, calls_in_hand=2)
BOUNDS = Bounds(0, 8)


def seen(age_s=0.0, depth=0, at_work=0, **values):
    known = {"running": 1, "target": 1, "since_change_s": 1000.0, "needed_lately": 0, "idle_s": 0.0} | values
    return Seen(QueueState(age_s, depth, at_work), **known)


@pytest.mark.parametrize(
    ("state", "replicas", "says"),
    [
        (seen(depth=1, running=0, target=0), 1, "no process is up"),
        (seen(age_s=99.0, depth=40, running=0, target=0), 1, "40 waiting"),
        (seen(running=0, target=0), 0, "asleep"),
        (seen(age_s=4.9, depth=40, at_work=2), 1, "in time"),
        (seen(age_s=5.5, depth=40, at_work=2), 2, "waited 5.5 s, target 5 s"),
        (seen(age_s=50.0, depth=40, at_work=6, running=3, target=3), 6, "waited"),  # at most twofold
        (seen(age_s=50.0, depth=2, at_work=6, running=3, target=3), 4, "waited"),  # no more than there is work for
        (seen(age_s=50.0, depth=40, at_work=16, running=8, target=8), 8, "at max_replicas"),
        (seen(age_s=50.0, depth=6, running=0, target=3), 3, "3 starting are enough"),
        (seen(age_s=50.0, depth=60, running=0, target=2), 4, "waited"),  # also while others start, where these will not do
        (seen(age_s=50.0, depth=40, at_work=2, since_change_s=9.0), 1, "9.0 s ago"),
        (seen(at_work=2, running=4, target=4, needed_lately=3), 3, "3 would have done for 60 s"),
        (seen(at_work=2, running=4, target=4, needed_lately=3, since_change_s=59.0), 4, "in time"),
        (seen(running=4, target=4, idle_s=999.0), 1, "1 would have done"),  # to zero only from one
        (seen(idle_s=299.0), 1, "of 300 s"),
        (seen(idle_s=300.0), 0, "no call for 300 s"),
        (seen(running=12, target=12), 8, "bounds are 0 to 8"),
    ],
)
def test_rules(state, replicas, says):
    decision = decide(state, BOUNDS, CONFIG)
    assert decision.replicas == replicas
    assert says in decision.reason


def test_a_pool_with_a_least_size_never_sleeps():
    assert decide(seen(idle_s=1e9), Bounds(1, 8), CONFIG).replicas == 1
    assert decide(seen(running=4, target=4, idle_s=1e9), Bounds(2, 8), CONFIG).replicas == 2


def test_a_wave_of_load_from_zero_and_back():
    scaler, target, events = PoolScaler("listener", BOUNDS, CONFIG), 0, []

    def step(now_s, age_s=0.0, depth=0, at_work=0):
        nonlocal target
        target, event = scaler.step(now_s, QueueState(age_s, depth, at_work), target, target, len(events))
        events.extend([event] if event else [])
        return target

    assert step(0.0) == 0
    assert step(1.0, depth=30) == 1
    assert step(2.0, age_s=1.0, depth=28, at_work=2) == 1
    assert step(12.0, age_s=11.0, depth=28, at_work=2) == 2
    assert step(23.0, age_s=22.0, depth=26, at_work=4) == 4
    assert step(34.0, age_s=10.0, depth=1, at_work=8) == 5
    assert step(40.0, at_work=8) == 5
    assert step(94.1, at_work=3) == 4  # what the calls of the last minute filled at most, at 40 s
    assert step(120.0, at_work=3) == 4
    assert step(160.0, at_work=1) == 2  # at 120 s
    assert step(161.0) == 2
    assert step(222.0) == 1
    assert step(459.0) == 1
    assert step(460.5) == 0  # 300 s after the last call, at 160 s
    steps = [(event.from_replicas, event.to_replicas) for event in events]
    assert steps == [(0, 1), (1, 2), (2, 4), (4, 5), (5, 4), (4, 2), (2, 1), (1, 0)]
    assert [event.number for event in events] == list(range(8))
    assert events[0].record() | {"time_s": 0.0} == {
        "number": 0,
        "time_s": 0.0,
        "pool": "listener",
        "from_replicas": 0,
        "to_replicas": 1,
        "running": 0,
        "reason": "30 waiting and no process is up",
        "queue_age_s": 0.0,
        "queue_depth": 30,
        "at_work": 0,
    }


def test_a_change_is_told_once_though_serve_is_slow_to_take_it_up():
    scaler = PoolScaler("listener", BOUNDS, CONFIG)
    waiting = QueueState(0.5, 1, 0)
    assert scaler.step(0.0, QueueState(), 0, 0)[0] == 0
    first, again = scaler.step(1.0, waiting, 0, 0), scaler.step(1.5, waiting, 0, 0)
    assert (first[0], first[1] is None) == (1, False)
    assert (again[0], again[1]) == (1, None)
    late = scaler.step(4.0, waiting, 0, 0)  # Serve has forgotten it: it is asked for again
    assert (late[0], late[1]) == (1, None)
    assert scaler.step(5.0, waiting, 1, 1) == (1, None)
    gone = scaler.step(20.0, waiting, 0, 0)  # somebody took it away: another change
    assert (gone[0], gone[1] is None) == (1, False)


def test_a_new_scaler_takes_its_time_before_it_shrinks_what_it_finds():
    scaler = PoolScaler("listener", BOUNDS, CONFIG)
    assert scaler.step(0.0, QueueState(), 4, 4)[0] == 4
    assert scaler.step(59.0, QueueState(), 4, 4)[0] == 4
    assert scaler.step(60.0, QueueState(), 4, 4)[0] == 1
