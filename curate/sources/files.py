"""Source `files`: CIF, POSCAR, extxyz and JSON files."""

from __future__ import annotations

import csv
import glob
import hashlib
import json
import shlex
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from curate.errors import InputError, named
from curate.properties import split_unit, without_unit
from curate.record import Refusal, StructureRecord, Value
from curate.sources.base import IN_SNAPSHOT, Request, Snapshot, Source, SourceSettings
from curate.sources.entries import ID_KEYS, record_of, value_of

SUFFIXES = (".cif", ".vasp", ".poscar", ".extxyz", ".xyz", ".json", ".jsonl")


@dataclass(frozen=True)
class FilesSettings(SourceSettings):
    """Which files are read, and the targets that belong to them."""

    db: ClassVar[str] = "files"

    input: Path | None = field(default=None, metadata=IN_SNAPSHOT)
    """File, folder or quoted glob of CIF, POSCAR, extxyz or JSON."""
    properties: Path | None = field(default=None, metadata=IN_SNAPSHOT)
    """CSV of targets whose first column holds the material ids. A column of numbers needs a unit: name it
    gap:eV, or add --units gap=eV."""
    license: str = field(default="unknown", metadata=IN_SNAPSHOT)
    """Licence of your files, as an SPDX identifier; goes into the dataset."""

    def check(self) -> None:
        if self.input is None:
            raise InputError("--db files needs --input PATH")

    def open(self, request: Request) -> Source:
        files = Files(self.input or Path(), self.properties, self.license)
        if self.properties is not None and request.previous is None:
            check_units(self.properties, files.table, {**files.units, **request.units})
        return files


class Files:
    """A file, a folder (with its subfolders) or a glob of structure files.

    A file with one structure gives its stem as id; entries of a file with several bring their own
    (`material_id`, `jid` or `id`) or are numbered from the stem: `stem-0`, `stem-1`, …
    """

    def __init__(self, pattern: Path, properties: Path | None = None, license: str = "unknown"):
        self.pattern = pattern
        self.license = license
        self.paths = find(pattern)
        self.table_path = properties
        self.table = read_table(properties) if properties else {}
        self.units = table_units(properties) if properties else {}

    def snapshot(self) -> Snapshot:
        digest = hashlib.sha256()
        for path in [*self.paths, *([self.table_path] if self.table_path else [])]:
            with path.open("rb") as file:
                digest.update(f"{path.name}\0".encode())
                digest.update(hashlib.file_digest(file, "sha256").digest())
        n = len(self.paths)
        version = "1 file" if n == 1 else f"{n} files"
        return Snapshot("files", version, digest.hexdigest(), self.license, "")

    def records(self) -> Iterator[StructureRecord | Refusal]:
        unmatched = set(self.table)
        for path in self.paths:
            for entry in read_file(path, self.license):
                unmatched.discard(entry.material_id)
                if isinstance(entry, StructureRecord) and self.table:
                    empty = dict.fromkeys(next(iter(self.table.values())))
                    targets = self.table.get(entry.material_id, empty)
                    entry = replace(entry, properties={**entry.properties, **targets})
                yield entry
        if unmatched:
            raise InputError(
                f"{self.table_path}: no structure for {named(unmatched)}; "
                "its first column must hold the ids of the structures"
            )


def find(pattern: Path) -> list[Path]:
    """The structure files a path, folder or glob stands for, sorted; InputError where there are none."""
    if pattern.is_dir():
        paths = [p for p in sorted(pattern.rglob("*")) if p.is_file() and kind(p)]
    elif pattern.exists():
        paths = [pattern]
    else:
        paths = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207 (absolute patterns too)
        paths = [path for path in paths if path.is_file()]
    if not paths:
        raise InputError(f"--input {pattern}: no CIF, POSCAR, extxyz or JSON file there")
    for path in paths:
        if not kind(path):
            raise InputError(
                f"{path}: unknown kind of file; known: POSCAR, CONTCAR, {', '.join(SUFFIXES)}"
            )
    return paths


def kind(path: Path) -> str:
    """The file's format, from its name; empty where it is none of ours."""
    if path.name.upper().startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        return ""
    return {"vasp": "poscar", "xyz": "extxyz", "jsonl": "json"}.get(suffix[1:], suffix[1:])


def read_file(path: Path, license: str = "unknown") -> Iterator[StructureRecord | Refusal]:
    """Every structure of one file; a file or an entry that can't be read is one Refusal."""
    stem = path.stem
    if path.name.upper() in ("POSCAR", "CONTCAR"):
        stem = path.resolve().parent.name
    fields = {"license": license}
    try:
        entries = ENTRIES[kind(path)](path)
        first_two = list(islice(entries, 2))
        if not first_two:
            yield Refusal(stem, "unreadable", "EmptyFile", f"{path.name} holds no structure")
        for number, entry in enumerate(chain(first_two, entries)):
            yield record_of(entry, stem if len(first_two) == 1 else f"{stem}-{number}", fields)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # parsers fail in many ways; the file becomes a row with the reason
        yield Refusal(stem, "unreadable", type(error).__name__, f"{path.name}: {error}"[:500])


def cif_entries(path: Path) -> Iterator[Any]:
    return cif_structures(path.read_text(errors="replace"))


def cif_structures(text: str) -> Iterator[Any]:
    """The structures of a CIF's text, cells as given."""
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = CifParser.from_str(text)
        yield from parser.parse_structures(primitive=False, check_occu=True)


def poscar_entries(path: Path) -> Iterator[Any]:
    from pymatgen.io.vasp import Poscar

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield Poscar.from_str(path.read_text()).structure


def extxyz_entries(path: Path) -> Iterator[Any]:
    from ase.io import iread
    from pymatgen.io.ase import AseAtomsAdaptor

    for atoms in iread(path, index=":", format="extxyz"):
        if not atoms.cell.rank == 3:
            raise ValueError("no Lattice in the comment line")
        structure = AseAtomsAdaptor.get_structure(atoms)
        named_entry = {key: atoms.info[key] for key in ID_KEYS if key in atoms.info}
        if named_entry:
            yield {**atoms.info, **named_entry, "structure": structure.as_dict()}
        else:
            yield structure, dict(atoms.info)


def json_entries(path: Path) -> Iterator[Any]:
    """One dictionary, a list of them (streamed), or one a line."""
    import ijson

    with path.open("rb") as file:
        start = file.read(64).lstrip()[:1]
        file.seek(0)
        if start == b"[":
            yield from ijson.items(file, "item", use_float=True)
            return
        first = file.readline()
        try:
            yield json.loads(first)
        except json.JSONDecodeError:  # one dictionary over many lines
            file.seek(0)
            yield json.load(file)
            return
        for line in file:
            if line.strip():
                yield json.loads(line)


ENTRIES = {
    "cif": cif_entries,
    "poscar": poscar_entries,
    "extxyz": extxyz_entries,
    "json": json_entries,
}


def read_table(path: Path) -> dict[str, dict[str, Value]]:
    """Targets by id, from a CSV with a header whose first column holds the ids."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise InputError(f"--properties {path}: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"--properties {path} is not a CSV table: {error}") from error
    if len(rows) < 2 or len(rows[0]) < 2:
        raise InputError(f"--properties {path}: needs a header, an id column and a property column")
    header: list[str] = [split_unit(name)[0] for name in rows[0]]
    table: dict[str, dict[str, Value]] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError(
                f"--properties {path}, line {number}: {len(row)} values under {len(header)} names"
            )
        if row[0] in table:
            raise InputError(f"--properties {path}, line {number}: {row[0]} is there twice")
        table[row[0]] = dict(zip(header[1:], map(value_of, row[1:]), strict=True))
    return table


def table_units(path: Path) -> dict[str, str]:
    """Units by property, from the header of a CSV whose columns are named `name:unit`."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        columns = [split_unit(name) for name in next(csv.reader(file))[1:]]
    return {name: unit for name, unit in columns if unit is not None}


def check_units(path: Path, table: dict[str, dict[str, Value]], units: Mapping[str, str]) -> None:
    """Refuse a table of targets with numbers of an unknown unit.

    Args:
        path: The table, for the message.
        table: Its values, as `read_table` gives them.
        units: Units by property, from the header and from --units.

    Raises:
        InputError: A property has numbers, but no unit; the message shows what to add.
    """
    kinds: dict[str, set[bool]] = {}  # of the values of each property: whether they are numbers
    for row in table.values():
        for name, value in row.items():
            if value is not None:
                kinds.setdefault(name, set()).add(isinstance(value, int | float))
    numbers = [name for name, are_numbers in kinds.items() if are_numbers == {True}]
    if missing := without_unit(numbers, units):
        words = " ".join(shlex.quote(f"{name}=UNIT") for name in missing)
        raise InputError(
            f"--properties {path}: the unit of {', '.join(missing)} is not known; add --units {words} "
            f"with the units, 1 for a number without one, or write the column's name as "
            f"{missing[0]}:UNIT"
        )
