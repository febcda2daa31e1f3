"""How long `curate report` takes, how large its page is, and how soon a browser can be used on it.

    OMP_NUM_THREADS=1 python benchmarks/report.py RUN … [--rows 400 20000 100000]

The rows of the first run as one dataset, then those of all runs; where they are fewer, they come again
under new ids. Needs chromium and the extras `report` and `browser`. Each page is opened from disk
`--times` times in a fresh browser context. Writes results/report.json.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tyro
from setting import setting

RESULT = Path(__file__).parent / "results" / "report.json"


@dataclass(frozen=True)
class Config:
    """Which crystals, how many, how often a page is opened."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""
    rows: tuple[int, ...] = (400, 20_000, 100_000)
    times: int = 5


def main() -> None:
    """Write the table."""
    config = tyro.cli(Config, description=__doc__)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        choices = dict.fromkeys((config.runs[:1], config.runs))
        for n_rows, runs in product(config.rows, choices):
            place = Path(folder) / "dataset"
            rows = write_dataset(runs, n_rows, place)
            page = place / "report.html"
            made = write_page(place, page)
            opened = open_page(page, config.times)
            found.append({"rows": n_rows, **rows, **made, **opened})
            print(json.dumps(found[-1], indent=1), flush=True)
    more = ("plotly", "pymatviz", "playwright")
    result = {"pages": found, "setting": setting(more)}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def write_dataset(runs: tuple[Path, ...], n_rows: int, place: Path) -> dict:
    """Described rows of the runs, and the manifest's of the same ids, as one dataset folder."""
    shutil.rmtree(place, ignore_errors=True)
    manifest = table_of(runs, "manifest")
    manifest = manifest.filter(pc.equal(manifest["status"], "described"))
    rows = table_of(runs, "default")
    for name, table in (("default", rows), ("manifest", manifest)):
        (place / name).mkdir(parents=True)
        with pq.ParquetWriter(place / name / "train-00000.parquet", table.schema) as file:
            for piece in repeated(table, n_rows):
                file.write_table(piece, row_group_size=1_000)
    return {
        "runs": [run.name for run in runs],
        "different_crystals": min(n_rows, len(rows)),
        "mean_atoms": round(pc.mean(rows["nsites"].slice(0, n_rows)).as_py(), 2),
        "mean_letters": round(
            pc.mean(pc.utf8_length(rows["description"].slice(0, n_rows))).as_py()
        ),
    }


def table_of(runs: tuple[Path, ...], config: str) -> pa.Table:
    """One config of all runs."""
    tables = [pq.read_table(run / "dataset" / config) for run in runs]
    return pa.concat_tables(tables, promote_options="default")


def repeated(table: pa.Table, n_rows: int) -> Iterator[pa.Table]:
    """The table, again and again under new ids, up to that many rows."""
    column = table.schema.names.index("material_id")
    for number in count():
        piece = table.slice(0, n_rows)
        n_rows -= len(piece)
        ids = [
            f"{name}{f' copy {number}' if number else ''}"
            for name in piece["material_id"].to_pylist()
        ]
        yield piece.set_column(column, "material_id", pa.array(ids))
        if not n_rows:
            return


def write_page(place: Path, page: Path) -> dict:
    """Seconds and memory of the command, and the size of what it writes."""
    command = ["-m", "curate", "report", str(place), "--out", str(page)]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    return {
        "seconds": round(seconds, 1),
        "peak_gib": float(done.stdout.splitlines()[-1]),
        "megabytes": round(page.stat().st_size / 1e6, 2),
    }


MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
print(round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 2))
"""


def open_page(page: Path, times: int) -> dict:
    """Medians over some openings: seconds until the table is there; then how long a filter, the opening
    of a crystal and the first plot take."""
    from playwright.sync_api import sync_playwright

    measured: dict[str, list[float]] = {"table": [], "filter": [], "crystal": [], "plot": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(times):
            context = browser.new_context(
                viewport={"width": 1440, "height": 900}, offline=True, reduced_motion="reduce"
            )
            tab = context.new_page()
            started = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready]", state="attached")
            measured["table"].append(time.perf_counter() - started)
            for name, act in (("filter", filtered), ("crystal", opened), ("plot", plotted)):
                started = time.perf_counter()
                act(tab)
                measured[name].append(time.perf_counter() - started)
            context.close()
        version = browser.version
        browser.close()
    medians = {f"{name}_seconds": round(statistics.median(v), 2) for name, v in measured.items()}
    return {
        **medians,
        "slowest_table_seconds": round(max(measured["table"]), 2),
        "chromium": version,
    }


def filtered(tab) -> None:
    """Crystals with oxygen; the page answers before typing returns."""
    before = tab.locator("#found").text_content()
    tab.fill("#search", "O")
    assert tab.locator("#found").text_content() != before


def opened(tab) -> None:
    """The first of them, with its structure and text."""
    tab.locator("#table tbody tr").first.click()
    tab.wait_for_selector("dialog[open]")
    tab.wait_for_selector("#text span")
    tab.keyboard.press("Escape")


def plotted(tab) -> None:
    """The first plot comes into view, plotly is read and draws it."""
    tab.locator("[data-figure]").first.scroll_into_view_if_needed()
    tab.wait_for_selector("[data-drawn]", state="attached")


if __name__ == "__main__":
    main()
