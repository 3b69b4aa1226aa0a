"""The shipped checkpoints are small, have a card, and `make assets` runs the card's own commands."""

from pathlib import Path

import pytest

from pipelines import assets

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
        "$ auricle calibrate --noise 'my noises'",
        "$ cp runs/listener/listener/* auricle/assets/listener/",
    ]


def test_an_unknown_asset_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        assets.main(["lisener"])
    assert "choose of enhancer, listener, sentiment" in capsys.readouterr().err
