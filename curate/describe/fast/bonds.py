"""Bonds of all sites of a crystal, from the neighbours of one site of each orbit.

Stands in for `StructureGraph`.

The library keeps the bonds in a graph of dictionaries and rebuilds a site object, through JSON
types, each time a neighbour is looked at. Here a neighbour is a site number, a cell and a distance.
The order of neighbours is the library's: nearest first, and among equal distances the order of a
set of tuples with the same hashes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from pymatgen.core.graphs import StructureGraph

from curate.describe.fast import rows
from curate.describe.fast.neighbors import Neighbors
from curate.describe.fast.reduction import Cell
from curate.describe.fast.symmetry import CellSymmetry, Orbits

Image = tuple[int, int, int]
HERE: Image = (0, 0, 0)
_distance = itemgetter(4)  # of a Bonded


Place = tuple[int, Image]  # a site in a cell


class Bonded(NamedTuple):
    """A neighbour; compares and hashes as pymatgen's ConnectedSite does, whose site hashes as Z."""

    z: int
    image: Image
    site: int
    weight: int
    distance: float  # Å


class Bonds:
    """The bonds of a structure, in both directions."""

    def __init__(self, symmetry: CellSymmetry, neighbors: dict[int, Neighbors], orbits: Orbits):
        self.structure = symmetry.structure
        self.cell = symmetry.cell
        bonds: dict[tuple[int, int, Image], None] = {}
        for site, (index, images) in enumerate(_mapped(self.cell, neighbors, orbits)):
            for other, image in zip(index, images, strict=True):
                bonds[_once(site, other, tuple(image))] = None
        self.edges = list(bonds)  # first site, second site, and the cell of the second
        self._here = self._neighbors_here()
        self._nearest: dict[int, list[Bonded]] = {}
        self._places: dict[Place, list[Place]] = {}

    def of(self, site: int) -> list[Bonded]:
        """Neighbours of a site, nearest first."""
        if site not in self._nearest:
            self._nearest[site] = sorted(set(self._here[site]), key=_distance)
        return self._nearest[site]

    def around(self, site: int, image: Image) -> list[Place]:
        """Neighbours of a site in the cell `image`, nearest first."""
        place = (site, image)
        if place not in self._places:
            x, y, z = image
            found = {  # plain tuples, which hash as Bonded does
                (number, (dx + x, dy + y, dz + z), other, weight, distance)
                for number, (dx, dy, dz), other, weight, distance in self._here[site]
            }
            self._places[place] = [
                (other, there) for _, there, other, _, _ in sorted(found, key=_distance)
            ]
        return self._places[place]

    def positions(self, places: Iterable[Place]) -> np.ndarray:
        """Å; of sites in cells (n, 3)."""
        index, image = zip(*places, strict=True)
        return rows.times(self.cell.frac[list(index)] + image, self.cell.lattice.matrix)

    def pymatgen_graph(self) -> StructureGraph:
        """The library's own graph, for what still asks for one."""
        made = StructureGraph.from_empty_graph(self.structure, name="bonds")
        for first, second, image in self.edges:
            made.graph.add_edge(first, second, to_jimage=image, weight=1)
        made.set_node_attributes()
        return made

    def _neighbors_here(self) -> list[list[Bonded]]:
        """Of each site, in the order of the library's graph: by the other end, outgoing edges first."""
        frac, kind = self.cell.frac, self.cell.kind.tolist()
        outward: list[dict[int, list[Image]]] = [defaultdict(list) for _ in kind]
        inward: list[dict[int, list[Image]]] = [defaultdict(list) for _ in kind]
        for first, second, (x, y, z) in self.edges:
            outward[first][second].append((x, y, z))
            inward[second][first].append((-x, -y, -z))
        places: list[Iterable[Place]] = [
            dict.fromkeys(
                (other, image) for way in ways for other, images in way.items() for image in images
            )
            for ways in zip(outward, inward, strict=True)
        ]
        here = [site for site, found in enumerate(places) for _ in found]
        index = [other for found in places for other, _ in found]
        images = np.array([image for found in places for _, image in found]).reshape(-1, 3)
        # in the library's arithmetic, since equal distances must stay equal
        off = images + frac[index] - frac[here]
        length = iter(rows.norm(rows.times(off, self.cell.lattice.matrix)).tolist())
        number = [species.Z for species in self.cell.species]
        return [
            [Bonded(number[kind[other]], image, other, 1, next(length)) for other, image in found]
            for found in places
        ]


def _once(first: int, second: int, image: Image) -> tuple[int, int, Image]:
    """One edge for each bond: from the lower site, first non-zero image number positive."""
    x, y, z = image
    if second < first:
        return second, first, (-x, -y, -z)
    if second == first and next(number for number in image if number != 0) < 0:
        return first, second, (-x, -y, -z)
    return first, second, image


def _mapped(cell: Cell, neighbors: dict[int, Neighbors], orbits: Orbits):
    """Bonded site numbers and images for each site, the representative's neighbours turned."""
    frac, matrix = cell.frac, cell.lattice.matrix
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for first, around in neighbors.items():
        index, image = around.index[: around.n_bonds], around.image[: around.n_bonds]
        found[first] = index, image
        others = np.flatnonzero(orbits.representative == first)[1:]
        if not len(others):
            continue
        turned = (frac[index] + image) @ orbits.rotation[others].transpose(0, 2, 1)
        turned += (orbits.translation[others] - orbits.shift[others])[:, None]
        off = turned[:, :, None] - frac  # (others, bonds, n, 3)
        whole = np.round(off)
        distance = (((off - whole) @ matrix) ** 2).sum(axis=3)
        nearest = distance.argmin(axis=2)
        cells = np.take_along_axis(whole, nearest[:, :, None, None], axis=2)[:, :, 0].astype(int)
        found |= dict(zip(others.tolist(), zip(nearest, cells, strict=True), strict=True))
    for site in range(len(frac)):
        index, image = found[site]
        yield index.tolist(), image.tolist()
