"""What MkDocs runs: tables are filled in, and a page that asks anything of a network fails the build."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import code_tables
import measured_tables
from jinja2 import Environment, StrictUndefined
from mkdocs.exceptions import PluginError

MARKERS = {"variable_start_string": "{=", "variable_end_string": "=}"}
UNUSED = {  # Jinja's other marks, which no page has
    "block_start_string": "{=%",
    "block_end_string": "%=}",
    "comment_start_string": "{=#",
    "comment_end_string": "#=}",
}
PAGES = Environment(undefined=StrictUndefined, keep_trailing_newline=True, **MARKERS, **UNUSED)
for module in (code_tables, measured_tables):
    for name, function in vars(module).items():
        if getattr(function, "__module__", None) == module.__name__:
            PAGES.globals[name] = function
FROM_NETWORK = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//"
    r"|<link[^>]*\srel=[\"']?(?:stylesheet|preconnect|icon|preload)[^>]*\shref=[\"']?(?:https?:)?//"
    r"|<link[^>]*\shref=[\"']?(?:https?:)?//[^>]*\srel=[\"']?(?:stylesheet|preconnect|icon|preload)"
)
FROM_NETWORK_CSS = re.compile(r"@import\s+(?:url\()?[\"']?(?:https?:)?//|url\([\"']?(?:https?:)?//")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with its tables and figures; the build fails where one can't be made."""
    try:
        return PAGES.from_string(markdown).render()
    except Exception as error:
        raise PluginError(f"{page.file.src_path}: {type(error).__name__}: {error}") from error


def on_post_build(config: Any, **_: Any) -> None:
    """Fail where a page or a style sheet loads something from elsewhere."""
    site = Path(config["site_dir"])
    for kind, pattern in (("*.html", FROM_NETWORK), ("*.css", FROM_NETWORK_CSS)):
        for path in sorted(site.rglob(kind)):
            if found := pattern.search(path.read_text(encoding="utf-8")):
                raise PluginError(f"{path.relative_to(site)} asks a network: {found[0]}")
    print(f"{len(list(site.rglob('*.html')))} pages; none asks a network", file=sys.stderr)
