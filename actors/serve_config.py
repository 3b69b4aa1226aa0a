"""Serve's YAML, read strictly: Serve itself accepts any misspelt key without a word, and any open door.

`python -m actors.serve_config FILE` checks one before it is deployed.
"""

import difflib
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.config import ProxyLocation
from ray.serve.schema import ServeDeploySchema

from actors.ingress import IngressConfig, is_loopback
from auricle.bearer import TOKEN_VARIABLE
from auricle.config import build
from auricle.errors import ConfigError
from auricle.judging.panel import PanelConfig
from auricle.judging.placement import check_judges

PANEL_BUILDER = "actors.panel:build_panel"
INGRESS_BUILDER = "actors.ingress:build_ingress"
MOST_VALUES = 100_000
"""Far above any panel; a few lines of aliases of aliases stand for billions, which would take for ever to check."""


def read_serve_config(path: Path) -> ServeDeploySchema:
    """A Serve config file, where unknown keys, of Serve or of a panel's `args`, are errors. Raises ConfigError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such Serve config") from None
    except OSError as error:
        raise ConfigError(f"{path}: no Serve config that can be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:  # ValueError: a date that is none, such as 2026-99-99
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if _written_out(values, {}) > MOST_VALUES:
        raise ConfigError(f"{path}: its aliases (*name) make more than {MOST_VALUES} values of it; write it without them")
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: expected keys and values, such as `applications:`")
    if faults := _unknown_keys(ServeDeploySchema, values, ""):
        raise ConfigError(f"{path}: " + "; ".join(faults))
    try:
        schema = ServeDeploySchema.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    if schema.grpc_options.grpc_servicer_functions:
        raise ConfigError(f"{path}: grpc_options.grpc_servicer_functions opens a port on all interfaces without a token; leave it out")
    for application in schema.applications:
        panel_of(application, source=str(path))
        if TOKEN_VARIABLE in (application.runtime_env or {}).get("env_vars", {}):
            raise ConfigError(
                f"{path}: application {application.name!r}: runtime_env.env_vars holds {TOKEN_VARIABLE}, which Ray shows to whoever looks; "
                "set it where Ray is started, or name a file in token_path"
            )
        _check_door(schema, application, source=str(path))
    return schema


def panel_of(application: Any, *, source: str) -> PanelConfig | None:
    """The panel of an application, with its judges' options checked; None where it is another kind of application."""
    where = f"{source}: application {application.name!r}, args"
    if application.import_path == PANEL_BUILDER:
        panel = build(PanelConfig, application.args, source=where)
    elif application.import_path == INGRESS_BUILDER:
        panel = build(IngressConfig, application.args, source=where).panel
    else:
        return None
    check_judges(panel, source=where)
    return panel


def _check_door(schema: ServeDeploySchema, application: Any, *, source: str) -> None:
    """Raises ConfigError where an application would answer the network without a token, or a request could take for ever."""
    if application.route_prefix is None or schema.proxy_location == ProxyLocation.Disabled:
        return
    where = f"{source}: application {application.name!r}"
    if application.import_path == PANEL_BUILDER:
        raise ConfigError(f"{where}: a panel has no HTTP form; set route_prefix: null, or import_path: {INGRESS_BUILDER}")
    host, ingress = schema.http_options.host, application.import_path == INGRESS_BUILDER
    if not is_loopback(host) and not (ingress and build(IngressConfig, application.args, source=where).bearer):
        raise ConfigError(
            f"{where}: would answer the whole network (http_options.host = {host!r}) without a token; set host: 127.0.0.1, or for "
            f"{INGRESS_BUILDER} bearer: true"
        )
    if schema.http_options.request_timeout_s is None:
        raise ConfigError(f"{where}: http_options.request_timeout_s is not set, so a request may take for ever; set it, such as 400")


def _written_out(value: Any, known: dict[int, float]) -> float:
    """How many values it were without aliases; infinite where one holds itself."""
    if not isinstance(value, Mapping | list):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")  # while it is being counted
        known[id(value)] = 1 + sum(_written_out(inner, known) for inner in (value.values() if isinstance(value, Mapping) else value))
    return known[id(value)]


def _unknown_keys(model: type[BaseModel], values: Mapping[str, Any], where: str) -> list[str]:
    faults = []
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None:
            near = difflib.get_close_matches(key, model.model_fields, n=1)
            faults.append(f"unknown key {where + key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
            continue
        inner = _model_in(field.annotation)
        items = value if isinstance(value, list) else [value]
        for index, item in enumerate(items):
            if inner is not None and isinstance(item, Mapping):
                place = f"{where}{key}[{index}]." if isinstance(value, list) else f"{where}{key}."
                faults += _unknown_keys(inner, item, place)
    return faults


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in typing.get_args(annotation))
    return next((model for model in found if model is not None), None)


if __name__ == "__main__":
    try:
        read_serve_config(Path(sys.argv[1]))
    except (ConfigError, IndexError) as error:
        sys.exit(str(error) if isinstance(error, ConfigError) else "usage: python -m actors.serve_config FILE")
    print(f"{sys.argv[1]}: in order")
