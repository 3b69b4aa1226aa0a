"""What answers earn: by hand for each kind of question, and for anything at all by property."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.errors import ConfigError, JudgeError
from auricle.learning.advantages import AdvantageConfig
from auricle.listeners.answers import artefact_text
from auricle.listeners.descriptions import describe
from auricle.listeners.labels import ARTEFACTS, Damage, Labels, make_labels
from auricle.listeners.questions import question
from auricle.reasoning.advantages import answer_advantages
from auricle.reasoning.config import PARTS, AnswerRewardConfig, QuestionConfig
from auricle.reasoning.rewards import closeness, reward_of, span_reward
from auricle.reasoning.similarity import Claims, named_artefacts, similarity_of, true_artefacts, verdict_of
from auricle.reasoning.tasks import draw_question, is_local, name_weight, split_clips

CONFIG, CLAIMS = AnswerRewardConfig(), Claims()
GAPS = make_labels(2.0, (Damage("drop-outs", 0.8, ((0.5, 1.0), (2.0, 2.5))),), 3.0)
CLEAN = make_labels(4.64, (), 3.0)


def earned(task: str, text: str, labels: Labels, dimension: str | None = None) -> dict[str, float]:
    return reward_of(question(task, dimension), text, labels, CONFIG, CLAIMS).parts  # type: ignore[arg-type]


def test_a_true_answer_earns_everything() -> None:
    rng = np.random.default_rng(0)
    assert earned("artefact", artefact_text(GAPS), GAPS) == {"artefact": 1.0, "span": 1.0, "format": 1.0}
    assert earned("artefact", artefact_text(CLEAN), CLEAN) == {"artefact": 1.0, "format": 1.0}
    for labels in (GAPS, CLEAN):
        assert earned("describe", describe(labels, rng), labels)["words"] > 0.85


def test_a_span_earns_its_overlap_and_does_not_apply_under_another_name() -> None:
    assert earned("artefact", "drop-outs: 0.5-1.5 s", GAPS)["span"] == pytest.approx(0.5 / 1.5)
    assert earned("artefact", "noise: 0.5-1.0, 2.0-2.5 s", GAPS) == {"artefact": 0.0, "format": 1.0}
    assert earned("artefact", "none", GAPS) == {"artefact": 0.0, "format": 1.0}


def test_with_a_margin_a_near_miss_earns_more_than_a_far_one() -> None:
    true = [(1.0, 1.2)]
    hit, near, far = (span_reward(true, [(start, start + 0.2)], 0.3) for start in (1.0, 1.3, 2.5))
    assert (hit, far) == (1.0, 0.0)
    assert near == pytest.approx((0.5 / 1.1) / 2)
    assert span_reward(true, [(1.3, 1.5)], 0.0) == 0.0


def test_times_are_compared_among_answers_that_name_rightly_and_do_not_tax_the_name() -> None:
    """Two right names with good and bad times beside two wrong names, for two clips."""
    parts = np.full((8, len(PARTS)), np.nan)
    parts[:, PARTS.index("format")] = 1.0
    parts[:, PARTS.index("artefact")] = [1, 1, 0, 0] * 2
    parts[:2, PARTS.index("span")], parts[4:6, PARTS.index("span")] = (0.9, 0.1), (0.3, 0.5)
    scenes = ["a"] * 4 + ["b"] * 4
    table = {"rollout_id": np.arange(8), "scene_id": scenes, "task": ["artefact"] * 8, "parts": parts, "shares": np.ones(8)}
    weights = [CONFIG.weights.get(name, 0.0) for name in PARTS]
    values = answer_advantages([table], weights, AdvantageConfig(credit_weight=0.0), 0).advantages.values
    named = answer_advantages(
        [table],
        [0.0 if name == "span" else weight for name, weight in zip(PARTS, weights, strict=True)],
        AdvantageConfig(credit_weight=0.0),
        0,
    ).advantages.values
    assert values[0] > values[1] > values[2]
    assert values[5] > values[4]
    np.testing.assert_allclose(values[2:4], named[2:4])
    np.testing.assert_allclose(values[:2].mean(), named[:2].mean())
    drawn_often = answer_advantages(
        [table | {"shares": np.full(8, 0.25)}], weights, AdvantageConfig(credit_weight=0.0), 0
    ).advantages.values
    np.testing.assert_allclose(drawn_often[2:4], values[2:4] / 4)
    np.testing.assert_allclose(drawn_often[0] - drawn_often[1], values[0] - values[1])


def test_a_score_earns_its_closeness() -> None:
    reward = reward_of(question("dimension", "continuity"), "4", GAPS, CONFIG, CLAIMS)
    assert reward.parts["score"] == pytest.approx(np.exp(-(((4 - GAPS.dimensions["continuity"]) / CONFIG.score_width) ** 2)))
    assert reward.score == 4.0
    np.testing.assert_array_equal(np.isfinite(reward.row), [name in ("score", "format") for name in PARTS])


def test_the_square_prefers_the_safe_middle_where_the_gaussian_prefers_being_right() -> None:
    """Truth is 1 or 5, by a coin: always saying 3 beats guessing under l2, not under rbf."""
    l2 = AnswerRewardConfig(score="l2")
    assert closeness(2.0, l2) > (closeness(0.0, l2) + closeness(4.0, l2)) / 2
    assert closeness(2.0, CONFIG) < (closeness(0.0, CONFIG) + closeness(4.0, CONFIG)) / 2


@given(st.text(), st.sampled_from(["artefact", "score", "describe"]))
def test_anything_may_be_said(text: str, task: str) -> None:
    reward = reward_of(question(task), text, GAPS, CONFIG, CLAIMS)  # type: ignore[arg-type]
    assert all(0.0 <= value <= 1.0 for value in reward.parts.values())
    assert bool(reward.failure) == (reward.parts["format"] == 0.0)
    assert not reward.failure or set(reward.parts.values()) == {0.0}


def test_descriptions_claim_what_is_true() -> None:
    rng = np.random.default_rng(1)
    for artefact in ARTEFACTS:
        labels = make_labels(None if artefact == "no speech" else 2.0, (Damage(artefact, 0.7, ((0.0, 3.0),), {"way": 2.0}),), 3.0)
        for _ in range(6):
            text = describe(labels, rng)
            assert named_artefacts(text) == true_artefacts(labels) == {artefact}, text
            assert verdict_of(text) is not None


def test_an_encoder_that_is_not_there_is_an_error_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="`claims`"):
        similarity_of(str(tmp_path / "no-model"))


def test_clips_are_chosen_by_share_and_the_last_are_held_out() -> None:
    labels = [GAPS if row % 4 == 0 else CLEAN for row in range(80)]
    train, dev = split_clips(labels, QuestionConfig(local_share=0.5, dev_clips=20), seed=0)
    assert dev.tolist() == list(range(60, 80))
    assert len(train) == 30
    assert sum(is_local(labels[row]) for row in train) == 15
    assert split_clips(labels, QuestionConfig(local_share=0.5, dev_clips=20), seed=1)[0].tolist() != train.tolist()
    with pytest.raises(ConfigError, match="too few"):
        split_clips(labels, QuestionConfig(dev_clips=80), seed=0)


def test_names_in_clips_that_are_drawn_more_often_count_less_by_as_much() -> None:
    labels = [GAPS if row % 4 == 0 else CLEAN for row in range(80)]
    even, _ = split_clips(labels, QuestionConfig(local_share=0.5, dev_clips=20), seed=0)
    assert name_weight(labels, even.tolist(), 20) == pytest.approx(1 / 3)
    assert name_weight(labels, list(range(60)), 20) == pytest.approx(1.0)


def test_questions_follow_from_their_seed_and_their_shares() -> None:
    config = QuestionConfig(shares={"artefact": 3.0, "score": 1.0})
    drawn = [draw_question(config, seed) for seed in range(400)]
    assert drawn == [draw_question(config, seed) for seed in range(400)]
    assert 0.68 < np.mean([one.task == "artefact" for one in drawn]) < 0.82
    assert {one.task for one in drawn} == {"artefact", "score"}
