"""Bonds of all sites of a crystal, from the neighbours of one site of each orbit.

Stands in for `StructureGraph`.

The library keeps the bonds in a graph of dictionaries and rebuilds a site object, through JSON
types, each time a neighbour is looked at. Here a neighbour is a site number, a cell and a distance.
The order of neighbours is the library's: nearest first, and among equal distances the order of a
set of tuples with the same hashes.
"""

from __future__ import annotations

from typing import NamedTuple

import networkx as nx
import numpy as np
from pymatgen.core import Structure
from pymatgen.core.graphs import StructureGraph

from curate.describe.fast.neighbors import Neighbors
from curate.describe.fast.symmetry import Orbits

Image = tuple[int, int, int]
HERE: Image = (0, 0, 0)


class Bonded(NamedTuple):
    """A neighbour; compares and hashes as pymatgen's ConnectedSite does, whose site hashes as Z."""

    z: int
    image: Image
    site: int
    weight: int
    distance: float  # Å


class Bonds:
    """The bonds of a structure, in both directions."""

    def __init__(self, structure: Structure, neighbors: dict[int, Neighbors], orbits: Orbits):
        self.structure = structure
        self.graph = nx.MultiDiGraph()
        self.graph.add_nodes_from(range(len(structure)))
        for site, (index, images) in enumerate(_mapped(structure, neighbors, orbits)):
            for other, image in zip(index, images, strict=True):
                self._add(site, other, tuple(image))
        self._z = [sum(element.Z for element in site.species) for site in structure]
        self._base: dict[int, list[tuple[int, Image, float]]] = {}
        self._shells: dict[tuple[int, Image], list[Bonded]] = {}

    def of(self, site: int, image: Image = HERE) -> list[Bonded]:
        """Neighbours of a site in the cell `image`, nearest first."""
        key = (site, image)
        if key not in self._shells:
            x, y, z = image
            found = {
                Bonded(self._z[other], (dx + x, dy + y, dz + z), other, 1, distance)
                for other, (dx, dy, dz), distance in self._neighbors_here(site)
            }
            self._shells[key] = sorted(found, key=lambda bonded: bonded.distance)
        return self._shells[key]

    def pymatgen_graph(self) -> StructureGraph:
        """The library's own graph, for what still asks for one."""
        made = StructureGraph.from_empty_graph(self.structure, name="bonds")
        made.graph.add_edges_from(self.graph.edges(data=True))
        made.set_node_attributes()
        return made

    def _add(self, first: int, second: int, image: Image) -> None:
        """One edge for each bond: from the lower site, first non-zero image number positive."""
        if second < first:
            first, second, image = second, first, (-image[0], -image[1], -image[2])
        elif second == first and next(x for x in image if x != 0) < 0:
            image = (-image[0], -image[1], -image[2])
        present = self.graph.get_edge_data(first, second)
        if present is None or all(edge["to_jimage"] != image for edge in present.values()):
            self.graph.add_edge(first, second, to_jimage=image, weight=1)

    def _neighbors_here(self, site: int) -> list[tuple[int, Image, float]]:
        if site not in self._base:
            seen: dict[tuple[int, Image], None] = {}
            for _, other, image in self.graph.out_edges(site, data="to_jimage"):
                seen[other, image] = None
            for other, _, (x, y, z) in self.graph.in_edges(site, data="to_jimage"):
                seen[other, (-x, -y, -z)] = None
            frac, matrix = self.structure.frac_coords, self.structure.lattice.matrix
            self._base[site] = [
                # the library's arithmetic, step by step: equal distances must stay equal
                (
                    other,
                    image,
                    float(np.linalg.norm(np.dot(image + frac[other] - frac[site], matrix))),
                )
                for other, image in seen
            ]
        return self._base[site]


def _mapped(structure: Structure, neighbors: dict[int, Neighbors], orbits: Orbits):
    """Bonded site numbers and images for each site, the representative's neighbours turned."""
    frac = structure.frac_coords
    for site, representative in enumerate(orbits.representative.tolist()):
        found = neighbors[representative]
        index, image = found.index[: found.n_bonds], found.image[: found.n_bonds]
        if site != representative and len(index):
            turned = (frac[index] + image) @ orbits.rotation[site].T
            turned += orbits.translation[site] - orbits.shift[site]
            off = turned[:, None] - frac  # (bonds, n, 3)
            whole = np.round(off)
            distance = np.linalg.norm((off - whole) @ structure.lattice.matrix, axis=2)
            index = distance.argmin(axis=1)
            image = whole[np.arange(len(index)), index].astype(int)
        yield index.tolist(), image.tolist()
