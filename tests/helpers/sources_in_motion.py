"""A source whose database moves on between a build and its update."""

from dataclasses import replace

from builds import Crystals, some

from curate.record import SkippedEntry
from curate.sources.base import Entry, Snapshot


class Moving(Crystals):
    """A service: whether what it holds is as before is known only when it is read."""

    def __init__(self, records, version: str = "1", database: str = "test"):
        super().__init__(records)
        self.version, self.database, self.n_read = version, database, 0

    def snapshot(self) -> Snapshot:
        return Snapshot(self.database, self.version, "", "CC0-1.0", "")

    def records(self):
        self.n_read += 1
        yield from self.given


def moved(n: int) -> tuple[list[Entry], list[Entry]]:
    """n crystals and an alloy, and what becomes of them.

    The third is withdrawn; the first and the last of the crystals are strained, the fourth is measured again,
    and one comes in behind it.
    """
    before: list[Entry] = list(some(n))
    before.append(SkippedEntry("alloy", "disordered", "DisorderedStructure", "site 0 holds Cu, Au"))
    now = [*before[:2], *before[3:]]
    for place in (0, n - 2):
        lattice = tuple(tuple(1.01 * x for x in row) for row in now[place].lattice_vectors)
        now[place] = replace(now[place], lattice_vectors=lattice)
    measured = {**now[2].properties, "optb88vdw_bandgap": 7.5}
    now[2] = replace(now[2], properties=measured)
    now.insert(3, replace(some(n + 1)[n], material_id="a-new-one"))
    return before, now
