"""GRPO on the shipped listener, one rank: it learns what is rewarded, says what became of every answer, and resumes to the bit."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.answer_learner import LISTENER, AnchorClips, AnswerLearner
from auricle.errors import LearningError
from auricle.listeners.assets import default_listener
from auricle.listeners.calibration import DatasetConfig, TrainableConfig
from auricle.listeners.checkpoint import load_listener
from auricle.listeners.dataset import SetWriter
from auricle.listeners.labels import Damage, make_labels
from auricle.listeners.questions import question
from auricle.reasoning.config import PARTS, AnswerConfig, AnswerLearnerConfig, ReasonDomain
from auricle.reasoning.rows import NO_TOKEN

CLIPS, ANSWERS, TOKENS = 3, 4, 3
LABELS = json.dumps(asdict(make_labels(1.3, (Damage("noise", 0.9, ((0.0, 3.0),)),), 3.0)))


def build(anchor_gamma: float = 0.0, lessons: AnchorClips | None = None, **changes) -> AnswerLearner:
    learner = AnswerLearnerConfig(lr=2e-4, anchor_gamma=anchor_gamma, anchor_clips=4 if lessons else 0)
    domain = ReasonDomain(learner=learner, answers=AnswerConfig(temperature=1.0), **changes)
    return AnswerLearner(domain, default_listener(), steps=100, lessons=lessons)


def columns(learner: AnswerLearner, step: int = 0, good: str = "5") -> dict[str, object]:
    """Digits about random sounds, 2 or `good` by turns; the digit `good` earns 1."""
    rng = np.random.default_rng(7)
    rows = CLIPS * ANSWERS
    tokenizer = learner._processor.tokenizer
    texts = ["2" if row % 2 else good for row in range(rows)]
    ids = np.full((rows, TOKENS), NO_TOKEN, np.int32)
    for row, text in enumerate(texts):
        ids[row, :2] = [tokenizer.convert_tokens_to_ids(text), tokenizer.eos_token_id]
    sounds = rng.normal(-5, 1, (CLIPS, 80, 300)).astype(np.float32)
    parts = np.full((rows, len(PARTS)), np.nan, np.float32)
    parts[:, PARTS.index("score")] = [float(text == good) for text in texts]
    parts[:, PARTS.index("format")] = 1.0
    return {
        "rollout_id": np.arange(rows) + step * rows,
        "step": np.full(rows, step),
        "scene_id": [f"clip-{row // ANSWERS}" for row in range(rows)],
        "task": ["score"] * rows,
        "question": [question("score").text] * rows,
        "answer": texts,
        "failure": [""] * rows,
        "labels": [LABELS] * rows,
        "answer_ids": ids,
        "answer_log_probs": np.where(ids >= 0, np.float32(-1.0), np.float32(0.0)),
        "features": sounds[np.arange(rows) // ANSWERS],
        "frames": np.full(rows, 300),
        "parts": parts,
    }


def with_own_log_probs(learner: AnswerLearner, given: dict) -> dict:
    """As the engine would have sampled them: with the log-probabilities of the learner's own weights."""
    from auricle.reasoning.rows import answer_rows

    rows = answer_rows(given, learner.version)
    from auricle.reasoning.advantages import answer_advantages, answer_rank_table

    step = answer_advantages([answer_rank_table(rows)], learner._weights, learner.settings.advantages, learner.version)
    batch = learner._batch(rows, step)
    with torch.no_grad():
        [values] = learner.engine.unwrapped(**batch["sound"]).log_probs
    table, mask = batch["sound"]["turns"][0].by_row(values)
    found = np.zeros((len(rows), TOKENS), np.float32)
    found[:, : table.shape[1]] = torch.where(mask, table, torch.zeros_like(table)).numpy()
    return given | {"answer_log_probs": found}


def test_what_is_rewarded_becomes_likelier_and_every_answer_has_an_end() -> None:
    learner = build()
    first = with_own_log_probs(learner, columns(learner))
    report = learner.update_rows(first)
    assert report.version == 1
    assert [row.state for row in report.rows] == ["trained"] * (CLIPS * ANSWERS)
    assert report.metrics["answers/score_5"] == CLIPS * ANSWERS / 2
    assert report.metrics["first_max_abs_log_ratio"] < 1e-3
    assert report.metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    for step in range(1, 4):
        report = learner.update_rows(with_own_log_probs(learner, columns(learner, step)))
    last = with_own_log_probs(learner, columns(learner, 4))
    risen = np.asarray(last["answer_log_probs"])[:, 0] - np.asarray(first["answer_log_probs"])[:, 0]
    assert risen[::2].min() > 0
    # What is not rewarded may rise with it, where the listener thought both all but impossible, but by far less.
    assert (risen[::2] - risen[1::2]).min() > 1
    assert report.metrics["kl"] > 0


def test_answers_that_all_earn_the_same_change_nothing() -> None:
    learner = build()
    before = learner.weights()
    same = columns(learner)
    same["parts"] = np.where(np.isnan(same["parts"]), np.nan, np.float32(1.0))  # type: ignore[arg-type]
    learner.update_rows(with_own_log_probs(learner, same))
    after = learner.weights()
    assert max(float(np.abs(after[name] - before[name]).max()) for name in before) < 1e-5


def test_the_anchor_teaches_true_answers_beside_the_rewards() -> None:
    learner = build(anchor_gamma=1.0)
    same = columns(learner)
    same["parts"] = np.where(np.isnan(same["parts"]), np.nan, np.float32(1.0))  # type: ignore[arg-type]
    losses = [learner.update_rows(same | {"step": np.full(CLIPS * ANSWERS, step)}).metrics["anchor_loss"] for step in range(12)]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_the_anchor_may_teach_clips_of_its_own(tmp_path: Path) -> None:
    labels = [make_labels(2.0, (Damage("drop-outs", 0.8, ((0.5, 1.0),)),), 3.0)] * 8
    noise = np.random.default_rng(0).normal(-5, 1, (80, 300))
    with SetWriter(tmp_path, len(labels), DatasetConfig()) as writer:
        for own in labels:
            writer.add_features(noise, noise, 300, own, "drop-outs")
    learner = build(anchor_gamma=1.0, lessons=AnchorClips((tmp_path,), tuple(range(6)), seed=0, name_weight=1.0))
    same = columns(learner)
    same["parts"] = np.where(np.isnan(same["parts"]), np.nan, np.float32(1.0))  # type: ignore[arg-type]
    losses = [learner.update_rows(same | {"step": np.full(CLIPS * ANSWERS, step)}).metrics["anchor_loss"] for step in range(12)]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_a_resumed_learner_goes_on_to_the_bit(tmp_path: Path) -> None:
    learner = build()
    learner.update_rows(columns(learner))
    learner.save(tmp_path / "engine")
    learner.update_rows(columns(learner, 1))
    resumed = build()
    resumed.load(tmp_path / "engine")
    assert resumed.version == 1
    resumed.update_rows(columns(resumed, 1))
    own, theirs = learner.weights(), resumed.weights()
    assert all(np.array_equal(own[name], theirs[name]) for name in own)


def test_an_exported_listener_is_the_policy_with_adapters_merged(tmp_path: Path) -> None:
    learner = build(trainable=TrainableConfig(encoder="frozen", decoder="lora", lora_rank=4))
    for step in range(2):
        learner.update_rows(columns(learner, step))
    weights = learner.weights()
    learner.export(tmp_path, weights)
    loaded, start = load_listener(tmp_path / LISTENER), load_listener(default_listener())
    ids = torch.tensor([learner._processor.tokenizer("Rate this.")["input_ids"]])
    with torch.no_grad():
        plain, adapted, before = (model(ids).logits for model in (loaded.model, learner.engine.unwrapped.model.eval(), start.model))
    torch.testing.assert_close(plain, adapted, atol=1e-4, rtol=1e-4)
    assert (plain - before).abs().max() > 1e-5


def test_rows_of_another_step_are_refused() -> None:
    learner = build()
    with pytest.raises(LearningError, match=r"rows of step \[3\] reached the learner at version 0"):
        learner.update_rows(columns(learner, 3))
