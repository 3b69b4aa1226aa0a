"""The configuration tree: documented, typed, and with few surprises."""

from collections.abc import Iterator

from auricle.config import Config
from pipelines.settings import Settings


def configs(model: type[Config], path: str = "") -> Iterator[tuple[str, type[Config]]]:
    """Every Config of the tree with its dotted place."""
    yield path, model
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            yield from configs(field.annotation, f"{path}.{name}".lstrip("."))


def test_every_section_and_field_says_what_it_is() -> None:
    silent = [f"{place or 'Settings'}: {model.__name__}" for place, model in configs(Settings) if not (model.__doc__ or "").strip()]
    for place, model in configs(Settings):
        for name, field in model.model_fields.items():
            nested = isinstance(field.annotation, type) and issubclass(field.annotation, Config)
            if not nested and not field.description:
                silent.append(f"{place}.{name}".lstrip("."))
    assert not silent


def test_every_section_is_frozen_and_strict() -> None:
    loose = [
        place for place, model in configs(Settings) if not model.model_config.get("frozen") or model.model_config.get("extra") != "forbid"
    ]
    assert not loose
