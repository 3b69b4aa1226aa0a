"""What the README shows works, and what it names is there."""

import re
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest

from auricle.config import build
from auricle.judging.judge import JudgeClip, judge_safely
from auricle.judging.panel import PanelConfig
from auricle.judging.registry import build_judge, check_options
from auricle.judging.verdict import Failed, Scored
from pipelines.cli import VERBS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def my_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's judge as the module that its configuration names."""
    package, module = types.ModuleType("my_package"), types.ModuleType("my_package.judges")
    exec(block("python"), module.__dict__)
    monkeypatch.setitem(sys.modules, "my_package", package)
    monkeypatch.setitem(sys.modules, "my_package.judges", module)


@pytest.mark.usefixtures("my_judges")
def test_your_own_judge_judges() -> None:
    (config,) = build(PanelConfig, tomllib.loads(block("toml"))["panel"], source="README.md").judges
    check_options(config.kind_or_name, config.options)
    judge = build_judge(config.kind_or_name, config.options)
    tone = np.sin(np.arange(16000)).astype(np.float32)
    silent, scored = judge_safely(judge, [JudgeClip("a", 0 * tone, 16000), JudgeClip("b", tone, 16000)])
    assert silent == Failed("silent")
    assert isinstance(scored, Scored)
    assert scored.score == pytest.approx(2**0.5, rel=1e-2)


def test_the_table_of_verbs_is_the_command_line() -> None:
    rows = re.findall(r"^\| (`.+`) \| ", README, re.MULTILINE)
    assert {name.split()[0] for row in rows for name in re.findall(r"`([^`]+)`", row)} == set(VERBS)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/clusters.md", "docs/security.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    missing = [link for link in re.findall(r"\]\((?!http)([^)#]+)", text) if not ((ROOT / page).parent / link).exists()]
    assert not missing
