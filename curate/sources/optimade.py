"""Source `optimade`: any server that speaks OPTIMADE, such as OQMD, Alexandria or COD."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from curate.errors import InputError
from curate.licenses import is_unknown
from curate.record import SkippedEntry, StructureRecord
from curate.sources.base import (
    IN_SNAPSHOT,
    PreviousRun,
    Request,
    Snapshot,
    Source,
    SourceSettings,
)
from curate.sources.optimade_entries import STRUCTURE, record_of_entry

if TYPE_CHECKING:
    from curate.sources.optimade_client import OptimadeReader

NO_NUMBERS = {"string", "timestamp", "list", "dictionary", "array", "object"}
LONGEST_LIST = 4_000  # characters of field names that fit into an address


@dataclass(frozen=True)
class OptimadeSettings(SourceSettings):
    """Which server is asked, and for which structures."""

    db: ClassVar[str] = "optimade"

    input: str | None = field(default=None, metadata=IN_SNAPSHOT)
    """The server's address, as https://oqmd.org/optimade."""
    filter: str | None = None
    """Which structures, in OPTIMADE's words: 'elements HAS ALL "Ga","N" AND nelements=2'; all of them
    where it is left out."""
    license: str = field(default="unknown", metadata=IN_SNAPSHOT)
    """Licence of the structures, in place of what the server says."""

    def check(self) -> None:
        if self.input is None:
            raise InputError("--db optimade needs --input URL")

    def open(self, request: Request) -> Source:
        return Optimade(self.input or "", self.filter, self.license, request.previous)


class Optimade:
    """The structures of an OPTIMADE server that a filter picks, with the provider's own numbers."""

    def __init__(
        self,
        url: str,
        filter: str | None = None,
        license: str = "unknown",  # stated by the user; else what the server says
        previous: PreviousRun | None = None,
        client: OptimadeReader | None = None,
    ):
        if not re.fullmatch(r"https?://[^/\s]+\S*", url):
            raise InputError(
                f"--input {url} is not an address; --db optimade needs a server's, such as "
                "https://oqmd.org/optimade"
            )
        self.url = re.sub(r"(/v\d+(\.\d+)*)?/*$", "", url)
        self.filter = filter
        self.stated_license = license
        self.previous = previous
        self._client = client
        query = f"?filter={quote(filter)}" if filter else ""
        self.address = f"{self.url}/v1/structures{query}"
        self.units: dict[str, str] = {}  # by property, as the server tells them

    @property
    def client(self) -> OptimadeReader:
        if self._client is None:
            if find_spec("optimade") is None:
                raise InputError(
                    "--db optimade needs optimade-python-tools: pip install 'crysmmnet[optimade]'"
                )
            from curate.sources.optimade_client import OptimadeReader

            self._client = OptimadeReader(self.url)
        return self._client

    def snapshot(self) -> Snapshot:
        if self.previous is not None:
            before = self.previous.snapshot
            is_same = is_unknown(self.stated_license) or self.stated_license == before.license
            license = before.license if is_same else self.stated_license
            now = replace(before, url=self.address, license=license)
            if self.previous.is_complete or now != before:  # the run names the difference
                return now
        info = self.client.info()
        if (info.data.get("attributes") or {}).get("is_index"):
            raise InputError(
                f"{self.url} is an index of databases; give the address of one of those that "
                f"{self.url}/v1/links names"
            )
        self.fields = self.known_fields()
        self.first = next(self.client.pages(self.filter, self.fields))
        meta = {**info.meta, **self.first.meta}
        if not self.first.data:
            asked = f" for --filter {self.filter!r}" if self.filter else ""
            raise InputError(f"{self.url} has no structures{asked}")
        provider, program = meta.get("provider") or {}, meta.get("implementation") or {}
        self.database = str(provider.get("prefix") or self.url)
        told = license_of(info.data)
        self.license = told if told and is_unknown(self.stated_license) else self.stated_license
        known = (
            f"OPTIMADE {meta.get('api_version') or '1'}",
            " ".join(filter(None, (program.get("name"), program.get("version")))),
            _entries(meta.get("data_returned"), meta.get("data_available")),
        )
        return Snapshot(
            database=self.database,
            version=", ".join(filter(None, known)),
            sha256="",
            license=self.license,
            citation=" ".join(filter(None, (provider.get("name"), provider.get("homepage")))),
            url=self.address,
        )

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        n_entries = 0
        for page in self.client.pages(self.filter, self.fields):
            for entry in page.data:
                n_entries += 1
                if not isinstance(entry, dict) or not entry.get("id"):
                    yield SkippedEntry(
                        f"entry {n_entries}", "unreadable", "NoEntry", "it has no id"
                    )
                else:
                    yield record_of_entry(entry, self.database, self.license)
        told = self.first.meta.get("data_returned")
        if isinstance(told, int) and told != n_entries:
            raise InputError(
                f"{self.url} announced {told:,} structures and sent {n_entries:,}; run the same "
                "command again later"
            )

    def known_fields(self) -> list[str] | None:
        """The properties to ask for by name: some servers send their own only then.

        None, the server's choice, where it does not describe them or the list is too long.
        """
        described = self.client.info("/structures").data.get("properties") or {}
        numbers = {
            name: said
            for name, said in described.items()
            if name.startswith("_") and isinstance(said, dict) and is_number(said)
        }
        for name, said in numbers.items():
            unit = said.get("x-optimade-unit") or said.get("unit")
            if unit and unit != "inapplicable":
                self.units[name] = "1" if unit == "dimensionless" else str(unit)
        fields = [name for name in STRUCTURE if name in described] + sorted(numbers)
        return fields if described and len(",".join(fields)) < LONGEST_LIST else None


def license_of(info: Mapping[str, Any]) -> str | None:
    """The licence of the whole database: its SPDX identifiers, or the address of its text."""
    attributes = info.get("attributes") or {}
    if known := attributes.get("available_licenses"):
        return " OR ".join(map(str, known))
    link = attributes.get("license")
    return (link.get("href") if isinstance(link, dict) else link) or None


def is_number(described: Mapping[str, Any]) -> bool:
    """Whether a property may hold numbers or yes and no, as a server describes it."""
    types = described.get("x-optimade-type") or described.get("type") or ()
    return NO_NUMBERS.isdisjoint([types] if isinstance(types, str) else map(str, types))


def _entries(returned: int | None, available: int | None) -> str:
    of = f" of {available:,}" if available is not None else ""
    return f"{returned:,}{of} structures" if returned is not None else ""
