"""Pages from templates: everything that is not a template's own is escaped; style and script are put into the page."""

import math
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(template: str, **values: Any) -> str:
    """The page `templates/TEMPLATE` with `values`; `css` and `js` are at hand in it."""
    folder = resources.files("pipelines.reporting") / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("style.css", "page.js"))
    return _environment().get_template(template).render(css=style, js=script, **values).lstrip()


def number_text(value: float, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else "\N{EN DASH}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader("pipelines.reporting", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
