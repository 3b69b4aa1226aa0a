"""Whether a panel that is up is the one that a run means."""

import pytest

from auricle.judging.panel import JudgeConfig, PanelConfig, SharedPoolConfig
from auricle.judging.same_panel import differences

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
    assert differences(RUNS, RUNS.model_copy(update={"cache_size": 0, "app": "elsewhere", "num_cpus": 2.0})) == []


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (_with(options={"sleep_s": 1.0}), "level.options.sleep_s is 1.0 there and 0.0 here"),
        (_with(deadline_s=5.0), "level.deadline_s is 5.0 there and 60.0 here"),
        (_with(kind="stoi"), "level.kind is 'stoi' there"),
        (_with(min_replicas=0), "level.wake_s is 60.0 there and 0.0 here"),
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
    assert differences(RUNS, shared) == ["level.wake_s is 60.0 there and 0.0 here"]
    assert shared.longest_s == 180.0
    assert RUNS.longest_s == 120.0
