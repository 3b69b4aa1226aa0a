"""Deadlines lie inside one another, so that the innermost one fires first and says what really hangs.

    judges (reader after the read one; waking) < reward.timeout_s < finetune.step_timeout_s < rollout.gate_timeout_s,
                                                                                              learner_pool.call_timeout_s
                                         finetune.call_timeout_s < finetune.step_timeout_s
    reward.timeout_s x the guard's blocks < guard.timeout_s
    reason.call_timeout_s < reason.step_timeout_s < reason.answers.gate_timeout_s, learner_pool.call_timeout_s

A judge that hangs costs its clips their verdicts; were the block's deadline shorter, every judge's verdicts would be lost with it, and were
the step's, the whole phase. Rollouts at the gate, and ranks that wait for one another, wait for the slowest step.
"""

import math

from auricle.errors import ConfigError
from pipelines.settings import Settings


def check_deadlines(settings: Settings) -> None:
    """Raises ConfigError naming every key that has to be larger, and than what."""
    step = ("finetune.step_timeout_s", settings.finetune.step_timeout_s)
    reason = ("reason.step_timeout_s", settings.reason.step_timeout_s)
    block = ("reward.timeout_s", settings.reward.timeout_s)
    blocks = math.ceil(settings.guard.scenes / settings.panel.block_clips)
    ladder = (
        (
            (
                "the longest of panel.judges' deadline_s (a reader's with that of the judge it reads; with wake_timeout_s)",
                settings.panel.longest_s,
            ),
            block,
        ),
        (block, step),
        (
            (f"reward.timeout_s x {blocks} blocks (guard.scenes / the smallest batch_size)", blocks * settings.reward.timeout_s),
            ("guard.timeout_s", settings.guard.timeout_s),
        ),
        (("finetune.call_timeout_s", settings.finetune.call_timeout_s), step),
        (step, ("rollout.gate_timeout_s", settings.rollout.gate_timeout_s)),
        (step, ("learner_pool.call_timeout_s", settings.learner_pool.call_timeout_s)),
        (("reason.call_timeout_s", settings.reason.call_timeout_s), reason),
        (reason, ("reason.answers.gate_timeout_s", settings.reason.answers.gate_timeout_s)),
        (reason, ("learner_pool.call_timeout_s", settings.learner_pool.call_timeout_s)),
    )
    faults = [
        f"{outer} = {outer_s:g} must be larger than {inner} = {inner_s:g}"
        for (inner, inner_s), (outer, outer_s) in ladder
        if outer_s <= inner_s
    ]
    waiting, room = settings.reward.clients * settings.reward.blocks_in_flight, settings.panel.max_ongoing_requests
    if waiting >= room:  # one place more: the guard asks too
        faults.append(
            f"panel.max_ongoing_requests = {room} must be larger than reward.clients x reward.blocks_in_flight = {waiting}, or blocks wait "
            "in the panel's queue while their deadline runs"
        )
    if faults:
        raise ConfigError("deadlines: " + "; ".join(faults))
