"""The run folder: the record that defines it, its shards, and what is left to do.

    RUN/run.json                  the record: settings, versions, source snapshot
    RUN/structures/00000.parquet  the source's entries; structures.json when they are complete, before that
                                  reading.json says where an interrupted build goes on
    RUN/descriptions/00000.parquet  the texts of structures/00000.parquet, in the same order
    RUN/parts/                    finished files of the dataset, until all are (`curate.dataset.parts`)
    RUN/claims/                   which tasks describe which shard, while many do (`curate.work.claims`)
    RUN/update/                   the source read again, until it takes the run's place (`curate.run.update`)
    RUN/kept/00000.parquet        the texts that an update kept of a shard whose others are yet to be written
    RUN/changes/00000.parquet     what updates changed, in the order of the updates
    RUN/dataset/                  what is pushed; dataset.json says of which shards it was made

Each file is written atomically, so the files that exist say what is left to do, and holds a digest that is
compared when it is read (`curate.run.sealed`). A shard names the run and the shard that it belongs to.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError
from curate.files import PARTIAL, sha256_of, sweep
from curate.record import Description, SkippedEntry, StructureRecord
from curate.run.schema import CHANGES, DESCRIPTIONS, RECORD_FIELDS, STRUCTURES, record_of_row
from curate.run.sealed import (
    KEY,
    DamagedFile,
    SealedTable,
    digest_of,
    open_table,
    parse_record,
    read_record,
    write_record,
    write_table,
)

log = logging.getLogger(__name__)

RECORD_KEYS = ("source", "settings", "describe", "versions")  # of run.json
FETCHED_KEYS = ("entries", "shards", "properties", "read_on")  # of structures.json
READING_KEYS = ("run", "shards", "position")  # of reading.json
UPDATE = "update"  # folder within a run's, a run's as well, with the source as it is now
READY = "ready.json"  # in it, from when it is whole until all of it is in its place
SPECIES = "species_at_sites"


@dataclass(frozen=True)
class ShardSize:
    """How many entries a shard has, and of how many atoms."""

    entries: int
    atoms: int  # of all entries together
    largest: int  # of its largest entry

    @classmethod
    def from_species(cls, species: pa.ChunkedArray) -> ShardSize:
        """The size of a shard by its column of the species at all sites, null where there is no record."""
        atoms = pc.fill_null(pc.list_value_length(species), 0)
        return cls(len(species), pc.sum(atoms).as_py() or 0, pc.max(atoms).as_py() or 0)


class Run:
    """A folder that holds one build."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.settings_file = folder / "run.json"
        self.structures = folder / "structures"
        self.structures_file = folder / "structures.json"
        self.reading_file = folder / "reading.json"
        self.descriptions = folder / "descriptions"
        self.kept = folder / "kept"
        self.changes = folder / "changes"
        self.claims = folder / "claims"
        self.parts = folder / "parts"
        self.verification_file = folder / "verification.json"
        self.dataset = folder / "dataset"
        self.dataset_file = folder / "dataset.json"

    @classmethod
    def load(cls, folder: Path) -> Run:
        """An existing run; InputError if the folder is not one."""
        run = cls(folder)
        if not run.settings_file.is_file():
            raise InputError(f"{folder} is not a run folder (no run.json)")
        if (folder / UPDATE / READY).exists():
            raise InputError(
                f"an update of {folder} is taking its place; if its command was stopped, run it again"
            )
        return run

    @property
    def settings_record(self) -> dict[str, Any]:
        """Settings, versions and source snapshot this run was started with; DamagedFile if unreadable."""
        return read_record(self.settings_file, RECORD_KEYS)

    def check_settings(
        self, record: dict[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> None:
        """Start the run with these settings, or check that it was started with them.

        A run.json that is missing or can't be read is written again where all shards say that they were
        made with these settings.

        Args:
            record: Snapshot, settings and versions that define the run.
            defaults: Settings that count as recorded where either side does not name them.

        Raises:
            InputError: The run was started with other settings, or the folder holds other files.
        """
        new = json.loads(json.dumps(record))  # as it would be read back
        try:
            old = parse_record(self.settings_file, RECORD_KEYS)
        except DamagedFile as error:
            if not self._agrees(new):
                if self.settings_file.exists():
                    raise InputError(
                        f"{self.settings_file} is damaged ({error.reason}), and the shards were not made "
                        "with these settings; repeat those of the run or give --out a new folder"
                    ) from error
                raise InputError(
                    f"{self.folder} holds other files; give --out a new folder"
                ) from None
            if self.settings_file.exists():
                log.warning("%s is written again (%s)", self.settings_file, error.reason)
            write_record(self.settings_file, new)
            return
        digest = old.pop(KEY, None)
        is_damaged = digest is not None and digest != digest_of(old)
        for each in (old, new):
            each["settings"] = {**(defaults or {}), **each["settings"]}
        if found := list(differences(old, new)):
            or_damaged = ", or its run.json is damaged: its digest does not fit" * is_damaged
            raise InputError(
                f"{self.folder} was started with other settings ({'; '.join(found)}){or_damaged}; "
                "repeat them or give --out a new folder"
            )
        if is_damaged:
            write_record(self.settings_file, record)

    def _agrees(self, record: dict[str, Any]) -> bool:
        """Whether the folder holds nothing but shards that were made with these settings."""
        files = [
            path
            for path in (self.folder.iterdir() if self.folder.is_dir() else ())
            if path.name not in (".lock", self.settings_file.name)
            and not PARTIAL.fullmatch(path.name)
        ]
        if not files:
            return True
        shards = [*self.structures.glob("*.parquet"), *self.descriptions.glob("*.parquet")]
        with suppress(DamagedFile):
            runs = {open_table(path).about.get("run") for path in shards}
            return runs == {digest_of(record)}
        return False

    @contextmanager
    def lock(self, wait: bool = False) -> Iterator[None]:
        """Lock the folder for this process.

        Needed to start a run, to write the source's entries and to write the dataset, not to describe
        a shard.

        Args:
            wait: Wait for another process that holds the lock, instead of raising InputError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        with os.fdopen(descriptor, "r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise InputError(f"another build is at work in {self.folder}") from None
            self.sweep()
            yield

    @property
    def verification(self) -> dict[str, Any] | None:
        """The result of the last `curate verify`; None if it has not been run."""
        if not self.verification_file.exists():
            return None
        return read_record(self.verification_file)

    @property
    def fetched(self) -> dict[str, Any] | None:
        """Counts, property types and units of the source's entries; None until all are written.

        Raises DamagedFile where they can't be read.
        """
        if not self.structures_file.exists():
            return None
        return read_record(self.structures_file, FETCHED_KEYS)

    def finish_fetching(self, summary: dict[str, Any]) -> None:
        """Record that all entries are written; shards beyond them are removed."""
        for number in self.shards():
            if number >= summary["shards"]:
                shard_file(self.structures, number).unlink()
        write_record(self.structures_file, summary)
        self.reading_file.unlink(missing_ok=True)

    @property
    def reading(self) -> dict[str, Any] | None:
        """How many shards an interrupted build wrote, and the position of their last entry in the source.

        None where it can't be resumed. Raises DamagedFile where the record is not as it was written.
        """
        if not self.reading_file.exists():
            return None
        reading = read_record(self.reading_file, READING_KEYS)
        if reading["run"] != digest_of(self.settings_record):
            raise DamagedFile(self.reading_file, "it belongs to another run")
        return reading

    def record_reading(self, n_shards: int, position: Mapping[str, Any]) -> None:
        """Record that so many shards are written, and the position of their last entry in the source."""
        run = digest_of(self.settings_record)
        write_record(
            self.reading_file, {"run": run, "shards": n_shards, "position": dict(position)}
        )

    def check_shards(self, n: int) -> None:
        """DamagedFile where one of the first n structure shards is not as it was written."""
        for number in range(n):
            self._open(self.structures, number)

    def shards(self) -> list[int]:
        """Numbers of the structure shards."""
        return _numbers(self.structures)

    def described_shards(self) -> list[int]:
        """Numbers of the shards whose descriptions are complete."""
        return _numbers(self.descriptions)

    def missing_shards(self) -> list[int]:
        """Numbers of the shards that are yet to be described."""
        return sorted(set(self.shards()) - set(self.described_shards()))

    def is_described(self, number: int) -> bool:
        """Whether the descriptions of a shard are complete."""
        return shard_file(self.descriptions, number).exists()

    @property
    def is_dataset_current(self) -> bool:
        """Whether the dataset is as it was written, from the entries, texts and units that the run has."""
        try:
            made_of = read_record(self.dataset_file, ("made_of", "files"))
        except DamagedFile:
            return False
        return made_of["made_of"] == self.contents() and not self.damaged_dataset_files()

    @property
    def is_dataset_newest(self) -> bool:
        """Whether the dataset was recorded after every text, by the file system's clock.

        A sign that another task wrote it just now, which spares reading everything; whether it is what the
        run says, `is_dataset_current` knows.
        """
        if not self.dataset_file.is_file():
            return False
        texts = (path.stat().st_mtime_ns for path in self.descriptions.glob("*.parquet"))
        return self.dataset_file.stat().st_mtime_ns >= max(texts, default=0)

    def contents(self, known: Mapping[Path, bytes] | None = None) -> dict[str, str | None]:
        """What a dataset is made of: a digest of settings, entries, units and texts, and one of the
        verification.

        Args:
            known: SHA-256 of files that need not be read again.
        """
        total = hashlib.sha256()
        known = known or {}
        files = [self.settings_file, self.structures_file]
        files += [shard_file(self.structures, number) for number in self.shards()]
        files += [shard_file(self.descriptions, number) for number in self.described_shards()]
        files += [shard_file(self.changes, number) for number in self.changes_shards()]
        for path in files:
            total.update(f"{path.relative_to(self.folder)}\0".encode())
            total.update(known.get(path) or sha256_of(path))
        is_verified = self.verification_file.exists()
        verified = sha256_of(self.verification_file).hex() if is_verified else None
        return {"shards": total.hexdigest(), "verification": verified}

    def record_dataset(self, made_of: Mapping[str, str | None], digests: Mapping[str, str]) -> None:
        """Record of what the dataset was made, and the SHA-256 of each of its files."""
        write_record(self.dataset_file, {"made_of": dict(made_of), "files": dict(digests)})

    def damaged_dataset_files(self) -> list[DamagedFile]:
        """The dataset's files that are not as they were written; those of version 0.1.0 have no digests."""
        if not self.dataset_file.exists():
            return []
        try:
            written = read_record(self.dataset_file, ("made_of", "files"))["files"]
        except DamagedFile as error:
            return [error]
        found = []
        for name, digest in written.items():
            path = self.dataset / name
            if not path.is_file():
                found.append(DamagedFile(path, "it is missing"))
            elif sha256_of(path).hex() != digest:
                found.append(DamagedFile(path, "its bytes do not fit its digest"))
        for path in sorted(self.dataset.glob("*/*.parquet")):
            if str(path.relative_to(self.dataset)) not in written:
                found.append(DamagedFile(path, "it is not the dataset's"))
        return found

    def sweep(self) -> None:
        """Remove what killed processes left of files they were writing."""
        names = ("structures", "descriptions", "kept", "changes", "parts", "dataset")
        for folder in (self.folder, *(self.folder / name for name in names)):
            sweep(folder)

    def damage(self) -> list[DamagedFile]:
        """Every file that is missing or is not as it was written, each with the reason."""
        found: list[DamagedFile] = []

        def attempt(check: Callable[[], object]) -> None:
            try:
                check()
            except DamagedFile as error:
                found.append(error)

        attempt(lambda: self.settings_record)
        attempt(lambda: self.verification)
        found += self.damaged_structures()
        found += self.damaged_descriptions()
        found += _damaged(self.read_changes, self.changes_shards())
        if self.dataset.exists() and not self.dataset_file.exists() and self._identity()[0]:
            found.append(DamagedFile(self.dataset_file, "it is missing"))
        return found + self.damaged_dataset_files()

    def damaged_structures(self) -> list[DamagedFile]:
        """The damaged files of the source's entries; none while these are not complete."""
        try:
            fetched = self.fetched
        except DamagedFile as error:
            return [error]
        numbers = range(fetched["shards"]) if fetched else ()
        return _damaged(lambda number: self._open(self.structures, number), numbers)

    def damaged_descriptions(self, numbers: Iterable[int] | None = None) -> list[DamagedFile]:
        """The damaged files of these shards' texts, or of all; also those that belong to other structures."""
        return _damaged(
            self._open_descriptions, self.described_shards() if numbers is None else numbers
        )

    def drop_damaged_verification(self) -> None:
        """Remove the result of a verification that can't be read."""
        try:
            _ = self.verification
        except DamagedFile as error:
            log.warning("%s is removed (%s); curate verify writes it", error.path, error.reason)
            error.path.unlink()

    def drop_damaged_descriptions(self, numbers: Iterable[int] | None = None) -> None:
        """Remove the damaged files of texts, which are then described again; DamagedFile where the
        structures are damaged."""
        for error in self.damaged_descriptions(numbers):
            if error.path.parent != self.descriptions:  # the structures that they belong to
                raise error
            log.warning("%s is described again (%s)", error.path, error.reason)
            error.path.unlink(missing_ok=True)

    def sizes(self, numbers: Iterable[int]) -> dict[int, ShardSize]:
        """The sizes of these shards, as they were recorded; of a run without a fitting record, measured."""
        fetched = self.fetched or {}
        recorded = [ShardSize(*size) for size in fetched.get("sizes", ())]
        if sum(size.entries for size in recorded) == fetched.get("entries"):
            return {number: recorded[number] for number in numbers}
        return {
            number: ShardSize.from_species(self.structure_table(number, [SPECIES])[SPECIES])
            for number in numbers
        }

    def ids(self, number: int) -> list[str]:
        """The ids of one shard's entries."""
        return self._open(self.structures, number).read(["material_id"])["material_id"].to_pylist()

    def structure_table(self, number: int, columns: list[str]) -> pa.Table:
        """Some columns of one shard's entries; DamagedFile as for all of them."""
        return self._open(self.structures, number).read(columns)

    def read_structures(self, number: int) -> list[StructureRecord | SkippedEntry]:
        """The entries of one shard; DamagedFile where it is not as it was written."""
        shard = self._open(self.structures, number)
        try:
            return [_entry(row) for row in shard.read().to_pylist()]
        except (KeyError, TypeError, ValueError) as error:
            raise (
                error
                if isinstance(error, DamagedFile)
                else DamagedFile(shard.path, f"a row can't be read: {error}")
            ) from error

    def read_descriptions(self, number: int) -> list[Description]:
        """The descriptions of one shard; DamagedFile where it is not as it was written."""
        shard = self._open_descriptions(number)
        try:
            return [Description(**row) for row in shard.read().to_pylist()]
        except TypeError as error:
            raise DamagedFile(shard.path, f"a row can't be read: {error}") from error

    def description_table(self, number: int, columns: list[str]) -> pa.Table:
        """Some columns of one shard's descriptions; DamagedFile as for all of them."""
        return self._open_descriptions(number).read(columns)

    def read_pairs(
        self, number: int
    ) -> Iterator[tuple[StructureRecord | SkippedEntry, Description]]:
        """The entries of one shard in the source's order, each with the description of its id.

        Raises DamagedFile where an entry has none.
        """
        by_id = {found.material_id: found for found in self.read_descriptions(number)}
        for entry in self.read_structures(number):
            if entry.material_id not in by_id:
                path = shard_file(self.descriptions, number)
                raise DamagedFile(path, f"it has no row for {entry.material_id}")
            yield entry, by_id[entry.material_id]

    def write_structures(self, number: int, entries: pa.Table) -> None:
        """Save one shard of the source's entries, a table that `table_of` made."""
        write_table(shard_file(self.structures, number), entries, self._about(number))

    def write_descriptions(
        self, number: int, descriptions: list[Description], structures: str | None = None
    ) -> None:
        """Save the finished descriptions of one shard.

        Args:
            number: Of the shard.
            descriptions: Of its entries, in their order.
            structures: What `structures_digest` was when the entries were read, where an update may have
                replaced them since; by default what it is now.
        """
        self._write_descriptions(self.descriptions, number, descriptions, structures)
        shard_file(self.kept, number).unlink(missing_ok=True)

    def keep_descriptions(self, number: int, descriptions: list[Description]) -> None:
        """Save those descriptions of a shard that an update kept, until the others are finished."""
        self._write_descriptions(self.kept, number, descriptions)

    def kept_descriptions(self, number: int) -> dict[str, Description]:
        """The descriptions of a shard that an update kept, by id."""
        if not shard_file(self.kept, number).exists():
            return {}
        try:
            rows = self._open_descriptions(number, self.kept).read().to_pylist()
        except DamagedFile as error:
            log.warning("the texts of %s are written again (%s)", error.path, error.reason)
            return {}
        return {row["material_id"]: Description(**row) for row in rows}

    def _write_descriptions(
        self,
        folder: Path,
        number: int,
        descriptions: list[Description],
        structures: str | None = None,
    ) -> None:
        table = pa.Table.from_pylist([asdict(d) for d in descriptions], schema=DESCRIPTIONS)
        digest = structures or self.structures_digest(number)
        write_table(
            shard_file(folder, number), table, {**self._about(number), "structures": digest}
        )

    def changes_shards(self) -> list[int]:
        """Numbers of the files that say what updates changed."""
        return _numbers(self.changes)

    def read_changes(self, number: int) -> list[dict[str, Any]]:
        """What updates changed, as rows of the table CHANGES; DamagedFile where the file is not as it was."""
        shard = open_table(shard_file(self.changes, number))
        if shard.about.get("shard") != str(number):
            raise DamagedFile(shard.path, f"it is shard {shard.about.get('shard')}")
        return shard.read().to_pylist()

    def write_changes(self, number: int, rows: list[dict[str, Any]]) -> None:
        """Save a part of what an update changed."""
        table = pa.Table.from_pylist(rows, schema=CHANGES)
        write_table(shard_file(self.changes, number), table, {"shard": str(number)})

    def _about(self, number: int) -> dict[str, str]:
        """What is recorded with a shard: the run that it belongs to, and its number."""
        return {"run": digest_of(self.settings_record), "shard": str(number)}

    def structures_digest(self, number: int) -> str:
        """SHA-256 of the file of a shard's entries, by which descriptions name what they were written for."""
        return sha256_of(shard_file(self.structures, number)).hex()

    def _identity(self) -> tuple[bool, str | None]:
        """Whether the run's files hold digests, and what its shards call it, unless run.json is damaged."""
        try:
            record = parse_record(self.settings_file, RECORD_KEYS)
        except DamagedFile:
            return True, None
        digest, run = record.pop(KEY, None), digest_of(record)
        return digest is not None, run if digest in (None, run) else None

    def _open(self, folder: Path, number: int) -> SealedTable:
        """A shard of this run; DamagedFile where it is damaged or another's."""
        path = shard_file(folder, number)
        shard = open_table(path)
        is_sealed, run = self._identity()
        if is_sealed and shard.digest is None:
            raise DamagedFile(path, "it has no digest: it was not written by the build")
        if run is not None and shard.about.get("run", run) != run:
            raise DamagedFile(path, "it belongs to another run")
        if shard.about.get("shard", str(number)) != str(number):
            raise DamagedFile(path, f"it is shard {shard.about['shard']}")
        if shard.digest is None:  # of version 0.1.0: whether it can be read at all
            shard.read(["material_id"])
        return shard

    def _open_descriptions(self, number: int, folder: Path | None = None) -> SealedTable:
        """The texts of a shard; DamagedFile where they are damaged or not those of its structures."""
        shard = self._open(folder or self.descriptions, number)
        if not shard_file(self.structures, number).exists():
            raise DamagedFile(shard.path, "there are no structures that it belongs to")
        if shard.digest is None:
            if shard.read(["material_id"])["material_id"].to_pylist() != self.ids(number):
                raise DamagedFile(shard.path, "its ids are not those of its structures")
        elif shard.about.get("structures") != self.structures_digest(number):
            raise DamagedFile(shard.path, "it was written for other structures")
        return shard


def shard_file(folder: Path, number: int) -> Path:
    """`folder/00007.parquet`"""
    return folder / f"{number:05d}.parquet"


def _numbers(folder: Path) -> list[int]:
    """Numbers of the shards in a folder."""
    return sorted(int(path.stem) for path in folder.glob("*.parquet") if path.stem.isdecimal())


def _damaged(check: Callable[[int], object], numbers: Iterable[int]) -> list[DamagedFile]:
    """What a check says against each of the shards."""
    found = []
    for number in numbers:
        try:
            check(number)
        except DamagedFile as error:
            found.append(error)
    return found


def table_of(entries: Iterable[StructureRecord | SkippedEntry]) -> pa.Table:
    """The source's entries as a shard holds them."""
    return pa.Table.from_pylist([_row(entry) for entry in entries], schema=STRUCTURES)


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


def differences(old: Mapping, new: Mapping, path: str = "") -> Iterator[str]:
    """What differs between two records, in words."""
    for key in {**old, **new}:
        before, now = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(now, dict):
            yield from differences(before, now, f"{path}{key} ")
        elif before != now:
            yield f"{path}{key} was {before}, now {now}"
