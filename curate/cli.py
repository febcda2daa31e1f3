"""curate build | describe | status | verify | report | push: a crystal database in, a text dataset out."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import tyro

from curate.config import BuildConfig, DescribeConfig, PushConfig, ReportConfig
from curate.errors import InputError
from curate.work.interrupt import stop_on_signals

if TYPE_CHECKING:
    from curate.run.counts import Counts


@dataclass(frozen=True)
class StatusConfig:
    """Show how far a run is: counts, failures by reason, seconds a crystal."""

    run: tyro.conf.Positional[Path]
    """Run folder."""


@dataclass(frozen=True)
class VerifyConfig:
    """Describe a random sample of a run again with stock Robocrystallographer and compare the texts.

    The result goes onto the dataset's card; exit code 1 if a text differs.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    n: int = 50
    """How many crystals; stock takes seconds for each."""
    seed: int = 0
    """Which crystals."""


Command = (
    Annotated[BuildConfig, tyro.conf.subcommand("build")]
    | Annotated[DescribeConfig, tyro.conf.subcommand("describe")]
    | Annotated[StatusConfig, tyro.conf.subcommand("status")]
    | Annotated[VerifyConfig, tyro.conf.subcommand("verify")]
    | Annotated[ReportConfig, tyro.conf.subcommand("report")]
    | Annotated[PushConfig, tyro.conf.subcommand("push")]
)


def main() -> None:
    """Entry point of `curate`."""
    config = tyro.cli(Command, prog="curate", description="From a crystal database to a dataset.")  # type: ignore[call-overload]
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    stop_on_signals()
    try:
        match config:
            case BuildConfig():
                sys.exit(run_build(config))
            case DescribeConfig():
                sys.exit(run_describe(config))
            case StatusConfig():
                sys.exit(run_status(config))
            case VerifyConfig():
                sys.exit(run_verify(config))
            case ReportConfig():
                sys.exit(run_report(config))
            case PushConfig():
                sys.exit(run_push(config))
    except InputError as error:
        sys.exit(_complain(str(error)))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(_complain(f"{where}{error.strerror or error}; finished shards are kept"))
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def run_build(config: BuildConfig) -> int:
    """Build with a progress bar; 1 where --strict asks for it, else 0."""
    from curate.build import build
    from curate.work.console import progress_bar

    with progress_bar() as watch:
        counts = build(config, watch=watch)
    show(counts)
    if counts.left:
        how = f"curate describe {config.out} --rank R --of N describes them; " * (
            config.executor == "none"
        )
        print(f"{how}curate status {config.out} shows how far they are")
        return 0
    dataset = config.out / "dataset"
    for row in examples(dataset, 2):
        print(f"\n{row['material_id']}: {shorten(row['description'], 400, placeholder=' …')}")
    print(
        f'\nfrom datasets import load_dataset\ncrystals = load_dataset("{dataset}", split="train")'
    )
    return 1 if config.strict and counts.failed else 0


def run_describe(config: DescribeConfig) -> int:
    """One rank's share, with a line of progress now and then."""
    from curate.build import describe_rank
    from curate.work.console import progress_bar

    with progress_bar() as watch:
        describe_rank(config, watch)
    return 0


def run_status(config: StatusConfig) -> int:
    """Print a run's counts."""
    from curate.run.counts import count
    from curate.run.folder import Run

    show(count(Run.load(config.run)))
    return 0


def run_verify(config: VerifyConfig) -> int:
    """Compare a sample with stock; 1 where a text differs."""
    from dataclasses import asdict

    from curate.dataset.write import write_card
    from curate.files import write_json
    from curate.run.counts import count
    from curate.run.folder import Run
    from curate.work.console import progress_bar
    from curate.work.progress import Progress
    from curate.work.verify import verify

    if config.n <= 0:
        raise InputError(f"--n {config.n}: must be above 0")
    run = Run.load(config.run)
    with progress_bar() as watch:
        result = verify(
            run, config.n, config.seed, lambda done: watch(Progress("comparing", done, config.n))
        )
    if not result.checked:
        raise InputError(f"{config.run} holds no crystal that was described here")
    write_json(run.verification_file, asdict(result))
    if run.dataset.exists():
        write_card(run, count(run), run.dataset)
    for difference in result.differences:
        print(difference)
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

    file = pq.ParquetFile(min((dataset / "default").glob("*.parquet")))
    batches = file.iter_batches(n, columns=["material_id", "description"])
    return next(batches).to_pylist() if file.metadata.num_rows else []


def run_push(config: PushConfig) -> int:
    """Publish a run's dataset, or print what would be published."""
    from curate.hub.publish import plan_push, push
    from curate.run.folder import Run

    dataset = Run.load(config.run).dataset
    if config.dry_run:
        print(plan_push(dataset, config.name, private=config.private, tag=config.tag))
        return 0
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it reports every request
    print(push(dataset, config.name, private=config.private, tag=config.tag))
    return 0


def show(counts: Counts) -> None:
    """The closing table of a build."""
    from curate.work.console import counts_table

    counts_table(counts)


def _complain(message: str) -> int:
    print(f"curate: {message}", file=sys.stderr)
    return 2
