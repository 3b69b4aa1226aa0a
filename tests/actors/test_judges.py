"""The panel on a real Serve: slow, raising and dying judges, callers at once, start and stop."""

import threading
import time

import numpy as np
import pytest
from ray import serve

from actors.panel import start_panel, stop_panel
from auricle.errors import ConfigError, JudgeError
from auricle.judging.panel import JudgeConfig, PanelConfig

pytestmark = pytest.mark.slow

ODD = "tests.judging.odd_judges"
RATE_HZ = 16_000


def _judge(name, **values):
    return JudgeConfig(**{"name": name, "kind": f"{ODD}:LevelJudge", "num_cpus": 0.05, "deadline_s": 120.0} | values)


PANEL = PanelConfig(
    judges=(
        _judge("level", attempts=5),
        _judge("mortal", attempts=2, pause_s=0.05),
        _judge("slow", options={"sleep_s": 4.0, "immortal": True}, deadline_s=0.5),
        _judge("reader", kind=f"{ODD}:LengthReader", reads="level"),
    ),
    num_cpus=0.05,
)


@pytest.fixture
def panel(ray_local):
    """The panel, started once for this module."""
    if "panel-test" not in serve.status().applications:
        start_panel(PANEL, app_name="panel-test")
    return serve.get_app_handle("panel-test")


@pytest.fixture(scope="module", autouse=True)
def _stop():
    yield
    import ray

    if ray.is_initialized():
        serve.shutdown()


def _request(clip_id, seed=0):
    audio = (0.1 * np.random.default_rng(seed).standard_normal(RATE_HZ)).astype(np.float32)
    return {"clip_id": clip_id, "audio": audio, "sample_rate_hz": RATE_HZ, "reference": None}


def _ask(panel, *requests):
    return panel.judge.remote(list(requests)).result(timeout_s=180)


def test_every_judge_answers_every_clip(panel):
    answers = _ask(panel, _request("a", 1), _request("bc", 2))
    assert [set(answer) for answer in answers] == [{"level", "mortal", "slow", "reader"}] * 2
    # (`slow` has half a second: too little for anything while its process warms up on a busy machine.)
    assert all(verdict["state"] == "scored" for answer in answers for name, verdict in answer.items() if name != "slow")
    assert [answer["reader"]["score"] for answer in answers] == [len("a sounds odd"), len("bc sounds odd")]


def test_a_slow_judge_times_out_alone_and_is_there_again_afterwards(panel):
    answer = _ask(panel, _request("slow", 3))[0]
    assert (answer["slow"]["state"], answer["slow"]["reason"]) == ("failed", "timeout")
    assert answer["level"]["state"] == "scored"
    deadline = time.monotonic() + 60
    while _ask(panel, _request("quick", 4))[0]["slow"]["state"] == "failed":  # until the judge has finished the clip that nobody waits for
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_raising_and_unparsable_answers_are_failures_with_reasons(panel):
    raising, unparsable, fine = _ask(panel, _request("raise", 5), _request("unparsable", 6), _request("fine", 7))
    assert raising["level"]["reason"] == "error"
    assert "poison" in raising["level"]["detail"]
    assert (unparsable["level"]["reason"], unparsable["reader"]["reason"]) == ("unparsable", "no_text")
    assert fine["level"]["state"] == "scored"


def test_a_killed_replica_is_replaced_and_the_clips_are_asked_again(panel, tmp_path):
    only_level_dies = f"die:{tmp_path / 'died'}"
    (tmp_path / "died").touch()
    assert _ask(panel, _request(only_level_dies, 8))[0]["level"]["state"] == "scored"
    (tmp_path / "died").unlink()
    answers = _ask(panel, _request("before", 9), _request(only_level_dies, 10))
    # Whichever judge came to the clip first died of it, and was asked again: all that have the time have verdicts in the end.
    patient = [verdict for answer in answers for name, verdict in answer.items() if name != "slow"]
    assert all(verdict["state"] == "scored" for verdict in patient)
    assert max(verdict["attempts"] for verdict in patient) > 1


def test_a_judge_that_dies_again_and_again_is_unavailable_and_never_a_number(panel):
    answer = _ask(panel, _request("die", 11))[0]
    assert answer["mortal"]["reason"] == "unavailable"
    assert answer["mortal"]["attempts"] == 2
    assert "score" not in answer["mortal"]
    healthy = _ask(panel, _request("after", 12))[0]
    assert healthy["reader"]["state"] == healthy["level"]["state"] == "scored"


def test_callers_at_once_get_their_own_verdicts(panel):
    found = {}

    def call(index):
        found[index] = _ask(panel, *(_request(f"{index}-{row}", 100 + 10 * index + row) for row in range(3)))

    threads = [threading.Thread(target=call, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    words = {index: [answer["level"]["rationale"] for answer in answers] for index, answers in found.items()}
    assert words == {index: [f"{index}-{row} sounds odd" for row in range(3)] for index in range(6)}


def test_a_clip_that_comes_again_has_the_same_verdict_without_being_judged_again(panel):
    first = _ask(panel, _request("again", 13))[0]
    again = _ask(panel, _request("again", 13))[0]
    assert again == first  # the latency too: it is the first one's


def test_a_panel_whose_judge_cannot_be_built_says_why_and_leaves_nothing(ray_local):
    broken = PanelConfig(judges=(_judge("broken", kind=f"{ODD}:BrokenJudge"),), num_cpus=0.05)
    with pytest.raises(JudgeError, match=r"did not start.*another planet"):
        start_panel(broken, app_name="panel-broken")
    assert "panel-broken" not in serve.status().applications


def test_misspelt_options_are_found_before_anything_starts(ray_local):
    with pytest.raises(ConfigError, match="did you mean 'sleep_s'"):
        start_panel(PanelConfig(judges=(_judge("odd", options={"sleep": 1}),)), app_name="panel-misspelt")


def test_stopping_takes_the_application_down(ray_local):
    start_panel(PanelConfig(judges=(_judge("level"),), num_cpus=0.05), app_name="panel-stop")
    stop_panel(app_name="panel-stop")
    assert "panel-stop" not in serve.status().applications
