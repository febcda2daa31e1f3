"""Source `jarvis`: a dated table of JARVIS, downloaded once and streamed from its zip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from curate.errors import InputError
from curate.files import cache_folder, sha256_of
from curate.properties import JARVIS, MEGNET
from curate.record import SkippedEntry, StructureRecord
from curate.sources.base import (
    IN_SNAPSHOT,
    PreviousRun,
    Request,
    Snapshot,
    Source,
    SourceSettings,
)
from curate.sources.embedded import embedded_file, embedded_records
from curate.sources.entries import record_of, value_of
from curate.sources.sample import JARVIS_LICENSE, Sample
from curate.web.download import Download, Watch
from curate.web.retry import RetryPolicy
from curate.web.zipped_json import check_zip, entries

JarvisTable = Literal["dft_3d_2021", "dft_3d_2022", "dft_3d_2025", "dft_2d_2021", "megnet"]
JarvisTask = Literal["exfoliation_energy"]
FIGSHARE_API = "https://api.figshare.com/v2/file/download"
NOT_PROPERTIES = {"spg_number", "xml_data_link"}


@dataclass(frozen=True)
class Table:
    """One published table."""

    key: str  # jarvis-tools' name of it
    year: str  # in the name of the file; jarvis-tools lets undated names move on
    source: str
    license: str
    citation: str


DFT = (JARVIS.name, JARVIS_LICENSE, JARVIS.citation)
MP_2018 = (MEGNET.name, "CC-BY-4.0", MEGNET.citation)
TABLES = {
    "dft_3d_2021": Table("dft_3d_2021", "2021", *DFT),
    "dft_3d_2022": Table("dft_3d_2022", "2022", *DFT),
    "dft_3d_2025": Table("dft_3d", "2025", *DFT),
    "dft_2d_2021": Table("dft_2d_2021", "2021", *DFT),
    "megnet": Table("megnet", "", *MP_2018),
}


@dataclass(frozen=True)
class JarvisSettings(SourceSettings):
    """Which table of JARVIS is read, and from where."""

    db: ClassVar[str] = "jarvis"

    sample: bool = field(default=False, metadata=IN_SNAPSHOT)
    """Use the 400 JARVIS-DFT crystals embedded in the package; needs no network."""
    task: JarvisTask | None = field(default=None, metadata=IN_SNAPSHOT)
    """Use the 812 crystals of the JARVIS-Leaderboard task that is embedded in the package, with its official
    split; needs no network."""
    snapshot: JarvisTable = "dft_3d_2021"
    """Which table: JARVIS-DFT as it was in that year (2021 is what the paper, ALIGNN and the leaderboard
    use), or the Materials Project 2018.6.1 as `megnet`."""
    mirror: str | None = field(default=None, metadata=IN_SNAPSHOT)
    """Address that has figshare's files by their number, instead of figshare's own."""
    input: Path | None = field(default=None, metadata=IN_SNAPSHOT)
    """A table's zip that was downloaded by hand."""

    def check(self) -> None:
        if not self.sample and self.task is None:
            return
        embedded = "--sample" if self.sample else "--task"
        if self.sample and self.task is not None:
            raise InputError("--sample and --task choose different crystals; leave one of them out")
        if self.snapshot != type(self).snapshot:
            raise InputError(
                f"--snapshot names a whole table, not the {embedded}; leave one of them out"
            )
        for name in ("input", "mirror"):
            if getattr(self, name) is not None:
                raise InputError(f"--{name} has no meaning for {embedded}; leave it out")

    def open(self, request: Request) -> Source:
        if self.sample:
            return Sample()
        if self.task is not None:
            return LeaderboardTask(self.task)
        return Jarvis(self.snapshot, self.input, self.mirror, request.previous, request.watch)


class LeaderboardTask:
    """The crystals of a JARVIS-Leaderboard task; the dataset has its official split as a column."""

    def __init__(self, name: JarvisTask) -> None:
        self.name, self.file = name, f"jarvis_{name}"

    def snapshot(self) -> Snapshot:
        return Snapshot(
            database=JARVIS.name,
            version=f"JARVIS-Leaderboard task {self.name}, embedded",
            sha256=sha256_of(embedded_file(self.file)).hex(),
            license=JARVIS_LICENSE,
            citation=JARVIS.citation,
            url="https://jarvis.nist.gov",
        )

    def records(self) -> Iterator[StructureRecord]:
        return embedded_records(self.file, self.name, JARVIS.name, JARVIS_LICENSE)


class Jarvis:
    """A snapshot of JARVIS-DFT, or of the Materials Project as JARVIS distributes it."""

    def __init__(
        self,
        name: str,
        input: Path | None = None,  # a zip that was downloaded by hand
        mirror: str | None = None,  # base address that has the files by their figshare number
        previous: PreviousRun | None = None,
        watch: Watch = lambda done, total: None,
        cache: Path | None = None,
        retry: RetryPolicy | None = None,
        timeout: float = 30.0,
    ):
        self.table, self.input, self.previous, self.watch = TABLES[name], input, previous, watch
        self.name, self.cache = name, cache or default_cache()
        self.retry, self.timeout = retry or RetryPolicy(), timeout
        self.url, self.member = known_file(self.table)
        number = self.url.rsplit("/", 1)[1]
        official = [self.url, f"{FIGSHARE_API}/{number}"]
        self.urls = [f"{mirror.rstrip('/')}/{number}"] if mirror else official

    def snapshot(self) -> Snapshot:
        if self.previous is not None and self.previous.is_complete:
            return self.previous.snapshot
        self.path = self.input or self.downloaded()
        try:
            digest = sha256_of(self.path)
        except OSError as error:
            raise InputError(f"--input {self.path} can't be read: {error.strerror}") from error
        return Snapshot(
            database=self.table.source,
            version=f"{self.name} ({self.member})",
            sha256=digest.hex(),
            license=self.table.license,
            citation=self.table.citation,
            url=self.url,
        )

    def downloaded(self) -> Path:
        """The zip in the cache, downloaded if it is not there."""
        return Download(
            urls=self.urls,
            path=self.cache / f"{self.member}.zip",
            check=partial(check_zip, name=self.member),
            by_hand=f"open {self.url} in a browser and give the file as --input FILE.zip",
            retry=self.retry,
            timeout=self.timeout,
            watch=self.watch,
        ).fetch()

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        try:
            for number, entry in enumerate(entries(self.path, self.member), 1):
                yield record_of_entry(entry, self.table, number)
        except InputError as error:
            if self.path == self.input:
                raise
            self.path.unlink(missing_ok=True)  # else every further run would end here
            raise InputError(f"{error}; the same command downloads it again") from error


def record_of_entry(entry: Any, table: Table, number: int) -> StructureRecord | SkippedEntry:
    """One entry as a record, or as a SkippedEntry with the reason."""
    if not isinstance(entry, dict):
        return SkippedEntry(f"entry {number}", "unreadable", "NoEntry", "it is no JSON object")
    kept = {name: value for name, value in entry.items() if name not in NOT_PROPERTIES}
    fields = {
        "source": table.source,
        "license": table.license,
        "spacegroup_number": _spacegroup(entry),
    }
    return record_of(kept, f"entry {number}", fields)


def _spacegroup(entry: dict[str, Any]) -> int | None:
    try:
        number = value_of(entry.get("spg_number"))
    except ValueError:
        return None
    return int(number) if isinstance(number, int | float) and 1 <= number <= 230 else None


def known_file(table: Table) -> tuple[str, str]:
    """Address and inner name of a table, as the installed jarvis-tools has them."""
    from jarvis.db.figshare import get_db_info

    url, member, *_ = get_db_info()[table.key]
    if table.year not in member:
        raise InputError(
            f"the installed jarvis-tools has {member} for {table.key!r}, not the table of "
            f"{table.year}; install the version in constraints.txt"
        )
    return url, member


def default_cache() -> Path:
    """Where downloads are kept for other runs."""
    return cache_folder() / "downloads"
