"""A source whose pages workers can turn into entries; one that is told to kills them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from builds import Crystals, some

from curate.errors import InputError
from curate.sources.base import Entry, Position


def numbered(n: int) -> list:
    """Crystals of the sample under the ids c-0, c-1, …"""
    known = some(6)
    return [replace(known[number % 6], material_id=f"c-{number}") for number in range(n)]


@dataclass(frozen=True)
class PageOfCrystals:
    """Some entries; `ends` is the id of one that no process survives."""

    rows: Sequence[Entry]
    first: int
    ends: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def entries(self) -> list[Entry]:
        for entry in self.rows:
            if entry.material_id == self.ends:
                os._exit(3)
        return list(self.rows)

    def position(self, number: int) -> Position:
        return {"next": self.first + number + 1}

    def row(self, number: int) -> PageOfCrystals:
        return replace(self, rows=self.rows[number : number + 1], first=self.first + number)

    def name(self, number: int) -> str:
        return f"row {self.first + number}"


class Paged(Crystals):
    """Entries in pages of `size`; `breaks_at` is the number of one that can't be read."""

    def __init__(self, records, size: int = 3, breaks_at: int | None = None, **ill: str):
        super().__init__(records)
        self.size, self.breaks_at, self.ill = size, breaks_at, ill
        self.unique_by = ("material_id",)

    def pages_after(self, position):
        first = 0 if position is None else position["next"]
        while first < len(self.given):
            if self.breaks_at is not None and first + self.size > self.breaks_at:
                raise InputError(f"row {self.breaks_at} can't be read")
            yield PageOfCrystals(self.given[first : first + self.size], first, **self.ill)
            first += self.size

    def entries_after(self, position):
        for page in self.pages_after(position):
            for number, entry in enumerate(page.entries()):
                yield page.position(number), entry
