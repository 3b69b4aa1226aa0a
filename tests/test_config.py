"""Strict configuration: files, overrides, and errors that name the key and the cure."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from auricle.config import Config, build, build_known, merge, parse_assignments, read_toml, to_toml
from auricle.errors import ConfigError


class Inner(Config):
    rate_hz: int = 16000
    name: str = "a"
    weights: dict[str, float] = Field(default_factory=dict)
    sizes: tuple[int, ...] = (1, 2)


class Outer(Config):
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    seed: int = 0
    limit_s: float | None = None


def test_unknown_key_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"tiny\.toml: unknown key 'inner\.rate_h'; did you mean 'rate_hz'\?"):
        build(Outer, {"inner": {"rate_h": 1}}, source="tiny.toml")


def test_unknown_key_without_neighbour_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="known keys: inner, limit_s, many, seed"):
        build(Outer, {"zzzz": 1}, source="x")


def test_unknown_key_in_a_list_of_sections_is_found_too() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'many\.1\.nam'; did you mean 'name'\?"):
        build(Outer, {"many": [{}, {"nam": "x"}]}, source="x")


def test_wrong_value_names_key_and_value() -> None:
    with pytest.raises(ConfigError, match=r"inner\.rate_hz = 'fast'"):
        build(Outer, {"inner": {"rate_hz": "fast"}}, source="x")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Outer, {"inner": {"rate_h": 1}, "seed": "x"}, source="x")
    assert "rate_h" in str(caught.value)
    assert "seed" in str(caught.value)


def test_configuration_is_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        Outer().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=3", {"a": {"b": 3}}),
        ("a.b=[1, 2]", {"a": {"b": [1, 2]}}),
        ("a=true", {"a": True}),
        ("a='text'", {"a": "text"}),
        ("a=plain text", {"a": "plain text"}),
        ("a=x=y", {"a": "x=y"}),
    ],
)
def test_assignments_are_toml_or_else_plain_text(text: str, expected: dict[str, Any]) -> None:
    assert parse_assignments([text]) == expected


def test_later_assignments_win_and_neighbours_stay() -> None:
    assert parse_assignments(["a.b=1", "a.c=2", "a.b=3"]) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize("text", ["seed", "=3", " =3"])
def test_assignment_without_name_or_value_shows_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="expected name=value, for example"):
        parse_assignments([text])


def test_merge_changes_neither_side() -> None:
    base, over = {"a": {"b": 1}}, {"a": {"c": 2}}
    assert merge(base, over) == {"a": {"b": 1, "c": 2}}
    assert (base, over) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_broken_toml_names_the_file_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("a = 1\nb = = 2\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: not valid TOML: .*line 2"):
        read_toml(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: no such configuration file"):
        read_toml(tmp_path / "none.toml")


@given(
    seed=st.integers(min_value=-(2**62), max_value=2**62),
    limit_s=st.none() | st.floats(allow_nan=False),
    name=st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    weights=st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False), max_size=4),
    sizes=st.lists(st.integers(-9, 9), max_size=4).map(tuple),
)
def test_written_configuration_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, seed: int, limit_s: float | None, name: str, weights: dict[str, float], sizes: tuple[int, ...]
) -> None:
    inner = Inner(name=name, weights=weights, sizes=sizes)
    config = Outer(seed=seed, limit_s=limit_s, inner=inner, many=(Inner(), inner)[: abs(seed) % 3])
    path = tmp_path_factory.getbasetemp() / "round-trip.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert build(Outer, read_toml(path), source="x") == config


def test_lists_of_sections_are_written_one_below_the_other() -> None:
    text = to_toml(Outer(many=(Inner(name="x"), Inner(name="y", weights={"score": 1.0}))))
    assert text.count("[[many]]") == 2
    assert "[many.weights]\nscore = 1.0" in text


def test_what_an_older_version_wrote_is_read_without_the_keys_that_are_gone() -> None:
    values = {"seed": 3, "gone": 1, "inner": {"rate_hz": "fast", "name": "b"}, "many": [{"name": "x", "old": 2}]}
    found, lines = build_known(Outer, values, source="run")
    assert found == Outer(seed=3, inner=Inner(name="b"), many=(Inner(name="x"),))
    said = " | ".join(lines)
    assert len(lines) == 3
    assert all(key in said for key in ("inner.rate_hz = 'fast'", "unknown key 'gone'", "unknown key 'many.0.old'"))
    assert values["inner"] == {"rate_hz": "fast", "name": "b"}
