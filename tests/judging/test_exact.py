"""Judges for runs that are repeated to the bit: every clip alone; and what is an accident, not a verdict."""

import asyncio

import numpy as np
import pytest

from actors.judges import JudgeReplica
from auricle.judging.exact import ALONE_FACTOR, accident, exact_panel
from auricle.judging.judge import JudgeClip
from auricle.judging.local import LocalPanel
from auricle.judging.panel import JudgeConfig, PanelConfig

COMPANY = PanelConfig(judges=(JudgeConfig(name="probe", kind="tests.judges:CompanyJudge"),))
RATE_HZ = 16_000


def sound(seed):
    return (0.1 * np.random.default_rng(seed).standard_normal(RATE_HZ // 4)).astype(np.float32)


def on_this_machine(panel, *seeds):
    requests = [{"clip_id": str(seed), "audio": sound(seed), "sample_rate_hz": RATE_HZ} for seed in seeds]
    with LocalPanel(panel) as judges:
        return [answer["probe"]["score"] for answer in judges.judge(requests)]


def on_a_replica(panel, *seeds):
    """As a replica of Serve hears them, without Serve."""
    replica = JudgeReplica.func_or_class(panel.judges[0].model_dump(mode="json"))
    verdicts, *_ = asyncio.run(replica.judge_apart([JudgeClip(str(seed), sound(seed), RATE_HZ) for seed in seeds]))
    return [verdict.score for verdict in verdicts]


@pytest.mark.parametrize("hear", [on_this_machine, on_a_replica])
def test_a_judge_that_minds_its_company_says_another_thing_unless_it_hears_clips_alone(hear):
    assert hear(COMPANY, 1)[0] != hear(COMPANY, 1, 2, 3)[0]
    alone = exact_panel(COMPANY)
    assert hear(alone, 1)[0] == hear(alone, 1, 2, 3)[0]


def test_an_exact_panel_has_more_time_and_keeps_no_prompts():
    listener = JudgeConfig(name="listener", options={"engine": {"extra": {"seed": 1}}}, deadline_s=50.0)
    [judge] = exact_panel(PanelConfig(judges=(listener,))).judges
    assert (judge.alone, judge.deadline_s) == (True, 50.0 * ALONE_FACTOR)
    assert judge.options["engine"]["extra"] == {"seed": 1, "enable_prefix_caching": False}
    assert listener.options["engine"]["extra"] == {"seed": 1}


@pytest.mark.parametrize(
    ("reason", "is_one"), [("timeout", True), ("unavailable", True), ("error", True), ("unparsable", False), ("too_short", False)]
)
def test_a_verdict_that_is_missing_whatever_the_clip_is_an_accident(reason, is_one):
    scored = {"probe": {"state": "scored", "score": 3.0}}
    failed = {"probe": {"state": "failed", "reason": reason, "detail": "why"}}
    assert not accident([scored, {}])
    assert bool(accident([scored, failed])) == is_one
    assert not is_one or "'probe' gave no verdict" in accident([failed])
