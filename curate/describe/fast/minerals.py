"""Robocrystallographer's table of minerals, its prototypes reduced once and kept in a file.

Reading the library's own table takes pandas and a second of reducing 180 cells. What results is
kept in curate/data/minerals.npz and holds for the releases that made it; with others the table is
made from the library, once a process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice

from curate.describe.fast.prototypes import ReducedCell
from curate.describe.fast.reduction import Cell, reduced_cell

FILE = Path(str(files("curate") / "data" / "minerals.npz"))
MADE_BY = ("robocrys", "pymatgen-core")


@dataclass(frozen=True)
class Minerals:
    """The table's rows, in the library's order."""

    names: list[str]
    n_elements: np.ndarray  # (m,) of the prototype
    n_sites: np.ndarray  # (m,) of the prototype's cell as listed
    fingerprints: np.ndarray  # (m, 122)
    cells: list[ReducedCell]

    @classmethod
    def load(cls) -> Minerals:
        """The table from the file where it holds for the installed releases, else from the library."""
        with np.load(FILE, allow_pickle=False) as table:
            header = json.loads(table["header"].tobytes())
            if header["versions"] != _versions():
                return cls.from_library()
            ends = table["ends"]
            frac, kind = np.split(table["frac"], ends[:-1]), np.split(table["kind"], ends[:-1])
            return cls(
                names=header["names"],
                n_elements=table["n_elements"],
                n_sites=table["n_sites"],
                fingerprints=table["fingerprints"],
                cells=[
                    ReducedCell(Lattice(matrix), *cell)
                    for matrix, *cell in zip(table["lattices"], frac, kind, strict=True)
                ],
            )

    @classmethod
    def from_library(cls) -> Minerals:
        """The table as robocrys has it, with its prototypes reduced here."""
        from robocrys.condense.mineral import MineralMatcher

        table = MineralMatcher().mineral_db
        return cls(
            names=table["mineral"].to_list(),
            n_elements=table["n_elems"].to_numpy(),
            n_sites=np.array([len(structure) for structure in table["structure"]]),
            fingerprints=np.array(table["fingerprint"].tolist(), float),
            cells=[ReducedCell.of(reduced_cell(Cell.of(s))) for s in table["structure"]],
        )

    def save(self, path: Path = FILE) -> None:
        """Write the table for the installed releases; the same bytes each time."""
        header = {"versions": _versions(), "names": self.names}
        np.savez_compressed(
            path,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            n_elements=self.n_elements,
            n_sites=self.n_sites,
            fingerprints=self.fingerprints,
            lattices=np.stack([cell.lattice.matrix for cell in self.cells]),
            ends=np.cumsum([len(cell.kind) for cell in self.cells]),
            frac=np.concatenate([cell.frac for cell in self.cells]),
            kind=np.concatenate([cell.kind for cell in self.cells]),
        )


def proportions(counts: Iterable[int]) -> tuple[int, ...]:
    """Atoms of each element in the smallest formula, sorted: the same under exchange of elements."""
    counts = list(counts)
    divisor = math.gcd(*counts)
    return tuple(sorted(count // divisor for count in counts))


def _versions() -> dict[str, str]:
    return {name: version(name) for name in MADE_BY}


if __name__ == "__main__":  # makes the file anew: python -m curate.describe.fast.minerals
    Minerals.from_library().save()
