"""Source `files`: CIF, POSCAR, extxyz and JSON files, packed with gzip or not."""

from __future__ import annotations

import codecs
import glob
import gzip
import hashlib
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

from curate.errors import InputError, named
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
from curate.sources.entries import record_of
from curate.sources.file_names import (
    KINDS,
    bare_name,
    common_folder,
    is_plain_poscar,
    kind,
    name_of,
)
from curate.sources.targets import check_units, read_table

log = logging.getLogger(__name__)

LARGEST = 2**30  # bytes that a packed file may unpack to
ENCODINGS = {  # by the marks that files begin with
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

IdsFrom = Literal["name", "path"]


@dataclass(frozen=True)
class FilesSettings(SourceSettings):
    """Which files are read, and the targets that belong to them."""

    db: ClassVar[str] = "files"

    input: Path | None = field(default=None, metadata=IN_SNAPSHOT)
    """File, folder or quoted glob of CIF, POSCAR, extxyz or JSON."""
    properties: Path | None = field(default=None, metadata=IN_SNAPSHOT)
    """CSV of targets whose first column holds the material ids. A column of numbers needs a unit: name it
    gap:eV, or add --units gap=eV."""
    property_name: str | None = field(default=None, metadata=IN_SNAPSHOT)
    """Name of the one property of a table without a line of names, as ALIGNN's and CGCNN's id_prop.csv,
    with its unit: gap:eV."""
    allow_missing_hydrogen: bool = field(default=False, metadata=IN_SNAPSHOT)
    """Describe a CIF whose formula has hydrogen that has no positions, with a note; such files are
    refused otherwise."""
    ids_from: IdsFrom = field(default="name", metadata=IN_SNAPSHOT)
    """Take ids from the names of files, or keep the folders below --input in them."""
    license: str = field(default="unknown", metadata=IN_SNAPSHOT)
    """Licence of your files, as an SPDX identifier; goes into the dataset."""

    def check(self) -> None:
        if self.input is None:
            raise InputError("--db files needs --input PATH")
        if self.property_name is not None and self.properties is None:
            raise InputError("--property-name needs --properties TABLE")

    def open(self, request: Request) -> Source:
        files = Files(
            self.input or Path(),
            self.properties,
            self.license,
            self.allow_missing_hydrogen,
            self.ids_from,
            self.property_name,
            request.read_each,
        )
        if self.properties is not None and request.previous is None:
            check_units(self.properties, files.table, {**files.units, **request.units})
        return files


class Files:
    """A file, a folder (with its subfolders) or a glob of structure files.

    A file with one structure gives its name without the ending as id; entries of a file with several
    bring their own (`material_id`, `jid` or `id`) or are numbered from that name: `name-0`, `name-1`, …

    Args:
        pattern: The file, folder or glob.
        properties: CSV of targets whose first column holds ids.
        license: SPDX identifier of the licence of all entries.
        allow_missing_hydrogen: Take a CIF whose formula has hydrogen that its sites lack, with a note.
        ids_from: `path` keeps the folders below `pattern` in the ids.
        property_name: The name of the one property of a table without a line of names, as `gap:eV`.
        read_each: How the files are read: here, or in a worker with a limit of time.

    Raises:
        InputError: There is no structure file, or the table of targets can't be read.
    """

    def __init__(
        self,
        pattern: Path,
        properties: Path | None = None,
        license: str = "unknown",
        allow_missing_hydrogen: bool = False,
        ids_from: IdsFrom = "name",
        property_name: str | None = None,
        read_each: ReadEach = read_here,
    ) -> None:
        self.read_each = read_each
        self.pattern = pattern
        self.license = license
        self.allow_missing_hydrogen = allow_missing_hydrogen
        self.ids_from = ids_from
        self.paths, self.passed_over = find(pattern)
        self.table_path, self.property_name = properties, property_name
        self.table, self.units = table_of(properties, property_name) if properties else ({}, {})

    def snapshot(self) -> Snapshot:
        """The files by a digest of their names and bytes; InputError where one can't be read."""
        digest = hashlib.sha256()
        for path in [*self.paths, *([self.table_path] if self.table_path else [])]:
            try:
                with path.open("rb") as file:
                    digest.update(f"{path.name}\0".encode(errors="surrogateescape"))
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise InputError(f"{path}: {error.strerror or error}") from error
        n = len(self.paths)
        version = "1 file" if n == 1 else f"{n} files"
        if self.allow_missing_hydrogen:
            version += ", hydrogen may be missing"
        if self.ids_from == "path":
            version += ", ids from paths"
        if self.property_name is not None:
            version += f", targets are {self.property_name}"
        return Snapshot("files", version, digest.hexdigest(), self.license, "")

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        """Every entry of every file; InputError where two have one id or a target has no structure."""
        self.say_passed_over()
        unmatched = set(self.table)
        places: dict[str, Path] = {}
        tasks = [
            (path, self.license, self.allow_missing_hydrogen, self.name_of(path))
            for path in self.paths
        ]
        last, n_entries = -1, 0
        for number, entry in self.read_each(read_file, tasks):
            path = self.paths[number]
            n_entries = n_entries + 1 if number == last else 0
            last = number
            if isinstance(entry, SkippedEntry) and not entry.material_id:  # reading was stopped
                name = tasks[number][-1] + (f"-{n_entries}" if n_entries else "")
                reason = in_one_line(path, f"reading: {entry.error_message}")
                entry = replace(entry, material_id=name, error_message=reason)
            if other := places.get(entry.material_id):
                raise InputError(twice(entry.material_id, other, path))
            places[entry.material_id] = path
            key = next((k for k in self.keys(entry.material_id, path) if k in self.table), "")
            unmatched.discard(key)
            if isinstance(entry, StructureRecord):
                self.note_units(path, entry)
                if self.table:
                    empty = dict.fromkeys(next(iter(self.table.values())))
                    targets = self.table.get(key, empty)
                    entry = replace(entry, properties={**entry.properties, **targets})
            yield entry
        if unmatched:
            raise InputError(
                f"{self.table_path}: no structure for {named(unmatched)}; "
                "its first column must hold the ids of the structures"
            )

    def say_passed_over(self) -> None:
        """Name the files of a folder that are not read, and the links that are not followed."""
        links = {str(path) for path in self.passed_over if path.is_symlink()}
        if others := {str(path) for path in self.passed_over} - links:
            log.warning("%d files are no structure files: %s", len(others), named(others))
        if links:
            log.warning(
                "%d links are not read, as they lead to a folder, to no structure file or nowhere: %s",
                len(links),
                named(links),
            )

    def name_of(self, path: Path) -> str:
        """The id of a file with one structure."""
        if self.ids_from == "name":
            return name_of(path)
        top = self.pattern if self.pattern.is_dir() else common_folder(self.paths)
        parents = path.parent.relative_to(top).parts
        if is_plain_poscar(path) and parents:  # its folder is its name
            return "/".join(parents)
        return "/".join([*parents, name_of(path)])

    def keys(self, material_id: str, path: Path) -> tuple[str, ...]:
        """What a table of targets may call an entry: its id, the same with the file's ending, and
        where that is the file's only entry the file's name."""
        ending = path.name[len(bare_name(path)) :]
        return (material_id, material_id + ending)

    def note_units(self, path: Path, record: StructureRecord) -> None:
        """Keep the units of properties that extended XYZ has names for."""
        if kind(path) == "extxyz":
            from curate.sources.extxyz import UNITS

            self.units.update({name: UNITS[name] for name in record.properties if name in UNITS})


def find(pattern: Path) -> tuple[list[Path], list[Path]]:
    """The structure files a path, folder or glob stands for, and the other files of a folder, sorted;
    InputError where there is no structure file, or where a path or glob names another."""
    paths: list[Path] = []
    passed_over: list[Path] = []
    if pattern.is_dir():
        for path in sorted(pattern.rglob("*")):
            if path.is_file() and kind(path) and not path.name.startswith("."):
                paths.append(path)
            elif not path.is_dir() or path.is_symlink():  # pipes and devices too
                passed_over.append(path)
    elif pattern.is_file():
        paths = [pattern]
    else:
        paths = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207 (absolute patterns too)
        paths = [path for path in paths if path.is_file()]
    if not paths:
        raise InputError(f"--input {pattern}: no CIF, POSCAR, extxyz or JSON file there")
    for path in paths:
        if not kind(path):
            raise InputError(
                f"{path}: unknown kind of file; known: POSCAR, CONTCAR, {', '.join(KINDS)}"
            )
    return paths, passed_over


def twice(material_id: str, first: Path, second: Path) -> str:
    """One sentence on an id that two entries have."""
    if first == second:
        return f"{first} holds two entries with the id {material_id}"
    return (
        f"{first} and {second} both hold an entry with the id {material_id}; "
        "--ids-from path keeps the folders of files in their ids"
    )


def read_file(
    path: Path,
    license: str = "unknown",
    allow_missing_hydrogen: bool = False,
    name: str | None = None,
) -> Iterator[StructureRecord | SkippedEntry]:
    """Every entry of one file, each a record or the reason why it is none.

    Args:
        path: A file of a known kind.
        license: SPDX identifier of its licence.
        allow_missing_hydrogen: Take a CIF whose formula has hydrogen that its sites lack.
        name: Its id if it holds one structure; by default its name without the ending.
    """
    name = name_of(path) if name is None else name
    fields = {"license": license}
    try:
        entries = READERS[kind(path)](path, allow_missing_hydrogen)
        first_two = list(islice(entries, 2))
        if not first_two:
            yield SkippedEntry(name, "unreadable", "EmptyFile", f"{path.name} holds no structure")
        for number, entry in enumerate(chain(first_two, entries)):
            default_id = name if len(first_two) == 1 else f"{name}-{number}"
            record = record_of(entry, default_id, fields)
            if isinstance(entry, Exception) and isinstance(record, SkippedEntry):
                record = replace(record, error_message=in_one_line(path, record.error_message))
            yield record
    except Exception as error:  # parsers fail in many ways; the file becomes a row with the reason
        reason = getattr(error, "strerror", None) or error
        refusal = SkippedEntry.from_error(name, error)
        yield replace(refusal, error_message=in_one_line(path, reason))


def in_one_line(path: Path, reason: object) -> str:
    """Why an entry of a file is none, behind the file's name."""
    return f"{path.name}: {' '.join(str(reason).split())}"[:500]


def cif_entries(path: Path, allow_missing_hydrogen: bool) -> Iterator[Any]:
    from curate.sources.cif import crystals

    return crystals(read_text(path), allow_missing_hydrogen)


def poscar_entries(path: Path, _: bool) -> Iterator[Any]:
    from curate.sources.poscar import crystal

    yield crystal(read_text(path))


def extxyz_entries(path: Path, _: bool) -> Iterator[Any]:
    from curate.sources.extxyz import crystals

    return crystals(read_text(path))


def json_entries(path: Path, _: bool) -> Iterator[Any]:
    from curate.sources.json_entries import entries

    with opened(path) as raw:
        start = raw.peek(4)  # type: ignore[attr-defined]
        encoding = next(
            (name for mark, name in ENCODINGS.items() if start.startswith(mark)), "utf-8"
        )
        text = io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape")
        yield from entries(text, is_lines=kind(path) == "jsonl")


READERS: dict[str, Callable[[Path, bool], Iterator[Any]]] = {
    "cif": cif_entries,
    "poscar": poscar_entries,
    "extxyz": extxyz_entries,
    "json": json_entries,
    "jsonl": json_entries,
}


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked."""
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def read_text(path: Path) -> str:
    """The file's text: UTF-8 or what its first bytes say, else Latin-1; lines end in line feeds."""
    with opened(path) as file:
        packed = path.name.lower().endswith(".gz")
        data = file.read(LARGEST + 1 if packed else -1)
    if packed and len(data) > LARGEST:
        raise ValueError(f"it unpacks to more than {LARGEST / 2**30:.0f} GiB")
    encoding = next((name for mark, name in ENCODINGS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def table_of(
    path: Path, property_name: str | None = None
) -> tuple[dict[str, dict[str, Value]], dict[str, str]]:
    """Targets by id and units by property, from a CSV; InputError where it can't be read."""
    try:
        text = read_text(path)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"--properties {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    return read_table(path, text, property_name)
