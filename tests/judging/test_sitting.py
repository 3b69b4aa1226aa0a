"""A sitting in this process: loudness, words, failures, deadlines, retries, the cache."""

import asyncio
import time

import numpy as np
import pytest

from auricle.errors import JudgeError, JudgeUnavailableError
from auricle.judging.judge import Identity, judge_safely
from auricle.judging.local import LocalPanel
from auricle.judging.panel import JudgeConfig, PanelConfig
from auricle.judging.sitting import Sitting
from auricle.judging.verdict import Scored
from tests.judging.odd_judges import LevelJudge, OddOptions, ShortJudge

ODD = "tests.judging.odd_judges"
RATE_HZ = 16_000


def _noise(level=0.1, seed=0, seconds=1.0):
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ))).astype(np.float32)


def _request(clip_id, audio=None, reference=None):
    return {"clip_id": clip_id, "audio": _noise() if audio is None else audio, "sample_rate_hz": RATE_HZ, "reference": reference}


def _panel(*judges, **options):
    return PanelConfig(judges=judges, **options)


LEVEL = JudgeConfig(name="level", kind=f"{ODD}:LevelJudge")


def test_judges_hear_one_loudness_and_metrics_hear_clips_as_they_are():
    raw = JudgeConfig(name="raw", kind=f"{ODD}:RawLevelJudge")
    with LocalPanel(_panel(LEVEL, raw)) as panel:
        loud, quiet = panel.judge([_request("a", _noise(0.2)), _request("b", _noise(0.002))])
    assert loud["level"]["score"] == pytest.approx(quiet["level"]["score"], abs=1e-3)
    assert loud["raw"]["score"] - quiet["raw"]["score"] == pytest.approx(40.0, abs=0.01)


def test_an_answer_says_what_it_came_from():
    with LocalPanel(_panel(LEVEL)) as panel:
        answer = panel.judge([_request("a")])[0]["level"]
    assert answer["state"] == "scored"
    assert (answer["prompt_hash"], answer["model_hash"], answer["attempts"]) == ("prompt-1", "model-1", 1)
    assert len(answer["audio_hash"]) == 16
    assert answer["latency_s"] > 0


def test_a_reader_reads_the_listeners_words():
    reader = JudgeConfig(name="reader", kind=f"{ODD}:LengthReader", reads="level")
    with LocalPanel(_panel(reader, LEVEL)) as panel:
        good, bad = panel.judge([_request("abc"), _request("unparsable")])
    assert good["reader"]["score"] == len("abc sounds odd")
    assert (bad["level"]["reason"], bad["reader"]["reason"]) == ("unparsable", "no_text")


@pytest.mark.parametrize(
    ("audio", "says"),
    [(np.full(100, np.nan), "NaN"), (np.zeros((2, 100)), "mono"), (np.array([]), "empty")],
)
def test_a_bad_clip_fails_everywhere_and_its_neighbours_do_not(audio, says):
    with LocalPanel(_panel(LEVEL)) as panel:
        before, bad, after = panel.judge([_request("a"), _request("bad", audio), _request("b", _noise(seed=1))])
    assert before["level"]["state"] == after["level"]["state"] == "scored"
    assert bad["level"]["reason"] == "bad_clip"
    assert says in bad["level"]["detail"]


def test_a_judge_that_raises_fails_the_poisonous_clip_alone():
    with LocalPanel(_panel(LEVEL)) as panel:
        answers = panel.judge([_request("a"), _request("raise"), _request("nan"), _request("b", _noise(seed=1))])
    assert [answer["level"].get("reason") for answer in answers] == [None, "error", "not_finite", None]
    assert "poison" in answers[1]["level"]["detail"]


def test_too_few_verdicts_fail_all_rather_than_shift():
    assert all(verdict.reason == "error" for verdict in judge_safely(ShortJudge(OddOptions()), [None, None]))  # type: ignore[list-item]


def test_without_a_reference_a_metric_fails_and_is_not_asked():
    with LocalPanel(_panel(JudgeConfig(name="m", kind=f"{ODD}:ReferenceJudge"))) as panel:
        without, with_one = panel.judge([_request("die"), _request("b", reference=_noise(seed=2))])
    assert without["m"]["reason"] == "no_reference"
    assert with_one["m"]["state"] == "scored"


def test_a_slow_judge_times_out_and_the_others_are_heard():
    slow = JudgeConfig(name="slow", kind=f"{ODD}:LevelJudge", options={"sleep_s": 1.5}, deadline_s=0.3)
    with LocalPanel(_panel(slow, LEVEL)) as panel:
        answer = panel.judge([_request("slow")])[0]
    assert answer["slow"]["reason"] == "timeout"
    assert "0.3 s" in answer["slow"]["detail"]
    assert answer["level"]["state"] == "scored"


def test_the_same_clip_is_judged_once_and_failures_again():
    with LocalPanel(_panel(LEVEL)) as panel:
        first = panel.judge([_request("a"), _request("raise", _noise(seed=3))])
        again = panel.judge([_request("a"), _request("fine", _noise(seed=3))])
        calls = panel._benches["level"]._judge.calls
    assert again[0] == first[0]
    assert calls == [2, 1, 1, 1]  # both; each alone after the exception; only the one that had failed
    assert again[1]["level"]["state"] == "scored"


def test_the_cache_is_bounded():
    with LocalPanel(_panel(LEVEL, cache_size=2)) as panel:
        for seed in (0, 1, 2, 0):
            panel.judge([_request("a", _noise(seed=seed))])
        assert panel._benches["level"]._judge.calls == [1, 1, 1, 1]
        panel.judge([_request("a", _noise(seed=2))])
        assert len(panel._benches["level"]._judge.calls) == 4


def test_a_block_is_split_into_pieces_and_answers_keep_their_order():
    judge = LEVEL.model_copy(update={"batch_size": 3})
    with LocalPanel(_panel(judge)) as panel:
        answers = panel.judge([_request(str(index), _noise(seed=index)) for index in range(7)])
        assert panel._benches["level"]._judge.calls == [3, 3, 1]
    assert [answer["level"]["rationale"].split()[0] for answer in answers] == list("0123456")


def test_a_judge_that_cannot_be_built_is_an_error_and_leaves_nothing_behind():
    with pytest.raises(ValueError, match="another planet"), LocalPanel(_panel(LEVEL, JudgeConfig(name="b", kind=f"{ODD}:BrokenJudge"))):
        pass


class Flaky:
    """A bench that is unavailable a number of times: what a dying pool looks like to a sitting."""

    def __init__(self, failures):
        self.failures, self.calls = failures, 0

    async def judge(self, clips, deadline):
        self.calls += 1
        if self.calls <= self.failures:
            raise JudgeUnavailableError("its process died")
        return LevelJudge(OddOptions()).judge(clips), Identity()


class Slow:
    """A bench that answers when it is told to."""

    def __init__(self):
        self.asked, self.go_on = [], asyncio.Event()

    async def judge(self, clips, deadline):
        self.asked += [clip.clip_id for clip in clips]
        await self.go_on.wait()
        return LevelJudge(OddOptions()).judge(clips), Identity()


def at_once(*blocks, cut_off=None, deadline_s=60.0):
    """What blocks that come one after the other, while the judge is at the first, are answered; and which clips it was asked for."""
    bench = Slow()

    async def story():
        sitting = Sitting(_panel(LEVEL.model_copy(update={"deadline_s": deadline_s})), {"level": bench})
        calls = []
        for block in blocks:
            calls.append(asyncio.create_task(sitting.judge(block)))
            await asyncio.sleep(0.05)
            while not bench.asked:
                await asyncio.sleep(0.01)
        if cut_off is not None:
            calls[cut_off].cancel()
            await asyncio.sleep(0.05)
        if deadline_s > 1:
            bench.go_on.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert not sitting._under_way
        return answers

    return asyncio.run(story()), bench.asked


def test_a_block_that_comes_again_while_it_is_judged_waits_for_those_verdicts():
    block = [_request("a"), _request("b", _noise(seed=1))]
    (first, second), asked = at_once(block, [*block, _request("c", _noise(seed=2))])
    assert second[:2] == first
    assert asked == ["a", "b", "c"]


def test_who_waits_shares_a_failure_and_is_not_kept_longer_than_a_deadline():
    (first, second), asked = at_once([_request("a")], [_request("a")], deadline_s=0.3)
    assert first[0]["level"]["reason"] == second[0]["level"]["reason"] == "timeout"
    assert asked == ["a"]


def test_who_waits_for_one_that_was_cut_off_asks_itself():
    (first, second), asked = at_once([_request("a")], [_request("a")], cut_off=0)
    assert isinstance(first, asyncio.CancelledError)
    assert second[0]["level"]["state"] == "scored"
    assert asked == ["a", "a"]


@pytest.mark.parametrize(("failures", "reason", "attempts"), [(0, None, 1), (2, None, 3), (3, "unavailable", 3)])
def test_an_unavailable_judge_is_tried_again_a_bounded_number_of_times(failures, reason, attempts):
    judge = LEVEL.model_copy(update={"attempts": 3, "pause_s": 0.001})
    bench = Flaky(failures)
    answer = asyncio.run(Sitting(_panel(judge), {"level": bench}).judge([_request("a")]))[0]["level"]
    assert (answer.get("reason"), answer["attempts"], bench.calls) == (reason, attempts, attempts)


def test_retries_end_at_the_deadline():
    judge = LEVEL.model_copy(update={"attempts": 1_000_000, "pause_s": 0.001, "deadline_s": 0.2})
    began = time.monotonic()
    answer = asyncio.run(Sitting(_panel(judge), {"level": Flaky(10**9)}).judge([_request("a")]))[0]["level"]
    assert (answer["state"], answer["reason"]) == ("failed", "timeout")
    assert "process died" in answer["detail"]
    assert time.monotonic() - began < 60


def test_describing_judges_may_have_no_score():
    verdicts = judge_safely(LevelJudge(OddOptions()), [])
    assert verdicts == []
    assert Scored(None, "words").score is None


def test_user_errors_keep_their_class():
    assert issubclass(JudgeUnavailableError, JudgeError)


def test_a_fresh_request_is_judged_anew_and_another_wording_is_another_verdict():
    with LocalPanel(_panel(LEVEL)) as panel:
        bench = panel._benches["level"]._judge
        panel.judge([_request("a")])
        panel.judge([_request("a"), _request("a") | {"fresh": True}])
        assert bench.calls == [1, 1]  # the second one came from the cache, the fresh one did not
        panel.judge([_request("a") | {"wording": 1}])
        assert len(bench.calls) == 3
