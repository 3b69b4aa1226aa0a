"""The presets that come with Auricle load strictly, and every section of theirs is one that the settings know."""

import pytest

from auricle.config import build, to_toml
from auricle.errors import ConfigError
from auricle.judging.registry import check_options
from pipelines.command import load_settings, preset_names
from pipelines.settings import Settings


def test_both_presets_are_there() -> None:
    assert {"tiny", "avsec4"} <= set(preset_names())


@pytest.mark.parametrize("preset", preset_names())
def test_preset_loads_strictly(preset: str) -> None:
    assert isinstance(load_settings(preset), Settings)


@pytest.mark.parametrize("preset", preset_names())
def test_resolved_preset_reads_back_equal(preset: str, tmp_path) -> None:
    settings = load_settings(preset)
    path = tmp_path / "resolved.toml"
    path.write_text(to_toml(settings), encoding="utf-8")
    assert load_settings(str(path)) == settings


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no such preset; choose one of avsec4, tiny"):
        load_settings("huge")


def test_assignments_lie_on_top() -> None:
    assert load_settings("tiny", ["run.seed=7"]).run.seed == 7


def test_misspelt_assignment_names_the_nearest_key() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'run\.sed'; did you mean 'seed'\?"):
        load_settings("tiny", ["run.sed=7"])


def test_defaults_alone_are_valid() -> None:
    assert build(Settings, {}, source="defaults") == Settings()


@pytest.mark.parametrize("preset", preset_names())
def test_every_judge_of_a_preset_accepts_its_options(preset: str) -> None:
    for judge in load_settings(preset).panel.judges:
        check_options(judge.kind_or_name, judge.options, source=judge.name)
