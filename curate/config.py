"""The settings of the commands; the command line and its help are made from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from curate.describe.options import DescribeOptions, TextDialect
from curate.errors import InputError
from curate.sources import DEFAULT, SOURCES, settings_class
from curate.sources.base import SourceSettings


def processors() -> int:
    """CPUs available: SLURM_CPUS_PER_TASK if set, else the process's CPU affinity."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or len(os.sched_getaffinity(0)))


def default_source() -> SourceSettings:
    """The settings of the source that is read where none is chosen."""
    return settings_class(DEFAULT)()


@dataclass(frozen=True)
class PushConfig:
    """Publish a run's dataset on the Hugging Face Hub, in one commit, or in several for more than 100 files.

    The token comes from HF_TOKEN or `hf auth login`. The same command again sends what is missing.
    """

    run: tyro.conf.Positional[Path]
    """Run folder; its dataset is pushed as it is."""
    name: tyro.conf.Positional[str]
    """Repository on the Hub, OWNER/NAME; created if it does not exist."""
    private: bool = False
    """Visible to the owner only."""
    tag: str | None = None
    """Name this version, as v1.0, so that others can load exactly it."""
    dry_run: bool = False
    """Print repository, files, sizes and the card; send nothing."""


@dataclass(frozen=True)
class ReportConfig:
    """Write a page to look at: counts, plots, and every crystal with its structure beside its text.

    One HTML file that opens from disk, without a network (extra `report`).
    """

    place: tyro.conf.Positional[Path]
    """Folder of a run or of a dataset."""
    out: Path = Path("report.html")
    """The page."""
    rows: int = 20_000
    """Crystals in its table; of more, a sample is shown, and the page says so."""
    seed: int = 0
    """Which sample."""
    tokenizer: str | None = None
    """Tokenizer that lengths of texts are counted with, as for `curate build`; by default the run's."""


@dataclass(frozen=True)
class DescribeConfig:
    """Describe shards of a run that others describe as well; the last one writes the dataset.

    `curate build … --executor none` freezes the structures first. Without --rank, each process claims
    shards as it needs them, and any number may join at any time; with it, one of N fixed shares is
    described. What is described is not described again.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    rank: int | None = None
    """Which share, from 0; for schedulers that start ranks."""
    of: int | None = None
    """How many shares."""
    workers: int = field(default_factory=processors)
    """Processes that describe side by side, one thread each."""


@dataclass(frozen=True)
class SlurmConfig:
    """What is requested of the scheduler; anything left out keeps the site's default."""

    tasks: int | None = None
    """Tasks of the array job that share the crystals (--executor slurm)."""
    partition: str | None = None
    """Where they run (--executor slurm)."""
    time: str | None = None
    """Limit of each task, as 4:00:00 (--executor slurm)."""
    cpus_per_task: int | None = None
    """Processes of each task that describe side by side (--executor slurm)."""
    account: str | None = None
    """Account that is charged (--executor slurm)."""


@dataclass(frozen=True)
class BuildConfig:
    """Read crystals, describe each with Robocrystallographer, write a dataset to OUT/dataset.

    The same command again resumes an interrupted build; with --update it brings a finished one up to date.
    """

    out: Path
    """Run folder; it holds one build, which the same command resumes."""
    source: tyro.conf.OmitArgPrefixes[SourceSettings] = field(default_factory=default_source)
    ids: Path | None = None
    """Text file with one material id a line: describe only these."""
    limit: int | None = None
    """Describe only the first N crystals."""
    units: tuple[str, ...] = ()
    """Units of properties of your own, as gap=eV hardness=GPa; 1 for a number without unit. They may be
    added later: nothing is described again."""
    describe: tyro.conf.OmitArgPrefixes[DescribeOptions] = field(default_factory=DescribeOptions)
    text_dialect: TextDialect = "own"
    """mp: the options of the Materials Project's own texts: Unicode, no site labels, oxidation states."""
    tokenizer: str = "minilm"
    """Tokenizer of the text encoder that the card counts tokens for: a folder, a name on the Hub
    (m3rg-iitd/matscibert), or `minilm` (extra `demo`)."""
    timeout: float = 300.0
    """Seconds after which reading or describing a crystal is stopped."""
    memory: float = 4.0
    """GiB that a worker may use beyond what it starts with; requested per processor from a scheduler."""
    shard_size: int = 200
    """Crystals described between two saves; of a large source 5 times as many from 20,000 on and 25 times
    from 200,000 on, but at most 5,000."""
    update: bool = False
    """Read the source of a finished run again: what is new or has another structure is described, what was
    withdrawn is taken out, all other texts are kept, and the card lists the changes."""
    workers: int = field(default_factory=processors)
    """Processes that describe side by side, one thread each."""
    executor: Literal["local", "slurm", "none"] = "local"
    """Describe here, submit an array job that does, or freeze the structures only, for
    `curate describe`. The folder is the same: each can finish what another began."""
    slurm: tyro.conf.OmitArgPrefixes[SlurmConfig] = field(default_factory=SlurmConfig)
    strict: bool = False
    """Exit with 1 if any crystal has no description."""


def build_flags(words: Sequence[str]) -> type[BuildConfig]:
    """The class that the command line of one `curate build` is parsed into.

    It has the common flags and those of the source that --db names; without --db, the help lists the
    common flags only.

    Args:
        words: The words after `curate build`.

    Raises:
        InputError: The source is unknown, or a flag belongs to another source.
    """
    db = chosen_source(words)
    if db is None and not {"-h", "--help"}.isdisjoint(words):
        settings: type[SourceSettings] = SourceSettings
    else:
        settings = settings_class(db or DEFAULT)
        refuse_flags_of_others(words, settings)
    about = "; ".join(f"{name}: {known.about}" for name, known in SOURCES.items())
    help = f"Where crystals come from. {about}. `curate build --db NAME --help` shows its flags."
    choice: Any = Annotated[str, tyro.conf.arg(help=help, metavar="{" + ",".join(SOURCES) + "}")]
    own: Any = tyro.conf.OmitArgPrefixes[settings]  # type: ignore[valid-type, misc]
    return make_dataclass(
        "BuildConfig",
        [("db", choice, DEFAULT), ("source", own, field(default_factory=settings))],
        bases=(BuildConfig,),
        namespace={"__doc__": BuildConfig.__doc__},
        frozen=True,
    )


def chosen_source(words: Sequence[str]) -> str | None:
    """The value of the last --db among the words of a command line; None if there is none."""
    chosen = None
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word == "--db":
            chosen = following
        elif word.startswith("--db="):
            chosen = word.partition("=")[2]
    return chosen


def refuse_flags_of_others(words: Sequence[str], settings: type[SourceSettings]) -> None:
    """InputError where a flag among the words is one of another source only."""
    own = {known.name for known in fields(settings)}
    for word in words:
        flag = word.partition("=")[0]
        name = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
        if not flag.startswith("--") or name in own:
            continue
        owners = [db for db in SOURCES if name in {f.name for f in fields(settings_class(db))}]
        if owners:
            known = ", ".join(owners[:-1]) + " or " * (len(owners) > 1) + owners[-1]
            raise InputError(f"{flag} belongs to --db {known}, not to --db {settings.db}")
