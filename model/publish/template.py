"""Fill a template of `hub_cards` for a model."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from curate.dataset.card import cell, inert


def filled(name: str, **values: Any) -> str:
    """A text of the Hub.

    Args:
        name: Of the template, by its path in `hub_cards`.
        values: What it names. Texts from outside are made inert; a `Verbatim` is ours.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=inert)
    environment.filters["cell"] = lambda text: cell(str(text))
    environment.filters["short"] = lambda number: f"{number:.4g}"
    template = files("hub_cards").joinpath(*name.split("/")).read_text(encoding="utf-8")
    return environment.from_string(template).render(values)
