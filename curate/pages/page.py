"""Fill an HTML template into one file that needs nothing else; the only file here that knows jinja2.

What comes from a dataset is never markup: the template escapes it, and all data travel compressed, in
base64, to be shown as text by the page's own script. A content security policy forbids every request.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from curate.errors import InputError
from curate.files import write_text
from curate.vocabulary import TRANSLATIONS

TEMPLATES = Path(str(files("curate") / "pages" / "templates"))
SCRIPTS = ("page.js", "figures.js", "viewer.js", "crystal.js", "texts.js", "table.js")
DETAILS_AT_ONCE = 100  # crystals unpacked together when one of them is opened


def write_page(
    out: Path,
    template: str,
    context: dict[str, Any],
    data: dict[str, str],
    more: Sequence[Path] = (),
) -> None:
    """Write a page as one HTML file, atomically.

    Args:
        out: The file.
        template: Name of the template.
        context: What the template is filled with; everything in it is escaped.
        data: Packed data by name, see `packed`.
        more: Further folders with templates.
    """
    write_text(out, render(template, context, data, more))


def render(
    template: str, context: dict[str, Any], data: dict[str, str], more: Sequence[Path] = ()
) -> str:
    """The page's HTML."""
    script = scripts(*SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return filled(
        template,
        {
            **context,
            "script_hash": digest,
            "data": {
                **data,
                "vocabulary": packed(dict(TRANSLATIONS)),
                "plotly": packed_text(plotly_script()),
            },
        },
        script,
        more,
    )


def render_cell(row: Mapping[str, Any], elements: Mapping[str, Any], grid: int) -> str:
    """A page of one structure alone, to be framed by another page; `row` as crystals.detail has it."""
    cell = packed({"detail": row, "table": {"elements": elements, "grid": grid}})
    return filled("cell.html", {"cell": cell}, scripts("page.js", "viewer.js"))


def scripts(*names: str) -> str:
    """The page's own scripts, one after another."""
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def filled(template: str, context: dict[str, Any], script: str, more: Sequence[Path] = ()) -> str:
    """Fill a template; everything is escaped except the page's own style and script."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, *more]),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(
        **context, style=Markup(style), script=Markup(script)
    )


def plotly_script() -> str:
    """plotly.js, as the installed plotly brings it."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError:
        raise InputError(
            "a report needs plotly and pymatviz: pip install 'crysmmnet[report]'"
        ) from None
    return get_plotlyjs()


def packed(data: Any) -> str:
    """JSON, compressed, in base64; NaN and infinity become null."""
    return packed_text(json.dumps(clean(data), ensure_ascii=False, separators=(",", ":")))


def packed_text(text: str) -> str:
    """Text, compressed, in base64."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def packed_details(details: Iterable[Any], budget: int) -> tuple[list[str], int]:
    """Pieces of `DETAILS_AT_ONCE` each, as many as `budget` bytes hold, and how many details they are."""
    pieces: list[str] = []
    some: list[Any] = []
    n_packed = room = 0
    room = budget
    for detail in details:
        some.append(detail)
        if len(some) == DETAILS_AT_ONCE:
            piece = packed(some)
            room -= len(piece)
            if room < 0:
                return pieces, n_packed
            pieces.append(piece)
            n_packed += len(some)
            some = []
    if some and len(piece := packed(some)) <= room:
        pieces.append(piece)
        n_packed += len(some)
    return pieces, n_packed


def clean(data: Any) -> Any:
    """The data as JSON can hold it."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: clean(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [clean(value) for value in data]
    return data


def rounded(data: Any, digits: int = 3) -> Any:
    """The same data with rounded floats."""
    if isinstance(data, float):
        return round(data, digits)
    if isinstance(data, dict):
        return {key: rounded(value, digits) for key, value in data.items()}
    return [rounded(value, digits) for value in data] if isinstance(data, list) else data


def number(value: float | None, digits: int = 4) -> str:
    """A number as the page shows it: `1,234`, `0.0512`, or a dash."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}g}"
