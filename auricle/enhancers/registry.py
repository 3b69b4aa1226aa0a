"""Enhancers by name: those that come with Auricle, and a user's own by import path."""

import difflib
import importlib
import typing
from collections.abc import Mapping
from typing import Any

from auricle.config import Config, build
from auricle.enhancers.interface import Enhancer
from auricle.errors import ConfigError

BUILT_IN = {
    "tf_fusion": "auricle.enhancers.tf_fusion:TFFusion",
    "avsec4": "auricle.enhancers.avsec4:Avsec4Baseline",
}
"""Registered name -> import path; imported only when asked for."""


def build_enhancer(name_or_class_path: str, options: Mapping[str, Any] | Config | None = None) -> Enhancer:
    """A freshly initialised network: a registered name (`tf_fusion`), or `package.module:Class` for a user's own Enhancer.

    options: values of the class's configuration, as a mapping or as that configuration itself. Raises ConfigError.
    """
    enhancer_class = find_class(name_or_class_path)
    config_class = config_class_of(enhancer_class)
    if isinstance(options, config_class):
        return enhancer_class(options)  # type: ignore[call-arg]
    values = options.model_dump() if isinstance(options, Config) else dict(options or {})
    return enhancer_class(build(config_class, values, source=f"options of enhancer {name_or_class_path!r}"))  # type: ignore[call-arg]


def find_class(name_or_class_path: str) -> type[Enhancer]:
    """The Enhancer subclass of a registered name or an import path. Raises ConfigError where there is none."""
    path = BUILT_IN.get(name_or_class_path, name_or_class_path)
    module_name, separator, class_name = path.partition(":")
    if not separator:
        near = difflib.get_close_matches(path, BUILT_IN, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"registered: {', '.join(BUILT_IN)}"
        raise ConfigError(f"enhancer {path!r}: no such network; {hint} Your own class is named as 'package.module:Class'.")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"enhancer {path!r}: cannot import {module_name}: {error}; is its folder on PYTHONPATH?") from error
    found = getattr(module, class_name, None)
    if found is None:
        raise ConfigError(f"enhancer {path!r}: module {module_name} has no {class_name}")
    if not (isinstance(found, type) and issubclass(found, Enhancer)):
        raise ConfigError(f"enhancer {path!r}: {class_name} is no Enhancer; derive it from auricle.enhancers.interface.Enhancer")
    return found


def config_class_of(enhancer_class: type[Enhancer]) -> type[Config]:
    """The configuration that a network is built from: what the class annotates its `config` with."""
    config_class = typing.get_type_hints(enhancer_class).get("config")
    if not (isinstance(config_class, type) and issubclass(config_class, Config)) or config_class is Config:
        raise ConfigError(
            f"enhancer {enhancer_class.__qualname__}: annotate `config` in the class body with its own subclass of auricle.config.Config"
        )
    return config_class


def registered_name(enhancer_class: type[Enhancer]) -> str:
    """What to write into a checkpoint so that `find_class` finds this class again. Raises ConfigError for local classes."""
    path = f"{enhancer_class.__module__}:{enhancer_class.__qualname__}"
    for name, built_in in BUILT_IN.items():
        if built_in == path:
            return name
    if "<locals>" in path or enhancer_class.__module__ == "__main__":
        raise ConfigError(f"enhancer {path!r} cannot be imported by name; move the class to the top level of a module")
    return path
