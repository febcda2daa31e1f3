"""Sources of crystals, one file each. `SOURCES` is the table of those that --db chooses from."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from curate.errors import InputError
from curate.sources.base import SourceSettings


@dataclass(frozen=True)
class Registered:
    """Where a source's settings are defined; imported only if the source is chosen."""

    module: str
    settings: str  # name of the class
    about: str  # for the help of --db


SOURCES = {
    "jarvis": Registered("curate.sources.jarvis", "JarvisSettings", "tables of JARVIS-DFT"),
    "mp": Registered(
        "curate.sources.mp", "MPSettings", "the Materials Project (extra `mp`, key in MP_API_KEY)"
    ),
    "optimade": Registered(
        "curate.sources.optimade",
        "OptimadeSettings",
        "any database that speaks OPTIMADE (extra `optimade`)",
    ),
    "hub": Registered(
        "curate.sources.hub",
        "HubSettings",
        "a dataset with OPTIMADE's columns on the Hugging Face Hub, as LeMaterial/LeMat-Bulk",
    ),
    "files": Registered("curate.sources.files", "FilesSettings", "your own structure files"),
    "ase": Registered(
        "curate.sources.ase_database",
        "AseSettings",
        "a database of ASE (SQLite), or a folder of them",
    ),
    "crysmmnet": Registered(
        "curate.sources.paper_corpus", "PaperCorpusSettings", "the corpus the paper published"
    ),
    "matbench": Registered(
        "curate.sources.matbench", "MatbenchSettings", "a task of Matbench v0.1 with its folds"
    ),
}
DEFAULT = "jarvis"


def settings_class(db: str) -> type[SourceSettings]:
    """The settings class of a source.

    Args:
        db: Name of the source, as --db takes it.

    Raises:
        InputError: There is no source of that name.
    """
    if db not in SOURCES:
        raise InputError(f"--db {db}: unknown database; known: {', '.join(SOURCES)}")
    known = SOURCES[db]
    return getattr(import_module(known.module), known.settings)
