"""Whether a panel that is up is the one that a run means."""

import pytest

from auricle.judging.panel import JudgeConfig, PanelConfig, SharedPoolConfig
from auricle.judging.same_panel import changed, differences

ODD = "tests.judging.odd_judges:LevelJudge"
RUNS = PanelConfig(judges=(JudgeConfig(name="level", kind=ODD), JudgeConfig(name="reader", kind=ODD, reads="level")))


def _with(**values):
    first, second = RUNS.judges
    return RUNS.model_copy(update={"judges": (first.model_copy(update=values), second)})


@pytest.mark.parametrize(
    "values",
    [
        {"weights": {}, "relative": True},  # what the run makes of the verdicts
        {"max_replicas": 9, "num_cpus": 3.0, "batch_calls": 9},  # how many judge, and where
        {"options": {"sleep_s": 0.0}},  # a default, written out
    ],
)
def test_the_same(values):
    assert differences(RUNS, _with(**values)) == []
    assert differences(RUNS, RUNS.model_copy(update={"judges": (*RUNS.judges, JudgeConfig(name="more", kind=ODD))})) == []
    assert (
        differences(RUNS, RUNS.model_copy(update={"cache_size": 0, "app": "elsewhere", "num_cpus": 2.0, "max_ongoing_requests": 500})) == []
    )


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (_with(options={"sleep_s": 1.0}), "level.options.sleep_s is 1.0 there and 0.0 here"),
        (_with(deadline_s=5.0), "level.deadline_s is 5.0 there and 60.0 here"),
        (_with(kind="stoi"), "level.kind is 'stoi' there"),
        (_with(min_replicas=0), "level may take 60 s to wake there, 0 s here"),
        (RUNS.model_copy(update={"max_ongoing_requests": 2}), "max_ongoing_requests is 2 there, below"),
        (RUNS.model_copy(update={"loudness_lufs": -20.0}), "loudness_lufs is -20.0 there and -26.0 here"),
        (RUNS.model_copy(update={"judges": RUNS.judges[:1]}), "judge 'reader' is not in it"),
        (
            RUNS.model_copy(update={"judges": (*RUNS.judges, JudgeConfig(name="more", kind=ODD, deadline_s=121.0))}),
            "judges ['more'], which this run does not ask for, may take 121 s, this run's 120 s",
        ),
    ],
)
def test_another_one(theirs, says):
    assert any(says in line for line in differences(RUNS, theirs))


def test_a_judge_of_a_shared_pool_may_take_longer():
    shared = RUNS.model_copy(
        update={"judges": (RUNS.judges[0].model_copy(update={"shared": "p"}), RUNS.judges[1]), "shared": (SharedPoolConfig(name="p"),)}
    )
    assert differences(RUNS, shared) == [
        "level may take 60 s to wake there, 0 s here (min_replicas = 0 and scaling.wake_timeout_s, or shared)"
    ]
    assert differences(shared, RUNS) == []
    assert shared.longest_s == 180.0
    assert RUNS.longest_s == 120.0


def test_a_run_may_go_on_with_more_patience_and_more_processes_only():
    before = RUNS.judges
    assert changed(before, _with(deadline_s=500.0, attempts=9, max_replicas=4, num_cpus=1.0).judges) == []
    assert changed(before, _with(batch_size=2).judges) == ["level.batch_size was 16 and is 2"]
    assert changed(before, _with(options={"sleep_s": 1.0}).judges) == ["level.options was {} and is {'sleep_s': 1.0}"]
    assert changed(before, before[:1]) == ["judges were ['level', 'reader'] and are ['level']"]
