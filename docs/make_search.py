"""Write docs/search.md from what benchmarks/search.py wrote.

python docs/make_search.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from page_template import template

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
METRICS = ("recall@1", "recall@10", "MRR")
GRAPHS = "contrastive, graphs without text"
SPEED = (
    "seconds to answer",
    "slowest",
    "seconds to find what is like a crystal",
    "first question after loading",
    "seconds to load",
    "GiB",
    "GiB before",
    "GiB on disk",
)


def results(name: str) -> dict[str, Any] | None:
    """A results file; None where it was not made."""
    path = RESULTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def table(methods: dict[str, Any]) -> list[list[str]]:
    """A row for each method."""
    rows = []
    for name, found in methods.items():
        values = [f"{found[metric]['mean']:.3f}" for metric in METRICS]
        rows.append(
            [name, *values]
            + [difference(found["recall@10"].get(f"less {base}")) for base in ("BM25", "TF-IDF")]
        )
    return rows


def difference(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    low, high = found["interval"]
    return f"{found['mean']:+.3f} [{low:+.3f}, {high:+.3f}]"


def unseen(recall: dict[str, Any]) -> list[list[str]]:
    """The graphs' side among the crystals of the test part."""
    return [
        [task, *(f"{found['test'][GRAPHS][metric]['mean']:.3f}" for metric in METRICS)]
        for task, found in recall.items()
    ]


def page() -> str:
    """The page."""
    whole, short = results("search.json"), results("search-short.json")
    assert whole is not None
    return template("search.md.jinja").render(
        whole=whole,
        short=short,
        tasks=list(whole["recall"]),
        tables={task: table(found["all"]) for task, found in whole["recall"].items()},
        short_tables={
            task: table(found["all"]) for task, found in (short or {"recall": {}})["recall"].items()
        },
        unseen=unseen(whole["recall"]),
        speed=[[name, *map(str, map(row.get, SPEED))] for name, row in whole["speed"].items()],
    )


if __name__ == "__main__":
    (DOCS / "search.md").write_text(page(), encoding="utf-8")
