"""Every verb tells what it does, resolves its configuration without running, and fails in one clear line."""

import importlib
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from auricle.config import build
from pipelines import cli
from pipelines.settings import Settings

# How each command is called, with what it cannot do without. A verb that is not named here needs nothing.
OPERANDS = {
    "corpus": [["corpus", "synth", "corpus/x"], ["corpus", "mix", "corpus/x", "--videos", "faces", "--noise", "noises"]],
    "evaluate": [["evaluate", "--scenes", "corpus/x"]],
    "judge": [["judge", "clip.wav"]],
    "enhance": [["enhance", "clip.wav", "-o", "clean.wav"]],
    "ledger": [["ledger", "runs/x"]],
    "report": [["report", "runs/x"]],
    "compare": [["compare", "runs/x", "runs/y"]],
}
BUILT = [verb for verb in cli.VERBS if importlib.util.find_spec(f"pipelines.{verb}")]
COMMANDS = [command for verb in BUILT for command in OPERANDS.get(verb, [[verb]])]


def name(command: list[str]) -> str:
    """`corpus synth`, `finetune`: what the help calls it."""
    return " ".join(command[:2] if command[0] == "corpus" else command[:1])


def test_every_verb_exists() -> None:
    assert set(BUILT) == set(cli.VERBS)


@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_help_shows_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*name(command).split(), "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith(f"usage: auricle {name(command)}")
    assert f"  auricle {name(command)} " in text.split("examples:")[1]


@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_dry_run_prints_a_configuration_that_reads_back(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--dry-run", "--set", "run.seed=5"]) == 0
    resolved = build(Settings, tomllib.loads(capsys.readouterr().out), source="dry run")
    assert resolved.run.seed == 5


@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_misspelt_key_is_one_line_with_the_cure(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--dry-run", "--set", "run.sed=5"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean 'seed'?" in error


def test_dry_run_checks_the_judges_options(capsys: pytest.CaptureFixture[str]) -> None:
    judges = 'panel.judges=[{name="gsrm", options={sampels=4}}]'
    assert cli.main(["finetune", "--dry-run", "--set", judges]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "judge 'gsrm'" in error
    assert "did you mean 'samples'?" in error
    # Verbs that ask no panel have nothing to say of it.
    assert cli.main(["calibrate", "--dry-run", "--set", judges]) == 0


def test_usage_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb}" in text for verb in cli.VERBS)


def test_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fintune"]) == 2
    assert "no verb 'fintune'; did you mean 'finetune'?" in capsys.readouterr().err


def test_dry_run_of_a_resumed_run_prints_its_own_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text('[run]\nname = "mine"\n')
    assert cli.main(["finetune", "--resume", str(tmp_path), "--dry-run", "--set", "finetune.steps=7"]) == 0
    resolved = build(Settings, tomllib.loads(capsys.readouterr().out), source="dry run")
    assert (resolved.run.name, resolved.finetune.steps) == ("mine", 7)
    assert cli.main(["finetune", "--resume", str(tmp_path / "none"), "--dry-run"]) == 1
    assert "config.toml" in capsys.readouterr().err


def test_help_needs_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys, pipelines.cli as c; c.main(['--help']); print([m for m in ('torch', 'ray', 'vllm', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.strip().endswith("[]")
