"""What rows tell of pools and judges, by hand."""

import json

import numpy as np
import pytest

from actors.pool_sums import judge_sums, pool_sums, verdicts_of
from auricle.reasoning.rows import COLUMNS as ANSWER_COLUMNS
from auricle.sketch import bucket_of
from pipelines.finetune_recipe import LEARNED


def scored(latency_s: float, attempts: int = 1) -> dict:
    return {"state": "scored", "score": 3.0, "latency_s": latency_s, "attempts": attempts}


def failed(reason: str, attempts: int = 1, latency_s: float = 0.0) -> dict:
    return {"state": "failed", "reason": reason, "latency_s": latency_s, "attempts": attempts}


def test_blocks_are_counted_once_however_many_rows_they_have() -> None:
    answers = [{"ear": scored(0.5)}, {"ear": failed("timeout")}, {}, {}]
    rows = {
        "gate_wait_s": np.array([1.0, 1.0, 0.5, 0.5]),  # a share each: the blocks waited 2 s and 1 s
        "reward_wait_s": np.array([4.0, 4.0, 6.0, 6.0]),
        "judged_at_s": np.array([10.0, 10.0, 13.0, 13.0]),
        "taken_at_s": np.array([12.0, 12.0, 12.5, 12.5]),  # the second block's node has a clock that goes before
        "retries": np.array([0.0, 0.0, 2.0, 2.0]),
        "fault": np.array(["", "", "scene: gone", "scene: gone"], dtype=object),
        "verdicts": np.array([json.dumps(answer) for answer in answers], dtype=object),
    }
    sums = pool_sums(rows, verdicts_of(rows), 2)
    assert {name: sums[name] for name in ("blocks", "age/rollout", "age/reward", "age/learner", "retries", "faults", "judged")} == {
        "blocks": 2.0,
        "age/rollout": 3.0,
        "age/reward": 10.0,
        "age/learner": 2.0,
        "retries": 2.0,
        "faults": 2.0,
        "judged": 1.0,
    }
    assert sums[f"ages/reward/{bucket_of(6.0)}"] == 1.0


def test_judges_are_counted_by_reason_and_verdicts_without_a_call_have_no_latency() -> None:
    sums = judge_sums(
        [
            {"ear": scored(0.5), "words": scored(0.1)},
            {"ear": scored(0.5, attempts=3), "words": failed("no_text", attempts=0)},
            {"ear": failed("timeout", attempts=2, latency_s=9.0), "words": failed("no_text", attempts=0)},
        ]
    )
    assert sums == {
        "judge/ear/verdicts": 3.0,
        "judge/ear/retries": 3.0,
        "judge/ear/failed/timeout": 1.0,
        f"judge/ear/latency/{bucket_of(0.5)}": 2.0,
        f"judge/ear/latency/{bucket_of(9.0)}": 1.0,
        "judge/words/verdicts": 3.0,
        "judge/words/retries": 0.0,
        "judge/words/failed/no_text": 2.0,
        f"judge/words/latency/{bucket_of(0.1)}": 1.0,
    }
    assert judge_sums([{"ear": {"state": "scored", "attempts": 1}}])["judge/ear/retries"] == pytest.approx(0.0)  # answers of `reason`


def test_no_learner_reads_what_is_measured() -> None:
    measured = {"made_at_s", "reward_wait_s", "judged_at_s", "taken_at_s", "gate_wait_s", "rollout_s", "reward_s", "retries", "usage"}
    assert measured & {*LEARNED, *ANSWER_COLUMNS} == set()
