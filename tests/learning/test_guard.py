"""The guard: what counts as fallen, when a run stops, which checkpoint is the best."""

import numpy as np
import pytest

from auricle.learning.budget import FailureBudget, FailureBudgetConfig
from auricle.learning.guard import (
    GuardConfig,
    GuardMonitor,
    Measurement,
    emptiness,
    guarding,
    paired_change,
    scenes_needed,
    weaknesses,
)

SCENES = 20


def measurement(step, panel, pesq, *, noise=0.01):
    rng = np.random.default_rng(step)
    jitter = rng.normal(0, noise, SCENES)
    base = np.linspace(1, 2, SCENES)
    return Measurement(step, {"panel": (base + panel).tolist(), "pesq": (base + pesq + jitter).tolist()})


def monitor(**options):
    return GuardMonitor(GuardConfig(tolerance={"pesq": 0.05}, patience=2, **options))


def test_a_run_goes_on_while_the_guards_stand():
    watch = monitor()
    judgements = [watch.add(measurement(step, 0.1 * step, 0.02 * step)) for step in range(4)]
    assert not any(judgement.sentence for judgement in judgements)
    assert [judgement.is_best for judgement in judgements] == [True] * 4


def test_a_rising_panel_over_a_falling_guard_stops_the_run_after_its_patience():
    watch = monitor()
    watch.add(measurement(0, 0.0, 0.0))
    first = watch.add(measurement(1, 0.2, -0.2))
    second = watch.add(measurement(2, 0.3, -0.3))
    assert (first.fallen, first.is_best, first.sentence) == (("pesq",), False, "")
    assert second.change["pesq"] == pytest.approx(-0.3, abs=0.01)
    assert "while pesq fell by" in second.sentence
    assert "panel's score rose by 0.300" in second.sentence


def test_a_guard_that_recovers_costs_nothing():
    watch = monitor()
    for step, pesq in enumerate([0.0, -0.2, 0.0, -0.2]):
        assert not watch.add(measurement(step, 0.1 * step, pesq)).sentence


def test_both_falling_is_no_hacking():
    watch = monitor()
    watch.add(measurement(0, 0.0, 0.0))
    assert not any(watch.add(measurement(step, -0.2, -0.3)).sentence for step in range(1, 5))


def test_a_fall_within_its_error_is_not_a_fall():
    watch = monitor()
    watch.add(measurement(0, 0.0, 0.0))
    assert watch.add(measurement(1, 0.1, -0.1, noise=1.0)).fallen == ()


def test_failed_scores_are_left_out_of_the_change():
    mean, error = paired_change([1.0, 2.0, float("nan"), 4.0], [2.0, 3.0, 9.0, float("nan")])
    assert (mean, error) == (1.0, 0.0)
    assert np.isnan(paired_change([float("nan")], [1.0])[0])
    assert Measurement(0, {"pesq": [1.0, float("nan")], "stoi": [float("nan")] * 2}).means() == {"pesq": 1.0}


@pytest.mark.parametrize(
    ("counts", "spent"),
    [([(0, 100)] * 3, False), ([(25, 100)] * 3, True), ([(25, 100)], False), ([(90, 100), (0, 100), (0, 100)], False)],
)
def test_the_failure_budget_looks_at_the_latest_rollouts(counts, spent):
    sentence = FailureBudget(FailureBudgetConfig(share=0.2, window=200), global_batch=50).verdict(counts)
    assert bool(sentence) == spent


def test_without_the_pretrained_policys_measurement_nothing_is_judged():
    with pytest.raises(ValueError, match="of step 0"):
        monitor().add(measurement(20, 0.1, 0.0))


def test_a_fall_that_may_be_noise_stops_nothing_but_is_no_best_checkpoint():
    watch = monitor()
    watch.add(measurement(0, 0.0, 0.0))
    judgement = watch.add(measurement(1, 0.2, -0.1, noise=0.3))
    assert (judgement.fallen, judgement.is_best) == ((), False)


def test_a_metric_that_was_not_known_at_the_start_is_passed_over():
    watch = monitor()
    watch.add(Measurement(0, {"panel": [2.0, 2.1], "pesq": [1.5, 1.6]}))
    judgement = watch.add(Measurement(10, {"panel": [2.2, 2.4], "pesq": [1.5, 1.6], "stoi": [0.7, 0.8]}))
    assert "stoi" not in judgement.change
    assert judgement.is_best


def test_the_failure_budget_grows_with_the_batch():
    budget = FailureBudget(FailureBudgetConfig(share=0.2), global_batch=256)
    one_bad_step = [(0, 256)] * 7 + [(200, 256)]
    assert budget.verdict([(200, 256)]) == ""  # one step is no verdict on a judge
    assert budget.verdict(one_bad_step) == ""
    assert "of the last 2048 rollouts" in budget.verdict([(60, 256)] * 8)


def test_a_run_shorter_than_the_window_is_judged_at_its_end():
    budget = FailureBudget(FailureBudgetConfig(share=0.2), global_batch=16)
    assert budget.verdict([(16, 16)] * 3) == ""
    assert "48 of the last 48 rollouts were dropped" in budget.verdict([(16, 16)] * 3, last=True)
    assert budget.verdict([(1, 16)] * 3, last=True) == ""
    assert budget.verdict([], last=True) == ""


def scores(panel, pesq, scenes=6):
    """Measured values; None: no score on any scene."""
    return {name: [float("nan") if value is None else value] * scenes for name, value in (("panel", panel), ("pesq", pesq))}


@pytest.mark.parametrize(("panel", "pesq", "says"), [(None, 1.5, "the panel gave no score"), (2.0, None, "no guard metric")])
def test_a_start_without_scores_is_no_starting_point(panel, pesq, says):
    with pytest.raises(ValueError, match=says):
        monitor().add(Measurement(0, scores(panel, pesq)))


def test_a_metric_that_fails_later_does_not_stand():
    watch = monitor()
    watch.add(Measurement(0, scores(2.0, 1.5)))
    first, second = (watch.add(Measurement(step, scores(2.0 + step, None))) for step in (1, 2))
    assert (first.unknown, first.is_best, first.sentence) == (("pesq",), False, "")
    assert "pesq gave no scores any more" in second.sentence  # it was not seen to fall, but nobody watches any more
    gone = monitor()
    gone.add(Measurement(0, scores(2.0, 1.5)))
    assert gone.add(Measurement(1, {"panel": [3.0] * 6})).unknown == ("pesq",)


def test_a_metric_that_fails_on_most_scenes_does_not_stand_either():
    watch = monitor()
    watch.add(Measurement(0, scores(2.0, 1.5)))
    nan = float("nan")
    assert watch.add(Measurement(1, {"panel": [3.0] * 6, "pesq": [1.5, 1.5, nan, nan, nan, nan]})).unknown == ("pesq",)
    back = watch.add(Measurement(2, {"panel": [3.0] * 6, "pesq": [1.5, 1.5, 1.5, nan, nan, nan]}))
    assert (back.unknown, back.is_best, back.sentence) == ((), True, "")


def test_without_the_panels_score_no_checkpoint_is_the_best():
    watch = monitor()
    watch.add(Measurement(0, scores(2.0, 1.5)))
    assert not watch.add(Measurement(1, scores(None, 1.6))).is_best


def test_scenes_of_one_speaker_are_no_independent_witnesses():
    speakers = [name for name in "abcdef" for _ in range(4)]
    change = np.repeat([-0.3, -0.25, -0.2, 0.02, 0.05, 0.08], 4)  # three speakers lose, three do not
    before, after = [1.0] * 24, (1.0 + change).tolist()
    by_scene, by_speaker = paired_change(before, after), paired_change(before, after, speakers)
    assert by_scene[0] == pytest.approx(by_speaker[0]) == pytest.approx(-0.1)
    assert by_speaker[1] == pytest.approx(np.std(change[::4], ddof=1) / np.sqrt(6))
    assert by_scene[1] < 0.5 * by_speaker[1]
    assert paired_change(before, after, ["a"] * 24) == by_scene  # one speaker: nothing is known of others
    fallen = []
    for clusters in ((), speakers):
        watch = GuardMonitor(GuardConfig(tolerance={"pesq": 0.02}))
        watch.add(Measurement(0, {"panel": before, "pesq": before}, clusters))
        fallen.append(watch.add(Measurement(1, {"panel": after, "pesq": after}, clusters)).fallen)
    assert fallen == [("pesq",), ()]


def test_a_panel_of_one_lucky_scene_is_no_best_checkpoint():
    watch = monitor()
    watch.add(measurement(0, 0.0, 0.0))
    lucky = measurement(1, 2.0, 0.0)
    lucky.scores["panel"][1:] = [float("nan")] * (SCENES - 1)
    assert not watch.add(lucky).is_best
    assert watch.add(measurement(2, 0.5, 0.0)).is_best


@pytest.mark.parametrize(("scenes", "needed"), [(1, 2), (2, 2), (4, 2), (9, 5), (24, 5), (128, 5)])
def test_how_many_scenes_make_a_guard(scenes, needed):
    assert scenes_needed(scenes) == needed


def some_of(value, known, scenes=24):
    return [value] * known + [float("nan")] * (scenes - known)


TWO = GuardConfig(metrics=("pesq", "stoi"), tolerance={"pesq": 0.05, "stoi": 0.01}, patience=1)


def test_a_metric_of_one_scene_guards_nothing_and_that_is_said():
    start = Measurement(0, {"panel": some_of(2.0, 24), "pesq": some_of(1.5, 24), "stoi": some_of(0.7, 1)})
    assert guarding(start, TWO) == ("pesq",)
    [said] = weaknesses(start, TWO)
    assert "stoi was scored on only 1 of 24 held-out scenes at the start (needed: 5)" in said
    watch = GuardMonitor(TWO)
    watch.add(start)
    fallen = watch.add(Measurement(10, {"panel": some_of(2.5, 24), "pesq": some_of(1.5, 24), "stoi": some_of(0.1, 1)}))
    gone = watch.add(Measurement(20, {"panel": some_of(2.6, 24), "pesq": some_of(1.5, 24)}))
    assert [(one.fallen, one.unknown, one.is_best, one.sentence) for one in (fallen, gone)] == [((), (), True, "")] * 2


def test_a_start_that_no_metric_guards_is_refused_and_one_of_a_lucky_panel_too():
    lucky = Measurement(0, {"panel": some_of(2.0, 24), "pesq": some_of(1.5, 1), "stoi": some_of(0.7, 4)})
    assert "(pesq on 1, stoi on 4; needed: 5)" in emptiness(lucky, TWO)
    with pytest.raises(ValueError, match="to tell a fall by"):
        GuardMonitor(TWO).add(lucky)
    assert emptiness(Measurement(10, lucky.scores), TWO) == ""  # later measurements are held against the start's
    panel = Measurement(0, {"panel": some_of(2.0, 1), "pesq": some_of(1.5, 24)})
    assert "the panel gave a score on only 1 of 24" in emptiness(panel, TWO)


def test_a_guard_that_sees_some_scenes_guards_and_is_said_to_see_no_more():
    start = Measurement(0, {"panel": some_of(2.0, 24), "pesq": some_of(1.5, 24), "stoi": some_of(0.7, 7)})
    assert guarding(start, TWO) == ("pesq", "stoi")
    assert weaknesses(start, TWO) == ["of 24 held-out scenes the start has scores of stoi on 7 only; the others are not guarded by it"]
    whole = Measurement(0, {"panel": some_of(2.0, 24), "pesq": some_of(1.5, 24)})
    assert weaknesses(whole, TWO) == ["stoi gave no score at the start on any held-out scene, so it guards nothing"]
