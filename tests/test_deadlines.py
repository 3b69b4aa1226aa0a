"""Deadlines that contradict one another are found before anything starts, and the error names the keys."""

import pytest

from auricle.errors import ConfigError
from pipelines.command import load_settings, preset_names
from pipelines.deadlines import check_deadlines
from pipelines.exact import exact_settings
from pipelines.finetune import main


@pytest.mark.parametrize("preset", preset_names())
def test_presets_and_defaults_fire_from_the_inside_out(preset):
    check_deadlines(load_settings(preset))


@pytest.mark.parametrize("preset", preset_names())
def test_an_exact_run_has_longer_deadlines_in_the_same_order(preset):
    settings = load_settings(preset, ["staleness.exact_staleness=true"])
    exact = exact_settings(settings)
    check_deadlines(exact)
    assert exact.panel.longest_s > settings.panel.longest_s
    assert all(judge.alone for judge in exact.panel.judges)
    assert exact_settings(load_settings(preset)) == load_settings(preset)


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("reward.timeout_s=120", "reward.timeout_s = 120 must be larger than the longest of panel.judges"),
        ("finetune.step_timeout_s=140", "finetune.step_timeout_s = 140 must be larger than reward.timeout_s = 150"),
        ("guard.timeout_s=300", r"guard.timeout_s = 300 must be larger than reward.timeout_s x 2 blocks"),
        ("rollout.gate_timeout_s=200", "rollout.gate_timeout_s = 200 must be larger than finetune.step_timeout_s = 300"),
        ("learner_pool.call_timeout_s=300", "learner_pool.call_timeout_s = 300 must be larger"),
        ("reason.step_timeout_s=1000", "reason.answers.gate_timeout_s = 900 must be larger than reason.step_timeout_s = 1000"),
        ("reward.clients=16", "panel.max_ongoing_requests = 64 must be larger than reward.clients x reward.blocks_in_flight = 64"),
    ],
)
def test_a_deadline_that_would_fire_too_early_is_named(assignment, says, capsys):
    with pytest.raises(ConfigError, match=says):
        check_deadlines(load_settings("tiny", [assignment]))
    assert main(["--dry-run", "--set", assignment]) == 1
    assert says in capsys.readouterr().err


def test_a_resumed_run_is_not_measured_by_a_preset_that_is_not_its_own(tmp_path, capsys):
    assert main(["--resume", str(tmp_path), "--set", "reward.timeout_s=400"]) == 1  # too long for `tiny`
    assert "no run there" in capsys.readouterr().err
