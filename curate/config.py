"""BuildConfig: the choices of one build, and which of them change its answer."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from curate.describe.options import DescribeOptions

JarvisTable = Literal["dft_3d_2021", "dft_3d_2022", "dft_3d_2025", "dft_2d_2021", "megnet"]
Database = Literal["jarvis", "mp", "optimade", "files", "crysmmnet"]


def processors() -> int:
    """What this process may use: the scheduler's word, where it was started by one."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK") or len(os.sched_getaffinity(0)))


@dataclass(frozen=True)
class PushConfig:
    """Publish a run's dataset on the Hugging Face Hub, in one commit.

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
    """Describe one of N shares of a run, for schedulers that start ranks; the last writes the dataset.

    `curate build … --executor none` freezes the structures first. Ranks may be started again, in any
    number and any order: what is described is not described again.
    """

    run: tyro.conf.Positional[Path]
    """Run folder."""
    rank: int
    """Which share, from 0."""
    of: int
    """How many shares."""
    workers: int = field(default_factory=processors)
    """Processes that describe side by side, one thread each."""


@dataclass(frozen=True)
class SlurmConfig:
    """What is asked of the scheduler; the site's defaults hold for what is left out."""

    tasks: int | None = None
    """Tasks of the array job that share the crystals (--executor slurm)."""
    partition: str | None = None
    """Where they run (--executor slurm)."""
    time: str | None = None
    """Limit of each task, as 4:00:00 (--executor slurm)."""
    cpus_per_task: int | None = None
    """Processes of each task that describe side by side (--executor slurm)."""
    account: str | None = None
    """Who is charged (--executor slurm)."""


@dataclass(frozen=True)
class BuildConfig:
    """Read crystals, describe each with Robocrystallographer, write a dataset to OUT/dataset.

    The same command again takes up where it was stopped.
    """

    out: Path
    """Run folder; one folder answers one question and is resumed by the same command."""
    db: Database = "jarvis"
    """Where crystals come from: JARVIS-DFT, the Materials Project (needs MP_API_KEY), any database that
    speaks OPTIMADE (extra `optimade`), your own files, or the corpus the paper published."""
    sample: bool = False
    """Use the 400 JARVIS-DFT crystals embedded in the package; needs no network."""
    snapshot: JarvisTable = "dft_3d_2021"
    """Which table of JARVIS: JARVIS-DFT as it was in that year (2021 is what the paper, ALIGNN and the
    leaderboard use), or the Materials Project 2018.6.1 as `megnet` (--db jarvis)."""
    mirror: str | None = None
    """Address that has figshare's files by their number, instead of figshare's own (--db jarvis)."""
    input: str | None = None
    """File, folder or quoted glob of CIF, POSCAR, extxyz or JSON (--db files); the zip of figshare
    article 23643669 (--db crysmmnet); a table's zip that was downloaded by hand (--db jarvis); a
    server's address, as https://oqmd.org/optimade (--db optimade)."""
    filter: str | None = None
    """Which structures, in OPTIMADE's words: 'elements HAS ALL "Ga","N" AND nelements=2'
    (--db optimade); all of them where it is left out."""
    properties: Path | None = None
    """CSV of targets whose first column holds the material ids (--db files)."""
    allow_missing_hydrogen: bool = False
    """Describe a CIF whose formula has hydrogen that has no positions, with a note (--db files); such
    files are refused otherwise."""
    ids_from: Literal["name", "path"] = "name"
    """Take ids from the names of files, or keep the folders below --input in them (--db files)."""
    license: str = "unknown"
    """Licence of your own files, as an SPDX identifier; goes into the dataset (--db files). With
    --db optimade in place of what the server says."""
    descriptions: Literal["own", "published"] = "own"
    """Describe each crystal, or take the texts that the Materials Project publishes (--db mp)."""
    include_noncommercial: bool = False
    """Take entries under CC BY-NC as well; your account must have accepted their terms (--db mp)."""
    ids: Path | None = None
    """Text file with one material id a line: describe only these."""
    limit: int | None = None
    """Describe only the first N crystals."""
    describe: tyro.conf.OmitArgPrefixes[DescribeOptions] = field(default_factory=DescribeOptions)
    tokenizer: str = "minilm"
    """Tokenizer of the text encoder that the card counts tokens for: a folder, a name on the Hub
    (m3rg-iitd/matscibert), or `minilm` (extra `demo`)."""
    timeout: float = 300.0
    """Seconds after which a crystal is given up."""
    memory: float = 4.0
    """GiB a worker may add to what it starts with; asked of the scheduler for each processor."""
    shard_size: int = 200
    """Crystals described between two saves."""
    workers: int = field(default_factory=processors)
    """Processes that describe side by side, one thread each."""
    executor: Literal["local", "slurm", "none"] = "local"
    """Describe here, submit an array job that does, or freeze the structures only, for
    `curate describe`. The folder is the same: each can finish what another began."""
    slurm: tyro.conf.OmitArgPrefixes[SlurmConfig] = field(default_factory=SlurmConfig)
    strict: bool = False
    """Exit with 1 if any crystal has no description."""
