"""The commands of `curate`: build, describe, status, verify, report and push."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from curate.config import BuildConfig, DescribeConfig, PushConfig, ReportConfig, build_flags
from curate.errors import InputError
from curate.errors import shown as printable
from curate.work.command import run_command

if TYPE_CHECKING:
    from curate.run.counts import Counts


@dataclass(frozen=True)
class StatusConfig:
    """Show how far a run is: counts, failures by reason, seconds a crystal."""

    run: tyro.conf.Positional[Path]
    """Run folder."""


@dataclass(frozen=True)
class VerifyConfig:
    """Check that every file of a run is as it was written, then describe a random sample again with stock
    Robocrystallographer and compare the texts.

    The result goes onto the dataset's card; exit code 1 if a file is damaged or a text differs.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    n: int = 50
    """How many crystals; stock takes seconds for each."""
    seed: int = 0
    """Which crystals."""


OTHER_COMMANDS: Any = (
    Annotated[DescribeConfig, tyro.conf.subcommand("describe")]
    | Annotated[StatusConfig, tyro.conf.subcommand("status")]
    | Annotated[VerifyConfig, tyro.conf.subcommand("verify")]
    | Annotated[ReportConfig, tyro.conf.subcommand("report")]
    | Annotated[PushConfig, tyro.conf.subcommand("push")]
)


def main() -> None:
    """Entry point of `curate`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it reports every request
    run_command("curate", run, after_disk_error="; finished shards are kept")


def run() -> int:
    """Parse the command line and run its command; only what the command needs is imported."""
    words = sys.argv[1:]
    # For other commands the common flags of `build` stand for it: no source need be imported.
    build = build_flags(words[1:] if words[:1] == ["build"] else ["--help"])
    commands: Any = Annotated[build, tyro.conf.subcommand("build")] | OTHER_COMMANDS
    config = tyro.cli(commands, prog="curate", description="From a crystal database to a dataset.")
    match config:
        case BuildConfig():
            return run_build(config)
        case DescribeConfig():
            return run_describe(config)
        case StatusConfig():
            return run_status(config)
        case VerifyConfig():
            return run_verify(config)
        case ReportConfig():
            return run_report(config)
    return run_push(config)


def run_build(config: BuildConfig) -> int:
    """Build with a progress bar; the exit code is 1 if --strict is given and a crystal failed."""
    from curate.build import build
    from curate.work.console import progress_bar

    with progress_bar() as watch:
        counts = build(config, watch=watch)
    show(counts)
    if counts.left:
        how = f"curate describe {config.out}, on any number of nodes, describes them; " * (
            config.executor == "none"
        )
        print(f"{how}curate status {config.out} shows how far they are")
        return 0
    dataset = config.out / "dataset"
    for row in examples(dataset, 2):
        text = shorten(row["description"], 400, placeholder=" …")
        print(f"\n{printable(row['material_id'])}: {printable(text)}")
    if counts.failed:
        for row in failures(dataset, 3):
            reason = shorten(row["error_message"] or row["status"], 400, placeholder=" …")
            print(f"\n{printable(row['material_id'])} failed: {printable(reason)}")
        print(f'\nall reasons: load_dataset("{dataset}", "manifest", split="train")')
    print(
        f'\nfrom datasets import load_dataset\ncrystals = load_dataset("{dataset}", split="train")'
    )
    return 1 if config.strict and counts.failed else 0


def run_describe(config: DescribeConfig) -> int:
    """One rank's share, or what is claimed, with a line of progress now and then."""
    from curate.build import describe_rank
    from curate.work.console import progress_bar

    with progress_bar() as watch:
        describe_rank(config, watch)
    return 0


def run_status(config: StatusConfig) -> int:
    """Print a run's counts."""
    from curate.run.counts import count
    from curate.run.folder import Run

    run = Run.load(config.run)
    _ = run.settings_record  # says if it is damaged
    show(count(run))
    return 0


def run_verify(config: VerifyConfig) -> int:
    """Check every file of a run, then compare a sample with stock; the exit code is 1 if a file is
    damaged or a text differs."""
    from curate.run.folder import Run
    from curate.work.console import progress_bar
    from curate.work.progress import Progress
    from curate.work.verify import keep, verify

    if config.n <= 0:
        raise InputError(f"--n {config.n}: must be above 0")
    run = Run.load(config.run)
    if damage := run.damage():
        for error in damage:
            print(printable(error))
        return 1
    with progress_bar() as watch:
        result = verify(
            run, config.n, config.seed, lambda done: watch(Progress("comparing", done, config.n))
        )
    if not result.checked:
        raise InputError(f"{config.run} holds no crystal that was described here")
    keep(run, result)
    for difference in result.differences:
        print(printable(difference))
    print(f"{len(result.checked)} checked, {len(result.differences)} differ from stock")
    return 0 if result.is_equal else 1


def run_report(config: ReportConfig) -> int:
    """Write the page and say how much it shows."""
    from curate.report.page import report
    from curate.work.console import progress_bar
    from curate.work.progress import Progress

    with progress_bar() as watch:
        shown = report(config, lambda done, total: watch(Progress("reading", done, total)))
    size = config.out.stat().st_size / 1e6
    print(f"{config.out}: {shown.n_rows:,} crystals, {size:.1f} MB; open it in a browser")
    return 0


def examples(dataset: Path, n: int) -> list[dict]:
    """The first n described crystals of a dataset folder."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(
        min((dataset / "default").glob("*.parquet")), page_checksum_verification=True
    )
    batches = file.iter_batches(n, columns=["material_id", "description"])
    return next(batches).to_pylist() if file.metadata.num_rows else []


def failures(dataset: Path, n: int) -> list[dict]:
    """The first n crystals of a dataset folder that could not be described, with their reasons."""
    import pyarrow.parquet as pq

    columns = ["material_id", "status", "error_message"]
    found = pq.read_table(
        dataset / "manifest", columns=columns, filters=[("status", "!=", "described")]
    )
    return found.slice(0, n).to_pylist()


def run_push(config: PushConfig) -> int:
    """Publish a run's dataset, or print what would be published."""
    from curate.hub.mirror import mirror
    from curate.hub.publish import plan_push
    from curate.run.folder import Run

    run = Run.load(config.run)
    if damage := run.damaged_dataset_files():
        raise damage[0]
    plan = plan_push(run.dataset, config.name, private=config.private, tag=config.tag)
    print(plan if config.dry_run else mirror(plan))
    return 0


def show(counts: Counts) -> None:
    """The closing table of a build."""
    from curate.work.console import counts_table

    counts_table(counts)
