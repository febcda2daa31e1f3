"""Database entries in, structure records out; one file a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    sha256: str  # of the bytes that were read
    license: str
    citation: str
    url: str = ""


class Source(Protocol):
    """A database that yields records; reading it twice yields the same records in the same order."""

    def snapshot(self) -> Snapshot:
        """What will be read; raises InputError where there is nothing to read."""

    def records(self) -> Iterator[StructureRecord | Refusal]:
        """Entry by entry; an entry that can't become a record is a Refusal."""


def open_source(config: BuildConfig) -> Source:
    """The source a build asks for; InputError where its flags do not fit together."""
    match config.db:
        case "jarvis":
            if not config.sample:
                raise InputError(
                    "this release reads JARVIS-DFT from the embedded sample only: add --sample"
                )
            _refuse_flags(config, "input", "properties")
            from curate.sources.sample import Sample

            return Sample()
        case "files":
            from curate.sources.files import Files

            return Files(_needed_input(config), config.properties, config.license)
        case "crysmmnet":
            _refuse_flags(config, "properties")
            from curate.sources.crysmmnet import PublishedCorpus

            return PublishedCorpus(_needed_input(config))
    raise InputError(f"unknown database {config.db!r}; known: jarvis, files, crysmmnet")


def _needed_input(config: BuildConfig):
    if config.sample:
        raise InputError(f"--sample belongs to --db jarvis, not to --db {config.db}")
    if config.input is None:
        raise InputError(f"--db {config.db} needs --input PATH")
    return config.input


def _refuse_flags(config: BuildConfig, *names: str) -> None:
    for name in names:
        if getattr(config, name) is not None:
            raise InputError(f"--{name} has no meaning for --db {config.db}; leave it out")
