"""Typed, strict configuration: TOML presets with `--set a.b=value` on top.

Components declare what they need as frozen `Config` models beside their code; `pipelines/settings.py` composes them into one tree.
"""

import copy
import difflib
import json
import tomllib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from auricle.errors import ConfigError


class Config(BaseModel):
    """Base of all configuration models: frozen, unknown keys are errors, defaults are validated too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)


C = TypeVar("C", bound=Config)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file as nested dictionaries. Raises ConfigError naming file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: no configuration file that can be read ({error.strerror})") from error


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on top, table by table. Neither is changed."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`["a.b=3", "c=x"]` as nested dictionaries; the value is read as TOML, and as a plain string where it is none."""
    result: dict[str, Any] = {}
    for text in assignments:
        name, separator, raw = text.partition("=")
        if not separator or not name.strip():
            raise ConfigError(f"--set {text!r}: expected name=value, for example --set run.seed=3")
        try:
            value = tomllib.loads(f"value = {raw}")["value"]
        except tomllib.TOMLDecodeError:
            value = raw
        except RecursionError:
            raise ConfigError(f"--set {text[:80]!r}...: nested too deeply") from None
        nested: Any = value
        for part in reversed(name.strip().split(".")):
            nested = {part: nested}
        result = merge(result, nested)
    return result


def build(model: type[C], values: Mapping[str, Any], *, source: str) -> C:
    """`values` as a validated `model`. Raises ConfigError with one line per fault and the nearest known key."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(model, fault) for fault in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(lines)) from error


def build_known(model: type[C], values: Mapping[str, Any], *, source: str) -> tuple[C, list[str]]:
    """As `build`, but for reading what an older version wrote: keys that are unknown or not valid any more are left out.

    Returns the model, and a line for each key left out. Raises ConfigError where that does not help.
    """
    left = copy.deepcopy(dict(values))
    lines: list[str] = []
    while True:
        try:
            return model.model_validate(left), lines
        except ValidationError as error:
            faults = error.errors()
            if not all(_remove(left, fault["loc"]) for fault in faults):
                raise ConfigError(f"{source}: " + "; ".join(_explain(model, fault) for fault in faults)) from error
            lines += [_explain(model, fault) for fault in faults]


def to_toml(config: Config) -> str:
    """`config` as TOML text that `read_toml` and `build` read back to an equal object. None values are left out."""
    lines: list[str] = []
    _write_table(lines, (), config.model_dump(mode="json", exclude_none=True))
    return "\n".join(lines).strip() + "\n"


def _remove(values: Any, location: tuple[Any, ...]) -> bool:
    """Take what stands at `location` out of nested mappings and lists; False where nothing stands there."""
    for place, part in enumerate(location):
        found = part in values if isinstance(values, dict) else isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not found:
            return False
        if place == len(location) - 1:
            del values[part]
            return True
        values = values[part]
    return False


def _explain(model: type[Config], fault: Any) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _fields_at(model, fault["loc"][:-1])
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        cure = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key {name!r}; {cure}"
    return f"{name or 'configuration'} = {fault['input']!r}: {fault['msg']}"


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the section at `location`; sections within lists, mappings and optional ones are looked into."""
    for part in location:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = fields[part].annotation
        model = next((kind for kind in (model, *typing.get_args(model)) if hasattr(kind, "model_fields")), model)
    return list(getattr(model, "model_fields", {}))


def _write_table(lines: list[str], path: tuple[str, ...], table: Mapping[str, Any], *, in_array: bool = False) -> None:
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping) and not _is_array_of_tables(v)}
    if path and (plain or not table or in_array):
        name = ".".join(_key(part) for part in path)
        lines += ["", f"[[{name}]]" if in_array else f"[{name}]"]
    lines += [f"{_key(k)} = {_value(v)}" for k, v in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            _write_table(lines, (*path, key), value)
        elif _is_array_of_tables(value):
            for item in value:
                _write_table(lines, (*path, key), item, in_array=True)


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # the one character that JSON leaves bare and TOML forbids


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    return repr(value)
