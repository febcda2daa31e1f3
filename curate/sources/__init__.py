"""Database entries in, structure records out; one file a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from curate.errors import InputError
from curate.record import Refusal, StructureRecord

if TYPE_CHECKING:
    from curate.config import BuildConfig


@dataclass(frozen=True)
class Snapshot:
    """What exactly was read; goes into the run's question and onto the dataset's card."""

    database: str
    version: str
    sha256: str  # of the bytes that were read; empty for a service
    license: str
    citation: str
    url: str = ""


@dataclass(frozen=True)
class Recorded:
    """What a run folder was read from."""

    snapshot: Snapshot
    is_complete: bool  # all structures are in the folder: the source need not be asked again

    @classmethod
    def of(cls, folder: Path) -> Recorded | None:
        """None where nothing was read yet."""
        from curate.run.folder import Run

        run = Run(folder)
        if not run.question_file.exists():
            return None
        return cls(Snapshot(**run.question["source"]), run.fetched is not None)


class Source(Protocol):
    """A database that yields records; reading it twice yields the same records in the same order."""

    def snapshot(self) -> Snapshot:
        """What will be read; raises InputError where there is nothing to read."""

    def records(self) -> Iterator[StructureRecord | Refusal]:
        """Entry by entry; an entry that can't become a record is a Refusal."""


def open_source(
    config: BuildConfig, watch: Callable[[int, int | None], None] = lambda done, total: None
) -> Source:
    """The source a build asks for; InputError where its flags do not fit together.

    `watch` is told the bytes of a download so far and in all.
    """
    if config.db != "mp" and (config.descriptions != "own" or config.include_noncommercial):
        raise InputError("--descriptions and --include-noncommercial belong to --db mp")
    if config.sample and config.db != "jarvis":
        raise InputError(f"--sample belongs to --db jarvis, not to --db {config.db}")
    if config.db != "jarvis":
        _refuse_flags(config, "mirror")
    if config.db != "optimade":
        _refuse_flags(config, "filter")
    if config.db != "files" and (config.allow_missing_hydrogen or config.ids_from != "name"):
        raise InputError("--allow-missing-hydrogen and --ids-from belong to --db files")
    if config.license != type(config).license and config.db not in ("files", "optimade"):
        raise InputError(f"--license: --db {config.db} brings its own licences; leave it out")
    if config.snapshot != type(config).snapshot and (config.db != "jarvis" or config.sample):
        raise InputError("--snapshot names a whole table of --db jarvis; leave it out here")
    match config.db:
        case "jarvis":
            _refuse_flags(config, "properties")
            if config.sample:
                _refuse_flags(config, "input", "mirror")
                from curate.sources.sample import Sample

                return Sample()
            from curate.sources.jarvis import Jarvis

            recorded = Recorded.of(config.out)
            by_hand = None if config.input is None else Path(config.input)
            return Jarvis(config.snapshot, by_hand, config.mirror, recorded, watch)
        case "files":
            from curate.sources.files import Files

            return Files(
                Path(_needed_input(config)),
                config.properties,
                config.license,
                config.allow_missing_hydrogen,
                config.ids_from,
            )
        case "crysmmnet":
            _refuse_flags(config, "properties")
            from curate.sources.paper_corpus import PublishedCorpus

            return PublishedCorpus(Path(_needed_input(config)))
        case "optimade":
            _refuse_flags(config, "properties")
            from curate.sources.optimade import Optimade

            return Optimade(
                _needed_input(config), config.filter, config.license, Recorded.of(config.out)
            )
        case "mp":
            _refuse_flags(config, "input", "properties")
            from curate.sources.mp import MaterialsProject

            return MaterialsProject(
                ids=wanted_ids(config),
                published=config.descriptions == "published",
                noncommercial=config.include_noncommercial,
                recorded=Recorded.of(config.out),
            )
    raise InputError(
        f"unknown database {config.db!r}; known: jarvis, mp, optimade, files, crysmmnet"
    )


def wanted_ids(config: BuildConfig) -> set[str] | None:
    """The ids of --ids in the spelling of their database; None where all are wanted."""
    if config.ids is None:
        return None
    ids = read_ids(config.ids)
    if config.db == "mp":
        from curate.sources.mp_documents import asked_id

        return set(map(asked_id, ids))
    return ids


def read_ids(path: Path) -> set[str]:
    """The ids of a text file, one a line."""
    try:
        ids = {line.strip() for line in path.read_text().splitlines()} - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--ids {path} can't be read: {error}") from error
    if not ids:
        raise InputError(f"--ids {path} holds no ids")
    return ids


def _needed_input(config: BuildConfig) -> str:
    if config.input is None:
        what = "URL" if config.db == "optimade" else "PATH"
        raise InputError(f"--db {config.db} needs --input {what}")
    return config.input


def _refuse_flags(config: BuildConfig, *names: str) -> None:
    for name in names:
        if getattr(config, name) is not None:
            where = "--sample" if config.sample else f"--db {config.db}"
            raise InputError(f"--{name} has no meaning for {where}; leave it out")
