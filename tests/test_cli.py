"""Every verb tells what it does, resolves its configuration without running, and fails in one clear line."""

import importlib
import importlib.util
import subprocess
import sys
import tomllib

import pytest

from auricle.config import build
from pipelines import cli
from pipelines.settings import Settings

# What a verb cannot do without, beside its options.
OPERANDS = {
    "corpus": ["synth", "corpus/x"],
    "judge": ["clip.wav"],
    "enhance": ["clip.wav", "-o", "clean.wav"],
    "ledger": ["runs/x"],
    "compare": ["runs/x", "runs/y"],
    "evaluate": ["runs/x"],
}
BUILT = [verb for verb in cli.VERBS if importlib.util.find_spec(f"pipelines.{verb}")]


def verb_main(verb: str):
    return importlib.import_module(f"pipelines.{verb}").main


def test_every_verb_exists() -> None:
    assert set(BUILT) == set(cli.VERBS)


@pytest.mark.parametrize("verb", BUILT)
def test_help_shows_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        verb_main(verb)(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith(f"usage: auricle {verb}")
    assert f"  auricle {verb} " in text.split("examples:")[1]


@pytest.mark.parametrize("verb", BUILT)
def test_dry_run_prints_a_configuration_that_reads_back(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb_main(verb)([*OPERANDS.get(verb, []), "--dry-run", "--set", "run.seed=5"]) == 0
    resolved = build(Settings, tomllib.loads(capsys.readouterr().out), source="dry run")
    assert resolved.run.seed == 5


@pytest.mark.parametrize("verb", BUILT)
def test_misspelt_key_is_one_line_with_the_cure(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb_main(verb)([*OPERANDS.get(verb, []), "--dry-run", "--set", "run.sed=5"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "did you mean 'seed'?" in error


def test_usage_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb}" in text for verb in cli.VERBS)


def test_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fintune"]) == 2
    assert "no verb 'fintune'" in capsys.readouterr().err


def test_help_needs_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys, pipelines.cli as c; c.main(['--help']); print([m for m in ('torch', 'ray', 'vllm', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.strip().endswith("[]")
