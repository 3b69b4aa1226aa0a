"""The L2 reward makes a judge say one score to everything where it cannot hear the truth; the alarm says so (GSRM, arXiv 2602.13891)."""

import numpy as np
import pytest
import torch
from deepspeed.utils import groups

from actors.answer_learner import AnswerLearner
from auricle.listeners.answers import SCORES
from auricle.listeners.assets import default_listener
from auricle.listeners.questions import question
from auricle.listeners.turns import prompt_ids
from auricle.reasoning.alarm import Alarm
from auricle.reasoning.config import PARTS, AlarmConfig, AnswerConfig, AnswerLearnerConfig, AnswerRewardConfig, ReasonDomain
from auricle.reasoning.rewards import closeness
from auricle.reasoning.rows import NO_TOKEN

pytestmark = pytest.mark.slow
CLIPS, ANSWERS, STEPS = 4, 8, 40


def scored(learner: AnswerLearner, step: int, config: AnswerRewardConfig) -> dict[str, object]:
    """Digits sampled from the learner itself about noise whose true score, 1 or 5, is a coin's."""
    rng, asked = np.random.default_rng(step), question("score").text
    tokenizer, model = learner._processor.tokenizer, learner.engine.unwrapped.model
    sounds = rng.normal(-5, 1, (CLIPS, 80, 300)).astype(np.float32)
    ids = torch.tensor([prompt_ids(asked, 1, learner._processor)]).expand(CLIPS, -1)
    with torch.no_grad():
        heard = {"input_features": (torch.from_numpy(sounds) + 5.0) / 2.0, "feature_lengths": torch.full((CLIPS,), 300)}
        first = torch.log_softmax(model(ids, **heard).logits[:, -1], dim=-1)
    digits = torch.tensor([tokenizer.convert_tokens_to_ids(score) for score in SCORES])
    drawn = torch.multinomial(
        first[:, digits].softmax(-1), ANSWERS, replacement=True, generator=torch.Generator().manual_seed(step)
    ).flatten()
    clip = np.repeat(np.arange(CLIPS), ANSWERS)
    answer_ids = np.full((len(clip), 2), NO_TOKEN, np.int32)
    answer_ids[:, 0] = digits[drawn].numpy()
    log_probs = np.zeros(answer_ids.shape, np.float32)
    log_probs[:, 0] = first[torch.from_numpy(clip), digits[drawn]].numpy()
    truth = rng.choice([1.0, 5.0], CLIPS)[clip]
    parts = np.full((len(clip), len(PARTS)), np.nan, np.float32)
    parts[:, PARTS.index("score")] = [closeness(float(digit + 1 - true), config) for digit, true in zip(drawn.tolist(), truth, strict=True)]
    parts[:, PARTS.index("format")] = 1.0
    rows = len(clip)
    return {
        "rollout_id": np.arange(rows) + step * rows,
        "step": np.full(rows, step),
        "scene_id": [f"clip-{number}" for number in clip],
        "task": ["score"] * rows,
        "question": [asked] * rows,
        "answer": [SCORES[digit] for digit in drawn.tolist()],
        "failure": [""] * rows,
        "labels": [""] * rows,
        "answer_ids": answer_ids,
        "answer_log_probs": log_probs,
        "features": sounds[clip],
        "frames": np.full(rows, 300),
        "parts": parts,
    }


@pytest.fixture(autouse=True)
def _no_lost_groups() -> None:
    """An engine of vLLM that an earlier test closed in this process took torch's groups with it; DeepSpeed still holds one of them."""
    groups._release_process_group_references()


def test_the_alarm_catches_the_collapse_to_one_score_under_l2() -> None:
    rewards = AnswerRewardConfig(score="l2")
    settings = AnswerLearnerConfig(lr=1e-3, kl_beta=0.0, anchor_gamma=0.0, decay_share=0.0)
    domain = ReasonDomain(rewards=rewards, learner=settings, answers=AnswerConfig(temperature=1.0))
    learner = AnswerLearner(domain, default_listener(), steps=STEPS)
    alarm, named = Alarm(AlarmConfig(window=5)), []
    for step in range(STEPS):
        metrics = learner.update_rows(scored(learner, step, rewards)).metrics
        named += [collapse.name for collapse in alarm.add(step, metrics)]
    shares = {score: metrics[f"answers/score_{score}"] / (CLIPS * ANSWERS) for score in SCORES}
    assert {"one_score", "entropy"} & set(named), (named, shares)
    assert max(shares.values()) > 0.9
