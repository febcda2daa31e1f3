"""Source `hub`: datasets with OPTIMADE's columns on the Hugging Face Hub, as LeMat-Bulk and our own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.errors import InputError
from curate.hub_name import is_hub_name
from curate.licenses import is_unknown
from curate.sources.base import (
    IN_SNAPSHOT,
    Entry,
    Position,
    PreviousRun,
    Request,
    Snapshot,
    Source,
    SourceSettings,
)
from curate.sources.hub_files import data_files
from curate.sources.hub_rows import FINGERPRINTS, HubPage, columns_of

if TYPE_CHECKING:
    from curate.sources.hub_reader import HubReader

COMMIT = re.compile(r"commit ([0-9a-f]{40}), ")  # in the version of a snapshot
# Units of columns whose files do not tell them, by the owner of the dataset; energies are of the cell.
UNITS = {
    "LeMaterial": {
        "energy": "eV",
        "energy_corrected": "eV",
        "total_magnetization": "μB",
    }
}


@dataclass(frozen=True)
class HubSettings(SourceSettings):
    """Which dataset on the Hub is read, and what of it."""

    db: ClassVar[str] = "hub"

    input: str | None = field(default=None, metadata=IN_SNAPSHOT)
    """The dataset, OWNER/NAME, as LeMaterial/LeMat-Bulk; HF_TOKEN is used where it is set."""
    config: str | None = None
    """Which of its configs, as compatible_pbe; may be left out where there is one, or a default."""
    split: str = "train"
    """Which split."""
    revision: str | None = None
    """Branch, tag or commit; a build keeps to the commit that it began with."""
    descriptions: Literal["own", "published"] = "own"
    """Describe each crystal, or take the texts of the dataset's column `description`."""
    unique: Literal["id", "fingerprint"] = "id"
    """Leave out, with the reason, rows whose id came before, or also those whose fingerprint did
    (column entalpic_fingerprint or bawl_fingerprint)."""
    license: str = field(default="unknown", metadata=IN_SNAPSHOT)
    """Licence of the structures, in place of what the dataset says."""

    def check(self) -> None:
        if self.input is None:
            raise InputError("--db hub needs --input OWNER/NAME")
        if not is_hub_name(self.input):
            raise InputError(
                "--input is not the name of a dataset on the Hub: write OWNER/NAME, as "
                "LeMaterial/LeMat-Bulk"
            )
        for name in ("config", "split", "revision"):
            value = getattr(self, name)
            if value is not None and (not value.strip() or not value.isprintable()):
                raise InputError(f"--{name} is empty or holds control characters")

    def open(self, request: Request) -> Source:
        return HubDataset(self, request.previous)


class HubDataset:
    """The rows of one config and split, at one commit, in the order of the files' names."""

    is_fixed = True

    def __init__(
        self,
        settings: HubSettings,
        previous: PreviousRun | None = None,
        reader: HubReader | None = None,
    ):
        self.settings = settings
        self.name = settings.input or ""
        is_ours = previous is not None and previous.snapshot.database == self.name
        self.previous = previous if is_ours else None
        self._reader = reader
        self.units: dict[str, str] = {}  # by property, as the dataset tells them
        self.unique_by: tuple[str, ...] = ("material_id",)

    @property
    def reader(self) -> HubReader:
        if self._reader is None:
            from curate.sources.hub_reader import HubReader

            self._reader = HubReader(self.name)
        return self._reader

    def snapshot(self) -> Snapshot:
        stated = self.settings.license
        commit = None
        if self.previous is not None:
            before = self.previous.snapshot
            is_same = is_unknown(stated) or stated == before.license
            now = replace(before, license=before.license if is_same else stated)
            if self.previous.is_complete or now != before:  # the run names the difference
                return now
            known = COMMIT.match(before.version)
            commit = known[1] if known else None
        self.commit = commit or self.reader.commit(self.settings.revision)
        card = self.reader.card(self.commit)
        found = data_files(
            self.name,
            self.reader.paths(self.commit),
            card,
            self.settings.config,
            self.settings.split,
        )
        self.paths = found.paths
        schema = self.reader.schema(self.commit, self.paths[0])
        self.columns = columns_of(schema, self.name)
        self._check_columns()
        self.units = {**UNITS.get(self.name.split("/")[0], {}), **self.columns.units}
        self.units = {
            name: unit for name, unit in self.units.items() if name in self.columns.properties
        }
        license = stated if not is_unknown(stated) else license_in(card)
        self.license = license or "unknown"
        return Snapshot(
            database=self.name,
            version=f"commit {self.commit}, config {found.config}, split {self.settings.split}",
            sha256="",
            license=self.license,
            citation=f"dataset {self.name} on the Hugging Face Hub",
            url=f"{self.reader.address}/tree/{self.commit}",
        )

    def records(self) -> Iterator[Entry]:
        return (entry for _, entry in self.entries_after(None))

    def entries_after(self, position: Position | None) -> Iterator[tuple[Position, Entry]]:
        for page in self.pages_after(position):
            for number, entry in enumerate(page.entries()):
                yield page.position(number), entry

    def pages_after(self, position: Position | None) -> Iterator[HubPage]:
        first, start = 0, 0
        if position is not None:
            if position.get("file") not in self.paths or not isinstance(position.get("row"), int):
                raise InputError(
                    f"{self.name} has no file {position.get('file')} any more; give --out a new folder"
                )
            first, start = self.paths.index(position["file"]), position["row"]
        is_stated = not is_unknown(self.settings.license)
        is_published = self.settings.descriptions == "published"
        defaults = {"source": self.name, "license": self.license}
        for path in self.paths[first:]:
            schema = self.reader.schema(self.commit, path)
            columns = columns_of(schema, f"{self.name}, {path}")
            if columns.id != self.columns.id:
                raise InputError(
                    f"{self.name}, {path} names its crystals by {columns.id}, {self.paths[0]} by "
                    f"{self.columns.id}"
                )
            for number, rows in self.reader.batches(self.commit, path, columns.names, start):
                yield HubPage(rows, path, number, columns, defaults, is_stated, is_published)
            start = 0

    def _check_columns(self) -> None:
        """InputError where the settings need a column that the dataset has not."""
        if self.settings.descriptions == "published" and "description" not in self.columns.others:
            raise InputError(
                f"{self.name} has no column description; leave --descriptions published out"
            )
        if self.settings.unique == "fingerprint":
            if self.columns.fingerprint is None:
                raise InputError(
                    f"{self.name} has no column {' or '.join(FINGERPRINTS)}; leave --unique out"
                )
            self.unique_by = ("material_id", self.columns.fingerprint)


def license_in(card: Any) -> str | None:
    """The licence that a card states; None where it states none, or several."""
    told = card.get("license_name") if card.get("license") == "other" else card.get("license")
    if isinstance(told, list):
        told = told[0] if len(told) == 1 else None
    is_name = isinstance(told, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_ -]{0,63}", told)
    return told if is_name else None
