"""Progress bar and table of counts for the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from curate.errors import shown
from curate.run.counts import Counts
from curate.work.progress import Progress as Step

SECONDS_BETWEEN_LINES = 30.0  # where no terminal shows a bar


@contextmanager
def progress_bar() -> Iterator[Callable[[Step], None]]:
    """A callback that shows progress: a bar on a terminal, a line every 30 s elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]} {task.fields[rate]} {task.fields[failed]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    tasks: dict[str, int] = {}
    state = {"failed": 0, "first": 0, "started": 0.0, "printed": time.monotonic()}

    def watch(step: Step) -> None:
        if step.stage not in tasks:
            tasks[step.stage] = bar.add_task(
                step.stage, total=step.total, amount="", rate="", failed=""
            )
            state.update(first=step.done, started=time.monotonic())
        now = time.monotonic()
        if step.description is not None and step.description.status != "described":
            state["failed"] += 1
        failed = f"{state['failed']} failed" if state["failed"] else ""
        is_bytes = step.stage == "downloading"
        done, total = (_megabytes(n) if is_bytes else n for n in (step.done, step.total))
        amount = f"{done} of {total}" if total is not None else f"{done}"
        rate = ""
        if step.stage != "reading" and now > state["started"] + 1:
            a_second = (step.done - state["first"]) / (now - state["started"])
            rate = f"{_megabytes(a_second)}/s" if is_bytes else f"{a_second:.1f}/s"
        fields = {"amount": amount, "rate": rate, "failed": failed}
        bar.update(tasks[step.stage], completed=step.done, total=step.total, **fields)  # type: ignore[arg-type]
        if not console.is_terminal and now > state["printed"] + SECONDS_BETWEEN_LINES:
            state["printed"] = now
            console.print(Text(f"{step.stage} {amount} {rate} {failed}".rstrip()))

    with bar:
        yield watch


def _megabytes(n: float | None) -> str | None:
    return None if n is None else f"{n / 1e6:.1f} MB"


def _plain(text: str) -> Text:
    """Text from outside for a cell: no markup of rich's, no control characters, on one line."""
    return Text(" ".join(shown(text).splitlines()))


def counts_table(counts: Counts) -> None:
    """Counts, failures by reason and seconds a crystal, as a table on standard output."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("fetched", str(counts.fetched))
    table.add_row("described", str(counts.described))
    table.add_row("failed", str(counts.failed.total()))
    for reason, n in counts.reasons.most_common():
        table.add_row(_plain(f"  {reason}"), str(n))
    if counts.left:
        table.add_row("left to do", str(counts.left))
    if counts.seconds:
        for name, q in (("median", 0.5), ("95 %", 0.95)):
            table.add_row(f"seconds, {name}", f"{counts.quantile(q):.2f}")
        slowest = _plain(f"seconds, slowest ({counts.slowest})")
        table.add_row(slowest, f"{counts.seconds[-1]:.2f}")
    Console().print(table)
