"""The run folder: the record that defines it, its shards, and what is left to do.

    RUN/run.json                  the record: settings, versions, source snapshot
    RUN/structures/00000.parquet  the source's entries; structures.json when they are complete
    RUN/descriptions/00000.parquet  the texts of structures/00000.parquet, in the same order
    RUN/dataset/                  what is pushed

Each file is written atomically, so the files that exist say what is left to do.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.files import write_json, write_table
from curate.record import Description, SkippedEntry, StructureRecord
from curate.run.schema import DESCRIPTIONS, RECORD_FIELDS, STRUCTURES, record_of_row

ABANDONED = 3600.0  # s; a temporary file that old belongs to a process that was killed


class Run:
    """A folder that holds one build."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.settings_file = folder / "run.json"
        self.structures = folder / "structures"
        self.structures_file = folder / "structures.json"
        self.descriptions = folder / "descriptions"
        self.verification_file = folder / "verification.json"
        self.dataset = folder / "dataset"

    @classmethod
    def load(cls, folder: Path) -> Run:
        """An existing run; InputError if the folder is not one."""
        run = cls(folder)
        if not run.settings_file.is_file():
            raise InputError(f"{folder} is not a run folder (no run.json)")
        return run

    @property
    def settings_record(self) -> dict[str, Any]:
        """Settings, versions and source snapshot this run was started with."""
        return json.loads(self.settings_file.read_text())

    def check_settings(
        self, record: dict[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Start the run with these settings, or check that it was started with them.

        Args:
            record: Snapshot, settings and versions that define the run.
            defaults: Settings that count as recorded where either side does not name them.

        Raises:
            InputError: The run was started with other settings, or the folder holds other files.
        """
        if not self.settings_file.exists():
            if self.folder.is_dir() and any(p.name != ".lock" for p in self.folder.iterdir()):
                raise InputError(f"{self.folder} holds other files; give --out a new folder")
            write_json(self.settings_file, record)
            return
        new = json.loads(json.dumps(record))  # as it would be read back
        old = self.settings_record
        for each in (old, new):
            each["settings"] = {**(defaults or {}), **each["settings"]}
        if differences := list(_differences(old, new)):
            raise InputError(
                f"{self.folder} was started with other settings ({'; '.join(differences)}); "
                "repeat them or give --out a new folder"
            )

    @contextmanager
    def lock(self, wait: bool = False) -> Iterator[None]:
        """Lock the folder for this process.

        Needed to start a run, to write the source's entries and to write the dataset, not to describe
        a shard.

        Args:
            wait: Wait for another process that holds the lock, instead of raising InputError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise InputError(f"another build is at work in {self.folder}") from None
            yield

    @property
    def verification(self) -> dict[str, Any] | None:
        """The result of the last `curate verify`; None if it has not been run."""
        if not self.verification_file.exists():
            return None
        return json.loads(self.verification_file.read_text())

    @property
    def fetched(self) -> dict[str, Any] | None:
        """Counts, property types and units of the source's entries; None until all are written."""
        if not self.structures_file.exists():
            return None
        return json.loads(self.structures_file.read_text())

    def finish_fetching(self, summary: dict[str, Any]) -> None:
        """Record that all entries are written; shards beyond them are removed."""
        for number in self.shards():
            if number >= summary["shards"]:
                shard_file(self.structures, number).unlink()
        write_json(self.structures_file, summary)

    def shards(self) -> list[int]:
        """Numbers of the structure shards."""
        return sorted(int(path.stem) for path in self.structures.glob("*.parquet"))

    def described_shards(self) -> list[int]:
        """Numbers of the shards whose descriptions are complete."""
        return sorted(int(path.stem) for path in self.descriptions.glob("*.parquet"))

    def missing_shards(self) -> list[int]:
        """Numbers of the shards that are yet to be described."""
        return sorted(set(self.shards()) - set(self.described_shards()))

    def is_described(self, number: int) -> bool:
        """Whether the descriptions of a shard are complete."""
        return shard_file(self.descriptions, number).exists()

    @property
    def is_dataset_current(self) -> bool:
        """Whether the dataset was written after the last shard was described and units were stated."""
        written = [path.stat().st_mtime_ns for path in self.dataset.glob("*/*.parquet")]
        read = [
            *self.descriptions.glob("*.parquet"),
            self.structures_file,
        ]  # the latter has the units
        return bool(written) and min(written) > max(path.stat().st_mtime_ns for path in read)

    def sweep(self) -> None:
        """Remove what killed processes left of shards they were writing."""
        for path in self.descriptions.glob("*.partial"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()

    def sizes(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        """Atoms of each entry of these shards; 0 where it could not become a record."""
        found = {}
        for number in numbers:
            path = shard_file(self.structures, number)
            species = pq.read_table(path, columns=["species_at_sites"])["species_at_sites"]
            found[number] = pc.fill_null(pc.list_value_length(species), 0).to_pylist()
        return found

    def read_structures(self, number: int) -> list[StructureRecord | SkippedEntry]:
        """The entries of one shard."""
        rows = pq.read_table(shard_file(self.structures, number)).to_pylist()
        return [_entry(row) for row in rows]

    def read_descriptions(self, number: int) -> list[Description]:
        """The descriptions of one shard, in the order of its structures."""
        rows = pq.read_table(shard_file(self.descriptions, number)).to_pylist()
        return [Description(**row) for row in rows]

    def write_structures(self, number: int, entries: list[StructureRecord | SkippedEntry]) -> None:
        """Save one shard of the source's entries."""
        table = pa.Table.from_pylist([_row(entry) for entry in entries], schema=STRUCTURES)
        write_table(shard_file(self.structures, number), table)

    def write_descriptions(self, number: int, descriptions: list[Description]) -> None:
        """Save the finished descriptions of one shard."""
        table = pa.Table.from_pylist([asdict(d) for d in descriptions], schema=DESCRIPTIONS)
        write_table(shard_file(self.descriptions, number), table)


def shard_file(folder: Path, number: int) -> Path:
    """`folder/00007.parquet`"""
    return folder / f"{number:05d}.parquet"


def _row(entry: StructureRecord | SkippedEntry) -> dict[str, Any]:
    if isinstance(entry, SkippedEntry):
        return asdict(entry)
    row = {name: getattr(entry, name) for name in RECORD_FIELDS}
    return {**row, "properties": json.dumps(dict(entry.properties))}


def _entry(row: dict[str, Any]) -> StructureRecord | SkippedEntry:
    if row["status"] is not None:
        return SkippedEntry(
            row["material_id"], row["status"], row["error_type"], row["error_message"]
        )
    properties = json.loads(row["properties"])
    return replace(record_of_row(row), properties=properties, note=row["note"])


def _differences(old: Mapping, new: Mapping, path: str = "") -> Iterator[str]:
    for key in {**old, **new}:
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from _differences(before, now, f"{path}{key} ")
        elif before != now:
            yield f"{path}{key} was {before}, now {now}"
