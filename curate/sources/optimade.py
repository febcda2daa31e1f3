"""Source `optimade`: any server that speaks OPTIMADE, such as OQMD, Alexandria or COD."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlsplit

from curate.errors import InputError
from curate.licenses import is_unknown
from curate.record import SkippedEntry, StructureRecord
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
from curate.sources.optimade_entries import DEEPEST, FIELD, STRUCTURE, record_of_entry
from curate.web.bounds import is_address

if TYPE_CHECKING:
    from curate.sources.optimade_client import OptimadeReader

NO_NUMBERS = {"string", "timestamp", "list", "dictionary", "array", "object"}
PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
UNIT = re.compile(r"[\w^*/.,()% °Å²³⁻¹·µ-]{1,60}")
LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")  # a name in SPDX
NOT_IN_NAMES = re.compile(r"[^\w .,:;/()+@&'-]")
LONGEST_NAME = 120  # characters
log = logging.getLogger(__name__)
LONGEST_LIST = 4_000  # characters of field names that fit into an address


@dataclass(frozen=True)
class OptimadeSettings(SourceSettings):
    """Which server is asked, and for which structures."""

    db: ClassVar[str] = "optimade"

    input: tuple[str, ...] = field(default=(), metadata=IN_SNAPSHOT)
    """The server's address, as https://oqmd.org/optimade; of several, ids begin with their database."""
    filter: str | None = None
    """Which structures, in OPTIMADE's words: 'elements HAS ALL "Ga","N" AND nelements=2'; all of them
    where it is left out."""
    license: str = field(default="unknown", metadata=IN_SNAPSHOT)
    """Licence of the structures, in place of what the server says."""

    def check(self) -> None:
        if not self.input:
            raise InputError("--db optimade needs --input URL")
        if len(set(self.input)) < len(self.input):
            raise InputError("--input names a server twice")

    def open(self, request: Request) -> Source:
        if len(self.input) > 1:
            servers = [Optimade(url, self.filter, self.license) for url in self.input]
            return SeveralServers(servers, request.previous)
        return Optimade(self.input[0], self.filter, self.license, request.previous)


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
        if "@" in urlsplit(url.replace("[", "").replace("]", "")).netloc:
            raise InputError(
                "--input holds a user name or a password, which the dataset's card would show; give "
                "an address without one"
            )
        if not is_address(url):
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
        if part(info.data, "attributes").get("is_index"):
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
        provider, program = part(meta, "provider"), part(meta, "implementation")
        self.database = self._database(provider.get("prefix"))
        told = license_of(info.data)
        self.license = told if told and is_unknown(self.stated_license) else self.stated_license
        known = (
            f"OPTIMADE {name_of(meta.get('api_version')) or '1'}",
            " ".join(filter(None, map(name_of, (program.get("name"), program.get("version"))))),
            _entries(count_of(meta.get("data_returned")), count_of(meta.get("data_available"))),
        )
        return Snapshot(
            database=self.database,
            version=", ".join(filter(None, known)),
            sha256="",
            license=self.license,
            citation=" ".join(
                filter(None, (name_of(provider.get("name")), link_of(provider.get("homepage"))))
            ),
            url=self.address,
        )

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        return (entry for _, entry in self.entries_after(None))

    def entries_after(self, position: Position | None) -> Iterator[tuple[Position, Entry]]:
        start, n_before, n_skipped = None, 0, 0
        if position is not None:
            start, n_before, n_skipped = (position[name] for name in ("page", "before", "entry"))
        n_entries = n_before
        for page in self.client.pages(self.filter, self.fields, start, n_before):
            before = n_entries
            for number, entry in enumerate(page.data, 1):
                n_entries += 1
                if n_skipped:
                    n_skipped -= 1
                    continue
                place = {"page": page.address, "before": before, "entry": number}
                if not isinstance(entry, dict) or not has_id(entry):
                    yield (
                        place,
                        SkippedEntry(
                            f"entry {n_entries}",
                            "unreadable",
                            "NoEntry",
                            "it has no id, or one that is no line of up to 200 characters",
                        ),
                    )
                else:
                    yield place, record_of_entry(entry, self.database, self.license)
        told = count_of(self.first.meta.get("data_returned"))
        if told is not None and told != n_entries:
            raise InputError(
                f"{self.url} announced {told:,} structures and sent {n_entries:,}; run the same "
                "command again later"
            )

    def _database(self, prefix: Any) -> str:
        """What the database is called: its provider's prefix, or where it has none its address."""
        if isinstance(prefix, str) and PREFIX.fullmatch(prefix):
            return prefix
        if prefix:
            log.warning("%s: its provider's prefix is no name and is left out", self.url)
        return self.url

    def known_fields(self) -> list[str] | None:
        """The properties to ask for by name: some servers send their own only then.

        None, the server's choice, where it does not describe them or the list is too long.
        """
        described = part(self.client.info("/structures").data, "properties")
        numbers = {
            name: said
            for name, said in described.items()
            if name.startswith("_")
            and isinstance(said, dict)
            and (is_number(said) or is_nested(said))
        }
        if odd := [name for name in numbers if not FIELD.fullmatch(name)]:
            log.warning("%s: left out: %d properties with odd names", self.url, len(odd))
        numbers = {name: said for name, said in numbers.items() if FIELD.fullmatch(name)}
        for name, unit in units_in(numbers):
            if isinstance(unit, str) and UNIT.fullmatch(unit):
                self.units[name] = "1" if unit == "dimensionless" else unit
            else:
                log.warning("%s: the unit of %s is left out, it is none: %r", self.url, name, unit)
        fields = [name for name in STRUCTURE if name in described] + sorted(numbers)
        return fields if described and len(",".join(fields)) < LONGEST_LIST else None


class SeveralServers:
    """The structures of several OPTIMADE servers, one server after the other.

    Ids of different databases may be equal: each begins with its database, as `oqmd:1234`.
    """

    def __init__(self, servers: Sequence[Optimade], previous: PreviousRun | None = None):
        self.servers = servers
        self.previous = previous
        self.units: dict[str, str] = {}

    def snapshot(self) -> Snapshot:
        addresses = " ".join(server.address for server in self.servers)
        stated = self.servers[0].stated_license
        if self.previous is not None and self.previous.is_complete:
            before = self.previous.snapshot
            is_same = is_unknown(stated) or stated == before.license
            return replace(before, url=addresses, license=before.license if is_same else stated)
        parts = [server.snapshot() for server in self.servers]
        names = [part.database for part in parts]
        self.names = [
            server.url if names.count(name) > 1 else name
            for name, server in zip(names, self.servers, strict=True)
        ]
        for server in self.servers:
            for name, unit in server.units.items():
                if self.units.setdefault(name, unit) != unit:
                    raise InputError(
                        f"{server.url} gives {name} in {unit}, another server in "
                        f"{self.units[name]}; build them apart"
                    )
        licenses = {part.license for part in parts}
        return Snapshot(
            database=", ".join(self.names),
            version="; ".join(part.version for part in parts),
            sha256="",
            license=licenses.pop() if len(licenses) == 1 else "per row",
            citation="; ".join(part.citation for part in parts),
            url=addresses,
        )

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        return (entry for _, entry in self.entries_after(None))

    def entries_after(self, position: Position | None) -> Iterator[tuple[Position, Entry]]:
        first, within = 0, None
        if position is not None:
            first, within = position["server"], position["within"]
        for number in range(first, len(self.servers)):
            for place, entry in self.servers[number].entries_after(within):
                name = f"{self.names[number]}:{entry.material_id}"
                yield {"server": number, "within": place}, replace(entry, material_id=name)
            within = None


def license_of(info: Mapping[str, Any]) -> str | None:
    """The licence of the whole database: its SPDX identifiers, or the address of its text."""
    attributes = part(info, "attributes")
    known, link = attributes.get("available_licenses"), attributes.get("license")
    if isinstance(known, list) and known:
        names = [name for name in known if isinstance(name, str) and LICENSE.fullmatch(name)]
        return " OR ".join(names) if len(names) == len(known) else None  # one of them may forbid
    link = link.get("href") if isinstance(link, dict) else link
    return link_of(link) or (link if isinstance(link, str) and LICENSE.fullmatch(link) else None)


def is_number(described: Mapping[str, Any]) -> bool:
    """Whether a property may hold numbers or yes and no, as a server describes it."""
    types = described.get("x-optimade-type") or described.get("type") or ()
    return NO_NUMBERS.isdisjoint(map(str, types if isinstance(types, list) else [types]))


def is_nested(described: Mapping[str, Any]) -> bool:
    """Whether a property is a dictionary, which may hold numbers, as a server describes it."""
    types = described.get("x-optimade-type") or described.get("type") or ()
    told = map(str, types if isinstance(types, list) else [types])
    return not {"dictionary", "object"}.isdisjoint(told)


def units_in(
    described: Mapping[str, Any], way: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """The units that a server tells, by property, also of those within dictionaries."""
    for name, said in described.items():
        if not isinstance(said, dict):
            continue
        unit = said.get("x-optimade-unit") or said.get("unit")
        if unit and unit != "inapplicable":
            yield f"{way}{name}", unit
        if depth < DEEPEST:
            yield from units_in(part(said, "properties"), f"{way}{name}.", depth + 1)


def part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within an answer; empty where there is none."""
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def has_id(entry: Mapping[str, Any]) -> bool:
    """Whether an entry has an id that can name it in tables, cards and messages."""
    known = entry.get("id")
    if isinstance(known, bool) or not isinstance(known, str | int):
        return False
    return 0 < len(str(known)) <= 200 and str(known).isprintable() and bool(str(known).strip())


def name_of(told: Any) -> str | None:
    """A name or version as a server tells it, on one line, without what Markdown or HTML read."""
    if not isinstance(told, str | int | float):
        return None
    return " ".join(NOT_IN_NAMES.sub(" ", str(told)[: 2 * LONGEST_NAME]).split())[:LONGEST_NAME]


def link_of(told: Any) -> str | None:
    """An address as a server tells it; None for what is none."""
    told = told.get("href") if isinstance(told, dict) else told
    is_link = isinstance(told, str) and len(told) <= 300 and is_address(told)
    return told if is_link and not re.search(r"[<>\"'`|()\[\]{}]", told) else None


def count_of(told: Any) -> int | None:
    """A number of entries as a server tells it; None for what is none."""
    is_count = isinstance(told, int) and not isinstance(told, bool) and 0 <= told < 10**15
    return told if is_count else None


def _entries(returned: int | None, available: int | None) -> str:
    of = f" of {available:,}" if available is not None else ""
    return f"{returned:,}{of} structures" if returned is not None else ""
