"""Figures and tables of the documentation that are read from benchmarks/results/.

A page writes `{= name(arguments) =}` where one stands. A file that is gone fails the build.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from make_does_text_help import TASKS, results

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [list(map(str, titles)), ["---"] * len(titles), *(list(map(str, row)) for row in rows)]
    return "\n".join("| " + " | ".join(cell(text) for text in line) + " |" for line in lines)


def cell(text: str) -> str:
    """Text that ends no cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


@cache
def result(name: str) -> Any:
    """What a file of benchmarks/results/ holds; the build fails where it is gone.

    Args:
        name: Path below benchmarks/results/.

    Raises:
        FileNotFoundError: There is no such file.
    """
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def number(name: str, *keys: str | int) -> float:
    """A number of a results file, by the keys that lead to it."""
    found = result(name)
    for key in keys:
        found = found[key]
    return float(found)


def figure(name: str, *keys: str | int, shown: str = ".2f", times: float = 1.0) -> str:
    """A number of a results file as a page shows it: times a factor, in a format of Python."""
    return format(number(name, *keys) * times, shown)


def shown_seconds(value: float) -> str:
    """Seconds with the digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def equality_table() -> str:
    """Seconds of a description with stock Robocrystallographer and with curate."""
    found = result("equality.json")
    columns = ("total", "mean", "median", "p95", "slowest")
    rows = [
        [said, *(shown_seconds(found["seconds"][name][column]) for column in columns)]
        for name, said in {"stock": "stock, condenser reused", "fast": "`curate`"}.items()
    ]
    return table(["CPU seconds", "total", "mean", "median", "95 %", "slowest"], rows)


def whole_tables() -> str:
    """Tables described whole by `curate build`."""
    names = {"jarvis": "JARVIS-DFT", "mp": "Materials Project"}
    rows = []
    for run in result("tables.json"):
        seconds = [f"{run['seconds'][name]:.3f}" for name in ("median", "p95")]
        counts = (run["fetched"], run["described"], sum(run["failed"].values()))
        slowest = f"{run['seconds']['slowest']:.1f}"
        rows.append([names[run["run"]], *(f"{count:,}" for count in counts), *seconds, slowest])
    titles = ["table", "crystals", "described", "failed", "median s", "95 %", "slowest"]
    return table(titles, rows)


def database_table() -> str:
    """Hours and disk of whole databases, scaled up from what was measured."""
    seconds = {run["run"]: run["seconds"]["mean"] for run in result("tables.json")}
    bytes_each = {
        run["run"]: sum(run["bytes_a_crystal"].values()) for run in result("disk.json")["runs"]
    }
    rows = []
    for name, flag, crystals in (
        ("jarvis", "`--db jarvis`, `dft_3d_2021`", 55_700),
        ("mp", "`--db mp`", 150_000),
    ):
        hours = crystals * seconds[name] / 3600
        disk = crystals * bytes_each[name] / 1e9
        rows.append([flag, f"{crystals:,}", f"{hours:.1f}", f"{disk:.2f} GB"])
    return table(["", "crystals", "hours of one worker", "disk of the run folder"], rows)


def startup_table() -> str:
    """CPU seconds and modules of a command, before and now."""
    rows = []
    for name, found in result("startup.json")["commands"].items():
        modules = [found[when].get("modules") for when in ("before", "after")]
        seconds = [f"{found[when]['cpu']:.2f}" for when in ("before", "after")]
        told = [f"{count:,}" if count else "" for count in modules]
        rows.append([name.replace("_", " "), *seconds, *told])
    return table(["CPU seconds", "before", "now", "modules before", "now"], rows)


def throughput_table() -> str:
    """Makespan and idle share of 150,000 crystals on nodes of 32 cores."""
    found = result("throughput.json")["simulation"]["orders"]
    orders = {name: one for name, one in found.items() if "without" not in name}
    nodes = ("1", "4", "8", "16", "64")
    rows = []
    for n in nodes:
        told = [orders[order][n] for order in orders]
        rows.append([n, *(f"{one['makespan_s']:.1f} s, {100 * one['idle']:.1f} %" for one in told)])
    return table(["nodes", *orders], rows)


def scale_table() -> str:
    """Seconds and memory of loading and iterating 1,000, 10,000 and 100,000 crystals."""
    found = result("scale.json")
    steps = {
        "graphs": "prepared for training, graphs built",
        "epoch": "prepared with stored graphs, one epoch of batches",
    }
    rows = []
    for name, said in steps.items():
        sizes = [found[name][n] for n in ("1000", "10000", "100000")]
        growth = found["growth"][name]
        told = [f"{one['total_s']:.0f} s, {one['peak_gib']:.2f} GiB" for one in sizes]
        rows.append([said, *told, f"{growth['total_s']:.2f}, {growth['peak_gib']:.2f}"])
    return table(["", "1,000 rows", "10,000", "100,000", "growth of seconds, memory"], rows)


BUILD_STAGES = {
    "freezing": "entries frozen (one process)",
    "texts": "texts taken over (one process)",
    "parts": "parts of the dataset written (all workers)",
    "dataset": "dataset put together (one process)",
}


def corpus_table() -> str:
    """A build of ever more rows with their texts given: seconds of each stage, memory, files."""
    found = result("scale.json")
    sizes = sorted(map(int, found["build"]))
    builds = [found["build"][str(size)] for size in sizes]
    growth = found["growth"]["build"]
    seconds = {
        **{f"{name}_cpu_s": said for name, said in BUILD_STAGES.items()},
        "cpu_s": "together",
    }
    others = {
        "total_s": ("seconds of the wall on a busy machine", ",.0f"),
        "peak_gib": ("peak memory of the first process, GiB", ".2f"),
        "all_gib": ("of all processes, GiB", ".2f"),
        "files": ("files of the run folder", ",.0f"),
        "open_files": ("open files, all processes", ",.0f"),
    }
    rows = [
        [f"CPU seconds: {said}", *(shown_seconds(one[key]) for one in builds), f"{growth[key]:.2f}"]
        for key, said in seconds.items()
    ]
    rows += [
        [said, *(format(one[key], shown) for one in builds), f"{growth[key]:.2f}"]
        for key, (said, shown) in others.items()
    ]
    return table(["", *(f"{size:,} rows" for size in sizes), "growth"], rows)


def frozen_table() -> str:
    """Rows of a dataset on the Hub frozen by one process and by workers: CPU milliseconds of a row."""
    (found,) = result("scale.json")["freeze-hub"].values()
    ways = {
        "before": "one process, before",
        "alone": "one process (`--workers 1`)",
        "workers": "two workers",
    }
    rows = [
        [
            said,
            *(f"{found[way][key]:.3f} ms" for key in ("own_cpu_ms_a_row", "cpu_ms_a_row")),
            f"{found[way]['peak_gib']:.2f} GiB",
        ]
        for way, said in ways.items()
    ]
    n = found["workers"]["rows"]
    title = f"CPU of one of {n:,} rows behind the first {found['rows'] - n:,}"
    return table([title, "first process", "all processes", "memory of the first"], rows)


def simulated_corpora_table() -> str:
    """Corpora of millions on 1,000 cores: minutes of each step, and of describing where nodes fail."""
    corpora = result("scale_simulation.json")["corpora"]
    minutes = {
        "freezing": "frozen (one process, its workers beside it)",
        "describing": "described",
        "parts": "parts written",
        "dataset": "put together (one process)",
    }
    rows = [
        [said, *(shown_minutes(one["seconds"][key]) for one in corpora.values())]
        for key, said in minutes.items()
    ]
    rows.append(["together", *(shown_minutes(one["total_s"]) for one in corpora.values())])
    shares = (f"{100 * one['sequential share']:.0f} %" for one in corpora.values())
    rows.append(["share of one process", *shares])
    for key, said in (
        ("freezing by one process_s", "freezing, if one process did all of it"),
        ("parts by one process_s", "parts, if one process wrote them"),
    ):
        rows.append([said, *(shown_minutes(one[key]) for one in corpora.values())])
    titles = [
        "",
        *(f"{name}, {one['crystals'] / 1e6:.1f} million" for name, one in corpora.items()),
    ]
    return table(titles, rows)


def faults_table() -> str:
    """Describing on 1,000 cores where nodes are slow or lost, with claimed shards and with fixed shares."""
    corpora = result("scale_simulation.json")["corpora"]
    rows = []
    for fault in next(iter(corpora.values()))["describing"]:
        told = [one["describing"][fault] for one in corpora.values()]
        cells = [shown_minutes(one[f"{way}_s"]) for one in told for way in ("claimed", "fixed")]
        rows.append([fault, *cells])
    titles = [f"{name}: {way}" for name in corpora for way in ("claimed", "fixed shares")]
    return table(["describing", *titles], rows)


def shown_minutes(seconds: float) -> str:
    """Seconds as minutes, or as hours from two hours on."""
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def quotient_table() -> str:
    """Training and inference on whole graphs and on quotients."""
    found = result("quotient.json")
    rows = []
    for step in ("training step", "inference"):
        for name, said in {"jarvis": "JARVIS-DFT", "mp": "Materials Project"}.items():
            full, small = (found[name][step][f"{kind} DGL"] for kind in ("full", "quotient"))
            rows.append(
                [
                    f"{step}, {said}",
                    f"{full['seconds']:.2f} s",
                    f"{small['seconds']:.2f} s",
                    f"{full['seconds'] / small['seconds']:.1f}",
                    f"{full['peak_gib']:.2f} → {small['peak_gib']:.2f} GiB",
                ]
            )
    return table(["", "whole graphs", "quotients", "times faster", "peak memory"], rows)


def report_table() -> str:
    """Pages of `curate report`."""
    rows = []
    for page in result("report.json")["pages"]:
        seconds = [f"{page[f'{name}_seconds']:.2f} s" for name in ("table", "filter", "crystal")]
        size = f"{page['megabytes']:.1f} MB"
        made = [f"{page['seconds']:.0f} s", f"{page['peak_gib']:.2f} GiB", size]
        crystals = f"{page['rows']:,} ({page['different_crystals']:,} different)"
        rows.append([crystals, *made, *seconds])
    titles = ["crystals", "written in", "memory", "page", "table", "filter", "crystal"]
    return table(titles, rows)


def answers_table() -> str:
    """The blend with and without text on the complete benchmarks, beside the best of the leaderboards."""
    rows = {
        "trees on the composition": "trees on the composition",
        "blend without text": "blend without text",
        "**blend with text**": "blend",
        "blend with the texts of other crystals": "blend, shuffled text",
    }
    found = [results(task.folder) for task in TASKS]
    lines = [["best on the public leaderboard", *(f"{task.goal:.2f}" for task in TASKS)]]
    for said, name in rows.items():
        maes = [f"{one['models'][name]['mae']:.2f}" for one in found]
        lines.append([said, *(f"**{mae}**" if said.startswith("**") else mae for mae in maes)])
    names = [f"{task.name} ({one['unit']})" for task, one in zip(TASKS, found, strict=True)]
    return table(["mean absolute error", *names], lines)


def margins_table() -> str:
    """How many margins hold on the test crystals, and how wide they are."""
    rows = []
    for name, task in result("margins.json")["tasks"].items():
        told = [task["margins"][kind] for kind in ("constant", "chosen inside the fold")]
        held = [f"{100 * one['coverage']:.1f} %" for one in told]
        wide = [f"{one['mean margin']:.3g}" for one in told]
        rows.append(
            [
                f"{name} ({task['unit']})",
                f"{task['test crystals']:,}",
                held[0],
                wide[0],
                held[1],
                wide[1],
            ]
        )
    titles = [
        "task",
        "test crystals",
        "constant: hold",
        "mean margin",
        "chosen: hold",
        "mean margin",
    ]
    return table(titles, rows)


def tried_before(kind: int) -> str:
    """What the same commands came to at an earlier commit and now: `silent 9, noticed 4 → noticed 13`."""
    by_commit = result("attack-before.json")["commits"]
    sides = []
    for commit in ("f041074", "now"):
        counts = Counter(row["outcome"] for row in by_commit[commit][str(kind)])
        sides.append(", ".join(f"{outcome} {n}" for outcome, n in counts.most_common()))
    return " → ".join(sides)


def attacked() -> str:
    """A row for each kind of the long attack: how often it was tried, and what came of it."""
    outcomes = ("noticed", "read", "made anew", "same", "silent")
    rows = [
        [kind, *(f"{found.get(one, 0):,}" for one in ("tried", *outcomes))]
        for kind, found in result("attack.json")["kinds"].items()
    ]
    return table(["attack", "tried", *outcomes], rows)
