"""Database entries in, structure records out; one file a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import InputError
from curate.properties import parse_units
from curate.sources.base import PreviousRun, Source

if TYPE_CHECKING:
    from curate.config import BuildConfig


def open_source(
    config: BuildConfig,
    previous: PreviousRun | None = None,
    watch: Callable[[int, int | None], None] = lambda done, total: None,
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

            by_hand = None if config.input is None else Path(config.input)
            return Jarvis(config.snapshot, by_hand, config.mirror, previous, watch)
        case "files":
            from curate.sources.files import Files, check_units

            files = Files(Path(_needed_input(config)), config.properties, config.license)
            if config.properties is not None and previous is None:
                given = {**files.units, **parse_units(config.units)}
                check_units(config.properties, files.table, given)
            return files
        case "crysmmnet":
            _refuse_flags(config, "properties")
            from curate.sources.paper_corpus import PublishedCorpus

            return PublishedCorpus(Path(_needed_input(config)))
        case "optimade":
            _refuse_flags(config, "properties")
            from curate.sources.optimade import Optimade

            return Optimade(_needed_input(config), config.filter, config.license, previous)
        case "mp":
            _refuse_flags(config, "input", "properties")
            from curate.sources.mp import MaterialsProject

            return MaterialsProject(
                ids=wanted_ids(config),
                published=config.descriptions == "published",
                noncommercial=config.include_noncommercial,
                previous=previous,
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
