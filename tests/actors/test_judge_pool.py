"""Several judges in one pool, on a real Serve: loaded when asked for, put away when others need the room, and no call lost by it."""

import asyncio

import numpy as np
import pytest
from ray import serve

from actors.panel import start_panel, stop_panel
from auricle.judging.panel import JudgeConfig, PanelConfig, SharedPoolConfig

pytestmark = pytest.mark.slow

RATE_HZ = 16_000
ODD = "tests.judging.odd_judges:LevelJudge"
PANEL = PanelConfig(
    judges=tuple(
        JudgeConfig(name=name, kind=ODD, shared="ears", options={"sleep_s": 0.3}, deadline_s=120.0) for name in ("one", "two", "three")
    ),
    shared=(SharedPoolConfig(name="ears", loaded=2, num_cpus=0.05),),
    num_cpus=0.05,
    cache_size=0,
)


def request(clip_id: str) -> dict:
    audio = (0.1 * np.random.default_rng(list(clip_id.encode())).standard_normal(RATE_HZ)).astype(np.float32)
    return {"clip_id": clip_id, "audio": audio, "sample_rate_hz": RATE_HZ, "reference": None}


def test_three_judges_take_turns_in_a_pool_that_has_room_for_two(ray_local) -> None:
    handle = start_panel(PANEL, app_name="panel-shared")
    try:
        # Every block asks all three, of which only two are loaded: each is put away and loaded again, some of them while they work.
        calls = [handle.judge.remote([request(f"slow{index}")]) for index in range(4)]
        answers = [call.result(timeout_s=180)[0] for call in calls]
        for index, answer in enumerate(answers):
            assert {name: verdict["state"] for name, verdict in answer.items()} == {"one": "scored", "two": "scored", "three": "scored"}
            assert {verdict["rationale"] for verdict in answer.values()} == {f"slow{index} sounds odd"}
        deployments = serve.status().applications["panel-shared"].deployments
        assert set(deployments) == {"Panel", "ears"}
    finally:
        stop_panel(app_name="panel-shared")
        serve.shutdown()


def test_a_judge_that_is_put_away_finishes_first() -> None:
    from actors.judge_pool import Tenant

    config = JudgeConfig(name="odd", kind=ODD, options={"sleep_s": 0.5})
    clip = request("slow")

    async def story() -> list:
        from auricle.judging.judge import JudgeClip

        tenant = Tenant(config.model_dump(mode="json"))
        call = asyncio.create_task(tenant.judge([JudgeClip("slow", clip["audio"], RATE_HZ)]))
        await asyncio.sleep(0.05)
        await asyncio.get_running_loop().run_in_executor(None, tenant.__del__)
        assert call.done()
        return (await call)[0]

    (verdict,) = asyncio.run(story())
    assert verdict.rationale == "slow sounds odd"
