"""What the driver keeps of the panel's pools: each change once, and the worst of the queues between two steps."""

import time

from pipelines.pool_watch import PoolWatch
from pipelines.scaling import scale_event


def event(number, time_s=None):
    return {
        "number": number,
        "time_s": time.time() + 1 if time_s is None else time_s,
        "pool": "listener",
        "from_replicas": 0,
        "to_replicas": 1,
        "reason": "3 waiting and no process is up",
    }


def seen(events=(), panel="one", age_s=0.0, depth=0, replicas=1):
    figures = {"replicas": replicas, "target": replicas, "queue_age_s": age_s, "queue_depth": depth, "at_work": 0}
    return {"panel": panel, "pools": {"listener": figures}, "events": list(events)}


def numbers(watch):
    return [event["number"] for event in watch.events()]


def test_each_change_is_told_once_also_by_another_process_of_the_panel():
    watch = PoolWatch(None)
    watch.take(seen([event(0), event(1)]))
    watch.take(seen([event(0), event(1), event(2)]))
    assert numbers(watch) == [0, 1, 2]
    assert numbers(watch) == []
    watch.take(seen([event(2), event(3)]))
    assert numbers(watch) == [3]
    watch.take(seen([event(0)], panel="two"))
    assert numbers(watch) == [0]


def test_what_a_shared_panel_did_before_the_run_is_not_the_runs():
    watch = PoolWatch(None)
    watch.take(seen([event(0, time_s=time.time() - 3600), event(1)]))
    assert numbers(watch) == [1]


def test_the_worst_since_the_last_step_counts():
    watch = PoolWatch(None)
    assert watch.figures() == {}
    watch.take(seen(age_s=3.0, depth=2))
    watch.take(seen(age_s=9.0, depth=1, replicas=2))
    watch.take(seen(age_s=1.0, replicas=3))
    assert watch.figures() == {
        "judge_pool/listener/replicas": 3.0,
        "judge_pool/listener/queue_age_s": 9.0,
        "judge_pool/listener/queue_depth": 2.0,
    }
    watch.take(seen())
    assert watch.figures()["judge_pool/listener/queue_age_s"] == 0.0


def test_a_sentence_for_people():
    assert scale_event(event(0)).sentence().startswith("listener 0 -> 1: 3 waiting and no process is up")
