"""Pools of judges that grow with the age of their queue and sleep, on a real Serve: `benchmarks.scaling` at small size."""

import pytest
import ray

from auricle.judging.scaling import ScalingConfig
from benchmarks.scaling import on_nodes, on_this_machine

QUICK = ScalingConfig(target_queue_age_s=0.5, upscale_delay_s=0.5, downscale_delay_s=2.0, idle_to_zero_s=2.0)


@pytest.mark.slow
def test_processes_from_zero_and_back_with_every_change_and_its_reason(ray_local) -> None:
    course = on_this_machine(most=2, judge_s=1.0, blocks=10, scaling=QUICK, timeout_s=180.0)
    assert course.states == ["scored"] * 40
    assert (course.most["processes"], course.at_end["processes"]) == (2, 0)
    asked = [(change, why) for _, what, change, why in sorted(course.rows) if what == "asked for"]
    assert [change for change, _ in asked] == ["0 -> 1", "1 -> 2", "2 -> 1", "1 -> 0"]
    assert "no process is up" in asked[0][1]
    assert "target 0.5 s" in asked[1][1]
    assert "would have done" in asked[2][1]
    assert "no call for" in asked[3][1]


@pytest.mark.slow
def test_nodes_come_with_the_demand_of_judges_and_go_without_it() -> None:
    ray.shutdown()
    course = on_nodes(most=2, judge_s=1.0, blocks=8, scaling=QUICK, node_idle_s=3.0)
    assert course.states == ["scored"] * 32
    assert (course.most["processes"], course.at_end["processes"]) == (2, 0)
    assert (course.most["nodes"], course.at_end["nodes"]) == (3, 1)
