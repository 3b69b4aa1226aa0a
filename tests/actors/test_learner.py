"""The learner in one process: its loss against RLlib's and by hand, its step against plain torch, resuming, and rows without verdicts."""

import math

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing

from actors.learner import PolicyLearner
from actors.policy import FRAMES, MIX, SCENE_ROW, EnhancementPolicy
from auricle.enhancers.checkpoint import load_enhancer
from auricle.errors import CheckpointError, LearningError
from auricle.learning.advantages import AdvantageConfig, compute_advantages
from auricle.learning.config import LearnerConfig
from tests.actors.rows import EXPLORATION, SAMPLES, chosen, small_enhancer, stream_rows

LR = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_enhancer(tmp_path_factory.mktemp("enhancer"))


def learner(folder, **values):
    return PolicyLearner(LearnerConfig(**{"lr": LR, **values}), folder, EXPLORATION, [1.0])


def moved_learner(folder, **values):
    """A learner whose policy is no longer the one that made the rows."""
    made = learner(folder, **values)
    bias = made.policy.enhancer.head.bias
    with torch.no_grad():
        bias += 0.3 * torch.randn(bias.shape, generator=torch.Generator().manual_seed(2))
    return made


def loss_inputs(made, folder):
    """One minibatch as the learner makes it, with an advantage a knot and two rows left out."""
    rows = stream_rows(folder, 0)
    count, knots = len(rows["rollout_id"]), rows["action"].shape[2]
    first, owner = np.arange(0, count, SAMPLES), np.repeat(np.arange(count // SAMPLES), SAMPLES)
    as_tensor = {name: torch.tensor(rows[name]) for name in ("action", "action_mean", "reference_mean", "mix", "frames")}
    weights = torch.ones(count)
    weights[[1, 4]] = 0.0
    batch = {
        Columns.OBS: {MIX: as_tensor["mix"][first], FRAMES: as_tensor["frames"][first]},
        SCENE_ROW: torch.tensor(owner),
        Columns.ACTIONS: as_tensor["action"].mT,
        Columns.ACTION_DIST_INPUTS: as_tensor["action_mean"].mT,
        "reference_mean": as_tensor["reference_mean"].mT,
        Postprocessing.ADVANTAGES: torch.randn(count, knots, generator=torch.Generator().manual_seed(3)),
        Postprocessing.VALUE_TARGETS: torch.zeros(count),
        "row_weight": weights,
        "total_weight": float(weights.sum()),
        "epoch": 0,
    }
    return batch, made.policy.forward_train(batch)  # past the engine, which allows no autograd.grad


def test_the_loss_is_rllibs_own_ppo_loss(folder):
    made = moved_learner(folder, kl_beta=0.0)
    batch, out = loss_inputs(made, folder)
    config = made.config.get_config_for_module(DEFAULT_MODULE_ID)
    ours = made.compute_loss_for_module(module_id=DEFAULT_MODULE_ID, config=config, batch=batch, fwd_out=out)
    family = made.policy.get_train_action_dist_cls()
    rllibs_batch = batch | {
        Columns.ACTION_LOGP: family.from_logits(batch[Columns.ACTION_DIST_INPUTS]).logp(batch[Columns.ACTIONS]),
        Columns.LOSS_MASK: (batch["row_weight"] > 0)[:, None].expand_as(batch[Postprocessing.ADVANTAGES]),
    }
    rllibs = PPOTorchLearner.compute_loss_for_module(made, module_id=DEFAULT_MODULE_ID, config=config, batch=rllibs_batch, fwd_out=out)
    assert abs(float((ours - rllibs).detach())) <= 1e-6
    parameters = [parameter for parameter in made.policy.enhancer.parameters() if parameter.requires_grad]
    gradients = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in (ours, rllibs)]
    for one, other in zip(*gradients, strict=True):
        if one is not None:
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_the_loss_is_the_one_written_by_hand(folder):
    made = moved_learner(folder, kl_beta=0.05)
    batch, out = loss_inputs(made, folder)
    config = made.config.get_config_for_module(DEFAULT_MODULE_ID)
    ours = made.compute_loss_for_module(module_id=DEFAULT_MODULE_ID, config=config, batch=batch, fwd_out=out)
    mean, sigma = out[Columns.ACTION_DIST_INPUTS].detach().double(), made.policy.explorer.sigma
    total, kept = 0.0, 0
    for row in np.flatnonzero(batch["row_weight"].numpy()).tolist():
        terms = []
        for knot in range(mean.shape[1]):
            action, old = batch[Columns.ACTIONS][row, knot].double(), batch[Columns.ACTION_DIST_INPUTS][row, knot].double()
            noise, delta = (action - old) / sigma, (mean[row, knot] - old) / sigma
            ratio = math.exp(float((noise * delta - delta**2 / 2).sum()))
            advantage = float(batch[Postprocessing.ADVANTAGES][row, knot])
            kl = float(((mean[row, knot] - batch["reference_mean"][row, knot].double()) ** 2).sum()) / (2 * sigma**2)
            terms.append(-min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage) + 0.05 * kl)
        total, kept = total + sum(terms) / len(terms), kept + 1
    assert float(ours.detach()) == pytest.approx(total / kept, abs=1e-6)


def test_a_step_is_the_one_plain_torch_would_take(folder):
    """ZeRO 0 and 2 against AdamW on the same network, two epochs over two steps."""
    weights = {}
    for stage in (0, 2):
        made = learner(folder, zero_stage=stage, kl_beta=0.01)
        for step in range(2):
            made.update_rows(stream_rows(folder, step))
        weights[stage] = made.weights()
    plain = plain_torch(folder, steps=2, epochs=2, kl_beta=0.01)
    for name, value in plain.items():
        np.testing.assert_allclose(weights[0][name], value, atol=3e-6, err_msg=name)
        np.testing.assert_allclose(weights[2][name], value, atol=3e-6, err_msg=name)


def plain_torch(folder, *, steps, epochs, kl_beta):
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION)
    optimizer = torch.optim.AdamW(policy.enhancer.parameters(), lr=LR, weight_decay=0.0)
    for step in range(steps):
        rows = stream_rows(folder, step)
        advantages = torch.tensor(compute_advantages(rows["parts"], rows["scene_id"].tolist(), [1.0], AdvantageConfig()).values)[:, None]
        action, old = torch.tensor(rows["action"]), torch.tensor(rows["action_mean"])
        for _ in range(epochs):
            logits = policy.enhancer.mask_logits(torch.tensor(rows["mix"]), torch.tensor(rows["frames"]))
            mean = policy.explorer.mean(logits)
            ratio = torch.exp(policy.explorer.log_prob(action, mean) - policy.explorer.log_prob(action, old))
            surrogate = torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
            loss = -surrogate.mean() + kl_beta * policy.explorer.kl(mean, old).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.enhancer.parameters(), 1.0)
            optimizer.step()
    return {name: value.detach().numpy() for name, value in policy.enhancer.named_parameters()}


def test_an_update_makes_good_actions_likelier_and_reports_every_row(folder):
    made = learner(folder, epochs=4)
    rows = stream_rows(folder, 0)
    report = made.update_rows(rows)
    assert report.version == made.version == 1
    assert [row.rollout_id for row in report.rows] == rows["rollout_id"].tolist()
    assert all(row.state == "trained" and row.reason == "" for row in report.rows)
    assert report.metrics["first_mean_abs_log_ratio"] == pytest.approx(0.0, abs=1e-5)
    assert report.metrics["later_mean_abs_log_ratio"] > 1e-4
    policy = EnhancementPolicy.from_enhancer(folder, EXPLORATION)
    policy.enhancer.load_state_dict({name: torch.from_numpy(value) for name, value in made.weights().items()})
    mean = policy.explorer.mean(policy.enhancer.mask_logits(torch.tensor(rows["mix"]), torch.tensor(rows["frames"])))
    action, old = torch.tensor(rows["action"]), torch.tensor(rows["action_mean"])
    gain = (policy.explorer.log_prob(action, mean) - policy.explorer.log_prob(action, old)).mean(1).detach().numpy()
    assert np.dot(gain, [row.advantage for row in report.rows]) > 0


def test_rows_without_a_verdict_are_as_if_they_had_never_been(folder):
    rows = stream_rows(folder, 0)
    broken = {name: column.copy() for name, column in rows.items()}
    broken["parts"][[2, 3]] = np.nan
    broken["mix"][[2, 3]] = np.nan  # a scene that could not be loaded may hold anything
    made, without = learner(folder), learner(folder)
    report = made.update_rows(broken)
    without.update_rows(chosen(rows, [0, 1, 4, 5, 6, 7]))
    for name, value in without.weights().items():
        np.testing.assert_allclose(made.weights()[name], value, atol=1e-7)
    assert [row.state for row in report.rows] == ["trained"] * 2 + ["dropped"] * 2 + ["trained"] * 4
    assert report.rows[2].reason == "failed_verdict"
    assert math.isnan(report.rows[2].reward)
    assert report.metrics["dropped_failed_verdict"] == 2


def test_a_scene_with_one_valid_sample_is_left_out_whole_and_the_batch_is_the_smaller_for_it(folder):
    rows = stream_rows(folder, 0)
    lone = {name: column.copy() for name, column in rows.items()}
    lone["parts"][2] = np.nan
    made, without = learner(folder), learner(folder)
    report = made.update_rows(lone)
    other = without.update_rows(chosen(rows, [0, 1, 4, 5, 6, 7]))
    assert [row.reason for row in report.rows] == ["", "", "failed_verdict", "lone_sample", "", "", "", ""]
    assert report.metrics["rows_kept"] == other.metrics["rows_kept"] == 6
    assert report.metrics["policy_loss"] == pytest.approx(other.metrics["policy_loss"], abs=1e-7)  # a mean over those that are left
    for name, value in without.weights().items():
        np.testing.assert_allclose(made.weights()[name], value, atol=1e-7)


def test_a_step_without_any_verdict_changes_nothing_but_the_version(folder):
    made = learner(folder)
    before = made.weights()
    rows = stream_rows(folder, 0)
    rows["parts"][:] = np.nan
    report = made.update_rows(rows)
    assert report.version == 1
    assert report.metrics["rows_kept"] == 0
    assert all(np.array_equal(before[name], value) for name, value in made.weights().items())
    made.update_rows(stream_rows(folder, 1))


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_resumed_learner_goes_on_to_the_bit(folder, tmp_path, stage):
    first = learner(folder, zero_stage=stage, minibatch_scenes=2)
    first.update_rows(stream_rows(folder, 0))
    first.save(tmp_path / "engine")
    first.update_rows(stream_rows(folder, 1))
    second = learner(folder, zero_stage=stage, minibatch_scenes=2)
    second.load(tmp_path / "engine")
    assert second.version == 1
    second.update_rows(stream_rows(folder, 1))
    again = second.weights()
    assert all(np.array_equal(value, again[name]) for name, value in first.weights().items())


def test_weights_fit_the_enhancer_they_came_from(folder):
    made = learner(folder, advantages=AdvantageConfig(baseline="critic"))
    enhancer = load_enhancer(folder)
    assert {name: value.shape for name, value in made.weights().items()} == {
        name: tuple(value.shape) for name, value in enhancer.state_dict().items()
    }


@pytest.mark.parametrize(
    "values",
    [
        {"algorithm": "grpo"},
        {"advantages": AdvantageConfig(baseline="reference")},
        {"advantages": AdvantageConfig(baseline="critic")},
        {"anchor_gamma": 0.5},
        {"minibatch_scenes": 1},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_every_variant_takes_a_step(folder, values):
    made = learner(folder, **values)
    before = made.weights()
    for step in range(2):
        report = made.update_rows(stream_rows(folder, step))
    assert report.metrics["rows_kept"] == 8
    assert any(not np.array_equal(before[name], value) for name, value in made.weights().items())
    assert ("anchor_loss" in report.metrics) == ("anchor_gamma" in values)


def test_the_anchor_holds_to_the_labelled_scenes_alone(folder):
    rows = stream_rows(folder, 0)
    rows["target"] = rows["target"].copy()
    rows["target"][4:] = 0.0  # the last two scenes have no target
    kept = chosen(rows, [0, 1, 2, 3])
    settings = {"anchor_gamma": 1.0, "epochs": 1}
    both, labelled = (learner(folder, **settings).update_rows(some).metrics["anchor_loss"] for some in (rows, kept))
    assert both == pytest.approx(labelled, rel=1e-5)
    apart = learner(folder, **settings, minibatch_scenes=1, lr=1e-9).update_rows(rows).metrics["anchor_loss"]
    assert apart == pytest.approx(labelled, rel=1e-3)  # minibatches without a labelled row do not thin it
    rows["target"][:] = 0.0
    assert "anchor_loss" not in learner(folder, **settings).update_rows(rows).metrics


def test_spans_move_the_knots_they_blame(folder):
    rows = stream_rows(folder, 0)
    rows["parts"][:] = 3.0  # a tie: only the spans tell the samples apart
    rows["credit"] = np.zeros((8, rows["action"].shape[2]), dtype=np.float32)
    rows["credit"][0, -1] = -1.0
    report = learner(folder).update_rows(rows)
    assert report.metrics["grad_norm"] > 0
    assert report.rows[0].advantage < 0 < report.rows[1].advantage
    assert report.rows[2].advantage == 0


def test_rows_that_cannot_be_used_are_refused_by_name(folder):
    made = learner(folder)
    with pytest.raises(LearningError, match=r"rows of step \[3\] reached the learner at version 0"):
        made.update_rows(stream_rows(folder, 3))
    rows = stream_rows(folder, 0)
    with pytest.raises(LearningError, match="no column 'action_mean'"):
        made.update_rows({name: column for name, column in rows.items() if name != "action_mean"})
    with pytest.raises(LearningError, match="twice"):
        made.update_rows(chosen(rows, [0, 0, 1, 2]))
    ragged = rows | {"mix": [*rows["mix"][:-1], rows["mix"][0][:-5]]}
    with pytest.raises(LearningError, match="'mix' does not stack"):
        made.update_rows(ragged)
    unlabelled = {name: column for name, column in rows.items() if name != "target"}
    with pytest.raises(LearningError, match="clean targets"):
        learner(folder, anchor_gamma=1.0).update_rows(unlabelled)


def test_a_checkpoint_that_does_not_fit_is_refused(folder, tmp_path):
    made = learner(folder, zero_stage=2)
    made.save(tmp_path / "engine")
    with pytest.raises(CheckpointError, match="ZeRO stage 2"):
        learner(folder).load(tmp_path / "engine")
    with pytest.raises(CheckpointError, match="incomplete"):
        made.load(tmp_path / "nothing")


def test_rollouts_in_the_learners_precision_have_ratios_of_one(folder):
    """At staleness 0 the first epoch must see exactly the policy that made the rows; fp32 rollouts of a bf16 learner do not give that."""
    apart = {
        precision: learner(folder, precision="bf16", epochs=1).update_rows(stream_rows(folder, 0, precision=precision)).metrics
        for precision in ("bf16", "fp32")
    }
    assert apart["bf16"]["first_max_abs_log_ratio"] < 1e-4
    assert apart["fp32"]["first_max_abs_log_ratio"] > 10 * max(apart["bf16"]["first_max_abs_log_ratio"], 1e-5)
