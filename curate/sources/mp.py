"""Source `mp`: the Materials Project, the whole database in bulk or a list of ids."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curate.batches import in_batches
from curate.errors import InputError
from curate.properties import MATERIALS_PROJECT
from curate.record import SkippedEntry, StructureRecord
from curate.sources.base import PreviousRun, Request, Snapshot, Source, SourceSettings
from curate.sources.mp_documents import (
    DATABASE,
    FIELDS,
    LICENSES,
    NONCOMMERCIAL,
    TEXT_FIELDS,
    WITHDRAWN_FIELDS,
    asked_id,
    objection,
    record_of_document,
    shown_id,
)

if TYPE_CHECKING:
    import pyarrow.dataset as ds

    from curate.sources.mp_client import MPClient

IDS_A_CALL = 500  # the client's address becomes too long for the server above 1,000
ROWS_AT_ONCE = 512
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MPSettings(SourceSettings):
    """Which entries of the Materials Project are taken, and with which texts."""

    db: ClassVar[str] = "mp"

    descriptions: Literal["own", "published"] = "own"
    """Describe each crystal, or take the texts that the Materials Project publishes."""
    include_noncommercial: bool = False
    """Take entries under CC BY-NC as well; your account must have accepted their terms."""

    def open(self, request: Request) -> Source:
        return MaterialsProject(
            ids=request.ids,
            published=self.descriptions == "published",
            noncommercial=self.include_noncommercial,
            previous=request.previous,
        )

    def canonical_id(self, given: str) -> str:
        return asked_id(given)


class MaterialsProject:
    """Entries that are not withdrawn and that come under CC BY 4.0.

    Without ids the current snapshot is downloaded whole, once a database version; other entries are
    left out and counted in the log. An id that was asked for and is left out is a SkippedEntry.
    """

    def __init__(
        self,
        ids: Iterable[str] | None = None,
        published: bool = False,
        noncommercial: bool = False,
        previous: PreviousRun | None = None,
        client: MPClient | None = None,
    ):
        self.ids = sorted(ids) if ids is not None else None
        self.published = published
        self.noncommercial = noncommercial
        is_ours = previous is not None and previous.snapshot.database == DATABASE
        self.previous = previous if is_ours else None
        self._client = client

    @property
    def client(self) -> MPClient:
        if self._client is None:
            from curate.sources.mp_client import MPClient

            self._client = MPClient()
        return self._client

    def snapshot(self) -> Snapshot:
        if self.previous is not None and self.previous.is_complete:
            return self.previous.snapshot
        self.served = self.version = self.client.version()
        if self.ids is None:
            self.summary = self.summary_table()
            self.version = version_of(self.summary)
        if self.previous is not None and self.previous.snapshot.version != self.version:
            raise InputError(
                f"the Materials Project was updated from {self.previous.snapshot.version} to "
                f"{self.version} before all entries were read; give --out a new folder"
            )
        return Snapshot(
            database=DATABASE,
            version=self.version,
            sha256="",
            license="per row" if self.noncommercial else LICENSES["BY-C"],
            citation=MATERIALS_PROJECT.citation,
            url="https://materialsproject.org",
        )

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        return self.all_entries() if self.ids is None else self.listed_entries(self.ids)

    def listed_entries(self, ids: Iterable[str]) -> Iterator[StructureRecord | SkippedEntry]:
        """The entries of a list of ids, each a record or a SkippedEntry, by REST."""
        for asked in in_batches(ids, IDS_A_CALL):
            documents = by_id(self.client.summaries(asked, FIELDS))
            if absent := [material_id for material_id in asked if material_id not in documents]:
                documents |= by_id(self.client.summaries(absent, WITHDRAWN_FIELDS, deprecated=True))
            texts = by_id(self.client.texts(asked, TEXT_FIELDS)) if self.published else {}
            for material_id in asked:
                yield self.entry(material_id, documents.get(material_id), texts.get(material_id))
        if (now := self.client.version()) != self.version:
            raise InputError(
                f"the Materials Project was updated from {self.version} to {now} while it was read; "
                "give --out a new folder"
            )

    def entry(
        self, material_id: str, document: dict[str, Any] | None, text: dict[str, Any] | None
    ) -> StructureRecord | SkippedEntry:
        """The record of an id, or why there is none."""
        if document is None:
            reason = ("NoEntry", f"the Materials Project {self.version} has no such entry")
        elif found := objection(document, self.noncommercial):
            reason = found
        elif self.published and text is None:
            reason = ("NoPublishedText", "the Materials Project publishes no text for it")
        else:
            return record_of_document(document, text)
        return SkippedEntry(material_id, "left_out", *reason)

    def all_entries(self) -> Iterator[StructureRecord | SkippedEntry]:
        """Every entry of the snapshot, from its bulk tables; those left out are logged."""
        texts = Texts(dataset_of(self.table("robocrys"))) if self.published else None
        left_out: Counter[str] = Counter()
        for document in documents_of(dataset_of(self.summary), FIELDS):
            if found := objection(document, self.noncommercial):
                left_out[found[0]] += 1
                continue
            text = texts.get(document["material_id"]) if texts is not None else None
            yield self.entry(shown_id(document["material_id"]), document, text)
        for kind, n in sorted(left_out.items()):
            log.info("left out: %d entries, %s", n, kind)

    def summary_table(self) -> Path:
        """The bulk table of all entries, with those under BY-NC where they are asked for."""
        folder = self.table("summary")
        if self.noncommercial and not has_noncommercial(folder):
            # It may be from before the account accepted their terms.
            folder = self.table("summary", renew=True)
            if not has_noncommercial(folder):
                raise InputError(
                    "--include-noncommercial: the account of this API key gets no such entries; "
                    "accept GNoME's terms at https://next-gen.materialsproject.org or leave it out"
                )
        return folder

    def table(self, collection: str, renew: bool = False) -> Path:
        """A bulk table's part of the version that is served, or its newest."""
        folder = self.client.table(collection, self.served, renew)
        parts = sorted(folder.glob("version=*"))
        if not parts:
            raise InputError(f"the Materials Project's bulk table {collection} is empty")
        return next((path for path in parts if version_of(path) == self.served), parts[-1])


class Texts:
    """Published texts by stored id; as one Arrow table they take a third of the memory of strings."""

    def __init__(self, dataset: ds.Dataset):
        self.table = dataset.to_table(columns=list(TEXT_FIELDS)).combine_chunks()
        ids = self.table["material_id"].to_pylist()
        self.rows = {material_id: row for row, material_id in enumerate(ids)}

    def get(self, stored_id: str) -> dict[str, Any] | None:
        """The document with the text; None where none is published."""
        row = self.rows.get(stored_id)
        return None if row is None else self.table.slice(row, 1).to_pylist()[0]


def by_id(documents: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Documents by the id that papers write."""
    return {shown_id(document["material_id"]): document for document in documents}


def documents_of(dataset: ds.Dataset, fields: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The rows of a bulk table as dictionaries of the fields, a few hundred in memory at a time."""
    batches = dataset.to_batches(
        columns=list(fields), batch_size=ROWS_AT_ONCE, batch_readahead=2, fragment_readahead=1
    )
    for batch in batches:
        yield from batch.to_pylist(maps_as_pydicts="strict")


def dataset_of(folder: Path) -> ds.Dataset:
    import pyarrow.dataset as ds

    return ds.dataset(folder, format="parquet")


def version_of(folder: Path) -> str:
    """The database version of one part of a bulk table."""
    return folder.name.removeprefix("version=")


def has_noncommercial(folder: Path) -> bool:
    import pyarrow.dataset as ds

    license = ds.field("builder_meta", "license")
    return dataset_of(folder).count_rows(filter=license == NONCOMMERCIAL) > 0
