"""Tokens: which are taken, who may read them, and that they are shown nowhere."""

import pickle
from pathlib import Path

import pytest

from auricle.bearer import TOKEN_VARIABLE, Bearer, read_bearer
from auricle.errors import ConfigError

TOKEN = "0123456789abcdef" * 2


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"Bearer {TOKEN}".encode()])
def test_the_token_is_let_in(header: str | bytes) -> None:
    assert Bearer(TOKEN, source="test").allows(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"bearer {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN} ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}0",
        "Bearer \udcff",
        b"\xff" * 40,
    ],
)
def test_anything_else_is_not(header: str | bytes | None) -> None:
    assert not Bearer(TOKEN, source="test").allows(header)


@pytest.mark.parametrize("token", ["", "short", "x" * 31, "x" * 20 + " " + "x" * 20, "ü" * 40, "x" * 40 + "\n"])
def test_a_weak_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigError, match="32 printable") as caught:
        Bearer(token, source="FILE")
    assert not token or token not in str(caught.value)


def test_it_is_shown_nowhere() -> None:
    bearer = Bearer(TOKEN, source="test")
    assert TOKEN not in repr(bearer) + str(vars(bearer))
    with pytest.raises(TypeError, match="not sent"):
        pickle.dumps(bearer)


def test_it_is_read_from_a_file_that_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_bearer(path)
    path.chmod(0o600)
    assert read_bearer(path).allows(f"Bearer {TOKEN}")
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN[::-1])
    assert read_bearer(path).allows(f"Bearer {TOKEN[::-1]}")


def test_a_server_without_a_token_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    for path in (None, tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match="openssl rand"):
            read_bearer(path)
