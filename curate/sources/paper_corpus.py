"""Source `crysmmnet`: the corpus that the paper published, with its own texts and targets.

Figshare article 23643669: CSV tables of id, composition, target(s), description and one unused column,
read by position behind a header line, and a CIF for each id. Nothing is unpacked to disk; a member of
the zip is only ever looked up by name, never used as a path.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from curate.errors import InputError
from curate.files import sha256_of
from curate.properties import CORPUS
from curate.record import SkippedEntry, StructureRecord, Value
from curate.sources.base import (
    IN_SNAPSHOT,
    ReadEach,
    Request,
    Snapshot,
    Source,
    SourceSettings,
    read_here,
)
from curate.sources.cif import crystals
from curate.sources.entries import Crystal, record_of, value_of
from curate.web.zips import ZIP_ERRORS, check_member, complaint, open_zip

ORIGIN = "figshare 23643669"
LARGEST_CIF = 10 * 2**20  # bytes; the largest unit cells stay far below
LARGEST_TEXT = 10 * 2**20
MOST_ROWS = 1_000_000  # of a table; the largest published one has 69,132
ROWS_BETWEEN_LINES = 100_000  # of the log
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorpusTable:
    """One table of the corpus."""

    table: str  # member name below the corpus' folder
    cifs: str  # folder of the CIFs
    targets: tuple[str, ...]  # columns 2, 3, …
    source: str
    license: str


MP, JARVIS = (
    ("Materials Project 2018.6.1", "CC-BY-4.0"),
    ("JARVIS-DFT 2021.8.18", "NIST terms of use"),
)
PARTS = (
    CorpusTable("mp_2018_new/mat_text.csv", "mp_2018_new", ("formation_energy", "band_gap"), *MP),
    CorpusTable(
        "mp_2018_small/description.csv", "mp_2018_small/cif", ("shear_modulus", "bulk_modulus"), *MP
    ),
    *(
        CorpusTable(f"jarvis/{name}/description.csv", f"jarvis/{name}/cif", (name,), *JARVIS)
        for name in (
            "formation_energy_peratom",
            "optb88vdw_bandgap",
            "optb88vdw_total_energy",
            "mbj_bandgap",
            "bulk_modulus_kv",
            "shear_modulus_gv",
        )
    ),
)


@dataclass(frozen=True)
class PaperCorpusSettings(SourceSettings):
    """Where the corpus lies."""

    db: ClassVar[str] = "crysmmnet"

    input: Path | None = field(default=None, metadata=IN_SNAPSHOT)
    """The zip of figshare article 23643669."""

    def check(self) -> None:
        if self.input is None:
            raise InputError("--db crysmmnet needs --input PATH")

    def open(self, request: Request) -> Source:
        return PublishedCorpus(self.input or Path(), request.read_each)


class PublishedCorpus:
    """Structures, targets and texts as published; a material in several tables becomes one record.

    Args:
        path: The zip.
        read_each: How its CIFs are read: here, or in a worker with a limit of time.

    Raises:
        InputError: It is no zip of the corpus.
    """

    def __init__(self, path: Path, read_each: ReadEach = read_here) -> None:
        self.path, self.read_each = path, read_each
        try:
            self.zip = open_zip(path)
        except FileNotFoundError:
            raise InputError(f"--input {path}: no such file") from None
        except ZIP_ERRORS as error:
            said = str(error) if type(error) is ValueError else complaint(error)
            raise InputError(f"--input {path} is not a readable zip: it {said}") from error
        self.members = self._known_members()
        self.parts = [part for part in PARTS if part.table in self.members]
        if not self.parts:
            tables = ", ".join(part.table for part in PARTS)
            raise InputError(f"--input {path} holds none of {tables}")

    def _known_members(self) -> dict[str, zipfile.ZipInfo]:
        """Members by their name below the corpus' folder, which may itself lie in a folder."""
        known = {}
        for info in self.zip.infolist():
            parts = info.filename.split("/")
            for start, part in enumerate(parts):
                if part in ("mp_2018_new", "mp_2018_small", "jarvis"):
                    known["/".join(parts[start:])] = info
                    break
        return known

    def snapshot(self) -> Snapshot:
        return Snapshot(
            database=CORPUS.name,
            version=ORIGIN,
            sha256=sha256_of(self.path).hex(),
            license="per row",
            citation=CORPUS.citation,
            url="https://figshare.com/articles/dataset/23643669",
        )

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        targets: dict[str, dict[str, Value]] = {}
        digests: dict[str, bytes] = {}
        notes: dict[str, str] = {}
        for (
            part
        ) in self.parts:  # first pass: the targets, which one material may have in many tables
            for material_id, values, text in self._rows(part):
                targets.setdefault(material_id, {}).update(values)
                digest = hashlib.sha256(text.encode()).digest()
                if digests.setdefault(material_id, digest) != digest:
                    notes[material_id] = f"another text in {part.table}"
        del digests
        left = set(targets)
        tasks = [
            (self.path, self.members[f"{part.cifs}/{material_id}.cif"].filename)
            for part, material_id, text in self._first_rows(set(targets))
            if self._missing(part, material_id, text) is None
        ]
        read = self.read_each(read_cif, tasks)
        for part, material_id, text in self._first_rows(left):
            values = targets.pop(material_id)
            skipped = self._missing(part, material_id, text)
            if skipped is not None:
                yield skipped
                continue
            fields = {
                "source": part.source,
                "license": part.license,
                "description": text,
                "description_origin": ORIGIN,
                "note": notes.get(material_id),
            }
            _, entry = next(read)
            if isinstance(entry, SkippedEntry):
                yield replace(entry, material_id=material_id)
                continue
            if isinstance(entry, Crystal):
                entry = replace(entry, properties=values)
            yield record_of(entry, material_id, fields)

    def _first_rows(self, left: set[str]) -> Iterator[tuple[CorpusTable, str, str]]:
        """Table, id and text of each material of `left` where it stands first; `left` is emptied."""
        for part in self.parts:
            for material_id, _, text in self._rows(part):
                if material_id in left:
                    left.remove(material_id)
                    yield part, material_id, text

    def _missing(self, part: CorpusTable, material_id: str, text: str) -> SkippedEntry | None:
        """Why a material has no CIF to read or no text; None where it has both."""
        if not text.strip():
            return SkippedEntry(material_id, "unreadable", "EmptyText", f"no text in {part.table}")
        info = self.members.get(f"{part.cifs}/{material_id}.cif")
        if info is None:
            return SkippedEntry(
                material_id, "unreadable", "MissingFile", f"no {material_id}.cif in the zip"
            )
        if info.file_size > LARGEST_CIF:
            size = f"{info.filename} is {info.file_size / 2**20:.0f} MiB"
            return SkippedEntry(material_id, "unreadable", "TooLarge", size)
        return None

    def _rows(self, part: CorpusTable) -> Iterator[tuple[str, dict[str, Value], str]]:
        """Id, targets and text of each line of a table."""
        csv.field_size_limit(LARGEST_TEXT)
        columns = 2 + len(part.targets)
        try:
            check_member(self.members[part.table])
            with self.zip.open(self.members[part.table]) as raw:
                text = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="")
                reader = csv.reader(_lines(text))
                next(reader, None)
                for number, row in enumerate(reader, 1):
                    if number > MOST_ROWS:
                        raise InputError(
                            f"{self.path}, {part.table} has more than {MOST_ROWS:,} rows, which the "
                            "published corpus has not; get figshare's zip again"
                        )
                    if number % ROWS_BETWEEN_LINES == 0:
                        log.info("%s: %s rows", part.table, f"{number:,}")
                    if len(row) != columns + 2:
                        raise InputError(
                            f"{part.table}, line {reader.line_num}: {len(row)} columns, "
                            f"expected {columns + 2}"
                        )
                    values = dict(zip(part.targets, map(value_of, row[2:columns]), strict=True))
                    yield row[0], values, row[columns]
        except InputError:
            raise
        except csv.Error as error:
            raise InputError(
                f"{self.path}, {part.table}: {error}; get figshare's zip again"
            ) from error
        except ZIP_ERRORS as error:
            said = str(error) if type(error) is ValueError else complaint(error)
            raise InputError(f"{self.path}, {part.table}: it {said}") from error


def read_cif(path: Path, name: str) -> Iterator[Crystal | Exception | SkippedEntry]:
    """The structure of one CIF of a zip, or why there is none."""
    try:
        found = list(crystals(opened(path).read(name).decode(errors="replace")))
        if len(found) != 1:
            raise ValueError(f"{len(found)} structures in {name}")
    except Exception as error:  # parsers fail in many ways; the entry becomes a row with the reason
        yield SkippedEntry.from_error("", error)
    else:
        yield found[0]


@lru_cache(1)
def opened(path: Path) -> zipfile.ZipFile:
    """The zip, opened once a process."""
    return open_zip(path)


def _lines(text: io.TextIOBase) -> Iterator[str]:
    """The lines of a table; csv.Error for one that has no end."""
    for line in iter(lambda: text.readline(LARGEST_TEXT), ""):
        if len(line) == LARGEST_TEXT:
            raise csv.Error(f"a line of more than {LARGEST_TEXT:,} characters")
        yield line
