"""Progress and counts in, what a person sees on the terminal out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from curate.build import Progress as Step
from curate.counts import Counts

SECONDS_BETWEEN_LINES = 30.0  # where no terminal shows a bar


@contextmanager
def progress_bar() -> Iterator[Callable[[Step], None]]:
    """Something to hand to `build`; a bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} {task.fields[failed]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    tasks: dict[str, int] = {}
    state = {"failed": 0, "first": 0, "started": 0.0, "printed": time.monotonic()}

    def watch(step: Step) -> None:
        if step.stage not in tasks:
            tasks[step.stage] = bar.add_task(step.stage, total=step.total, rate="", failed="")
            state.update(first=step.done, started=time.monotonic())
        now = time.monotonic()
        if step.description is not None and step.description.status != "described":
            state["failed"] += 1
        failed = f"{state['failed']} failed" if state["failed"] else ""
        rate = ""
        if step.stage == "describing" and now > state["started"] + 1:
            rate = f"{(step.done - state['first']) / (now - state['started']):.1f}/s"
        fields = {"rate": rate, "failed": failed}
        bar.update(tasks[step.stage], completed=step.done, total=step.total, **fields)  # type: ignore[arg-type]
        if not console.is_terminal and now > state["printed"] + SECONDS_BETWEEN_LINES:
            state["printed"] = now
            of = f" of {step.total}" if step.total else ""
            console.print(f"{step.stage} {step.done}{of} {rate} {failed}".rstrip())

    with bar:
        yield watch


def counts_table(counts: Counts) -> None:
    """Counts, failures by reason and seconds a crystal, as a table on standard output."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("fetched", str(counts.fetched))
    table.add_row("described", str(counts.described))
    table.add_row("failed", str(counts.failed.total()))
    for reason, n in counts.reasons.most_common():
        table.add_row(f"  {reason}", str(n))
    if counts.left:
        table.add_row("left to do", str(counts.left))
    if counts.seconds:
        for name, q in (("median", 0.5), ("95 %", 0.95)):
            table.add_row(f"seconds, {name}", f"{counts.quantile(q):.2f}")
        table.add_row(f"seconds, slowest ({counts.slowest})", f"{counts.seconds[-1]:.2f}")
    Console().print(table)
