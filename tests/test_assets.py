"""The shipped checkpoints are small, have a card, and `make assets` runs the card's own commands."""

import shlex
from pathlib import Path

import pytest

from pipelines import assets, cli

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = [name for name in assets.RECIPES if (ROOT / assets.ASSETS / name).is_dir()]


def test_every_asset_is_shipped_and_together_they_are_small() -> None:
    assert set(SHIPPED) == set(assets.RECIPES)
    size = sum(path.stat().st_size for path in (ROOT / assets.ASSETS).rglob("*") if path.is_file())
    assert size < 10e6


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_gives_the_commands_that_make_it(name: str) -> None:
    card = (ROOT / assets.ASSETS / name / assets.CARD).read_text(encoding="utf-8")
    assert [command for command in assets.RECIPES[name].commands if command not in card] == []


def test_dry_run_shows_the_commands_and_makes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert assets.main(["listener", "--noise", "my noises", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"$ {assets.SCENES}",  # the enhancer's scenes, where that was not made before
        "$ auricle calibrate --set calibrate.cache=build/listener-data --set calibrate.enhanced.scenes=corpus/enhancer-A "
        "--noise 'my noises'",
        "$ cp runs/listener/listener/* auricle/assets/listener/",
    ]


def test_what_several_assets_need_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert assets.main(["--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines.count(f"$ {assets.SCENES}") == 1
    assert lines[0] == f"$ {assets.SCENES}"


def test_an_unknown_asset_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        assets.main(["lisener"])
    assert "choose of enhancer, listener, sentiment" in capsys.readouterr().err


def test_what_was_begun_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "enhancer").mkdir(parents=True)
    (tmp_path / "runs" / "enhancer" / "config.toml").touch()
    assert assets.main(["enhancer", "--dry-run"]) == 0
    synth, pretrain, _ = capsys.readouterr().out.splitlines()
    assert "--resume" not in synth
    assert pretrain.endswith("--resume runs/enhancer")


def test_labels_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert assets.main(["sentiment"]) == 1
    assert "make the listener first" in capsys.readouterr().err


@pytest.mark.parametrize("name", SHIPPED)
def test_every_command_of_a_recipe_is_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The verbs take the words as they stand in the recipe; nothing is made."""
    for command in assets.RECIPES[name].commands:
        words = shlex.split(command)
        if words[0] == "auricle":
            assert cli.main([*words[1:], "--dry-run"]) == 0
            assert "[pretrain]" in capsys.readouterr().out
