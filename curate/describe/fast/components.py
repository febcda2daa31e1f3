"""Connected components of a bonded crystal, with dimensionality and orientation.

Stands in for `pymatgen.analysis.dimensionality.get_structure_components` and for the comparison of
components in `robocrys.condense.component`. The library collects the neighbours of all sites again
for each component, takes ranks by singular values, and builds a structure, a graph and a molecule
for each. Here ranks are exact, on integers, and those objects are made when asked for.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from pymatgen.analysis.dimensionality import zero_d_graph_to_molecule_graph
from pymatgen.core import PeriodicSite, Structure
from pymatgen.core.lattice import get_integer_index
from pymatgen.core.structure_matcher import StructureMatcher

from curate.describe.fast.bonds import HERE, Bonds, Image, Place
from curate.describe.fast.reduction import Cell, reduced_cell

Component = dict[str, Any]


class Part:
    """The sites of one component; has the one attribute of a StructureGraph that robocrys reads."""

    def __init__(self, whole: Structure, sites: tuple[int, ...]):
        self.whole = whole
        self.sites = sorted(sites)

    @cached_property
    def structure(self) -> Structure:
        """The component alone, in the cell of the crystal."""
        if len(self.sites) == len(self.whole):
            return self.whole
        return Structure.from_sites([self.whole[site] for site in self.sites])

    def __deepcopy__(self, memo):
        return self  # robocrys copies all components before it counts them; nothing changes a part


def structure_components(bonds: Bonds) -> list[Component]:
    """The components of a bonded structure, as robocrys expects them (molecule graphs aside)."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(bonds.structure)))
    graph.add_edges_from((first, second) for first, second, _ in bonds.edges)
    components = []
    for nodes in nx.weakly_connected_components(graph):
        sites = tuple(graph.subgraph(nodes).nodes())
        dimensionality = _dimensionality(bonds, sites[0])
        components.append(
            {
                "dimensionality": dimensionality,
                "orientation": _orientation(bonds, sites[0], dimensionality),
                "site_ids": sites,
                "structure_graph": Part(bonds.structure, sites),
            }
        )
    return components


def _dimensionality(bonds: Bonds, start: int) -> int:
    """Number of directions in which a component goes on: the rank of the cells that loops lead through.

    A walk along bonds that ends at the site it began with, in whichever cell, is such a loop.
    """
    images = {start: HERE}  # of each site: where the walk first met it
    loops = _Span()
    loops.add(HERE)
    queue = [start]
    for site in queue:  # grows while it is read
        x, y, z = images[site]
        for bonded in bonds.of(site):
            dx, dy, dz = bonded.image
            there = (x + dx, y + dy, z + dz)
            first = images.setdefault(bonded.site, there)
            if first is there:
                queue.append(bonded.site)
            elif first != there and loops.grows(loop := _off(there, first)):
                loops.add(loop)
                if loops.is_full:
                    return 3
    return len(loops.images) - 1


def _orientation(bonds: Bonds, start: int, dimensionality: int) -> tuple[int, ...] | None:
    """Direction of a chain or normal of a layer, as small integers."""
    if dimensionality not in (1, 2):
        return None
    points = np.array(_spanning_images(bonds, start))
    _, _, axes = np.linalg.svd(points - points.sum(axis=0) / points.shape[0])
    index = get_integer_index(axes[2 if dimensionality == 2 else 0, :])
    return tuple(np.array(index).tolist())


def _spanning_images(bonds: Bonds, start: int) -> list[Image]:
    """Larsen's search: images of the first site that span the line or plane of the component.

    The direction's sign depends on which ones.
    """
    seen: set[Place] = set()
    spans: dict[int, _Span] = defaultdict(_Span)
    queue = [(start, HERE)]
    for site, image in queue:
        if (site, image) in seen:
            continue
        seen.add((site, image))
        if not spans[site].grows(image):
            continue
        spans[site].add(image)
        x, y, z = image
        for bonded in bonds.of(site):
            dx, dy, dz = bonded.image
            there = (x + dx, y + dy, z + dz)
            if spans[bonded.site].grows(there) and (bonded.site, there) not in seen:
                queue.append((bonded.site, there))
    return list(spans[start].images)


class _Span:
    """Images of a site that span a point, a line, a plane or space."""

    def __init__(self) -> None:
        self.images: set[Image] = set()
        self._origin = self._along = self._normal = HERE  # as far as there are that many images

    @property
    def is_full(self) -> bool:
        """Whether there are three directions; there are no more."""
        return len(self.images) == 4

    def grows(self, image: Image) -> bool:
        """Whether the image lies outside the point, line or plane through those found."""
        match len(self.images):
            case 0:
                return True
            case 1:
                return image != self._origin
            case 2:
                return _cross(self._along, _off(image, self._origin)) != HERE
            case 3:
                (x, y, z), (nx, ny, nz) = _off(image, self._origin), self._normal
                return nx * x + ny * y + nz * z != 0
        return False

    def add(self, image: Image) -> None:
        """Take in an image by which the span grows."""
        match len(self.images):
            case 0:
                self._origin = image
            case 1:
                self._along = _off(image, self._origin)
            case 2:
                self._normal = _cross(self._along, _off(image, self._origin))
        self.images.add(image)


def _off(one: Image, other: Image) -> Image:
    return one[0] - other[0], one[1] - other[1], one[2] - other[2]


def _cross(one: Image, other: Image) -> Image:
    (ax, ay, az), (bx, by, bz) = one, other
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


def molecule_graph(bonds: Bonds, component: Component):
    """The component as pymatgen's MoleculeGraph, for a namer that wants to read it."""
    graph = bonds.pymatgen_graph()
    return zero_d_graph_to_molecule_graph(graph, graph.graph.subgraph(component["site_ids"]))


def reconstructed(bonds: Bonds, components: list[Component]) -> Structure | None:
    """The crystal with each molecule replaced by one atom at its centre of mass.

    None where that is the crystal itself: no molecules, or all of a single atom.
    """
    molecules = [c for c in components if c["dimensionality"] == 0]
    if all(len(c["site_ids"]) == 1 for c in molecules):
        return None
    sites = [
        bonds.structure[i]
        for c in components
        if c["dimensionality"] != 0
        for i in c["structure_graph"].sites
    ]
    for molecule in molecules:
        first = bonds.structure[molecule["structure_graph"].sites[0]]
        center = _center_of_mass(bonds, molecule["site_ids"][0])
        sites.append(PeriodicSite(first.specie, center, first.lattice, coords_are_cartesian=True))
    return Structure.from_sites(sites)


def _center_of_mass(bonds: Bonds, start: int) -> np.ndarray:
    """Å; the molecule is put together from its bonds first, across the faces of the cell."""
    images = {start: HERE}
    queue = [start]
    for site in queue:
        for other, image in bonds.around(site, images[site]):
            if other not in images:
                images[other] = image
                queue.append(other)
            elif images[other] != image:
                raise ValueError("Graph component is not zero-dimensional")
    center, total = np.zeros(3), 0.0
    for site in sorted(images):
        periodic = bonds.structure[site]
        weight = periodic.species.weight
        position = periodic.frac_coords + images[site]
        center += periodic.lattice.get_cartesian_coords(position) * weight
        total += weight
    return center / total


def inequivalent_components(components: list[Component]) -> list[Component]:
    """One of each kind of component, with its count; kinds are told apart by StructureMatcher."""
    matcher = StructureMatcher()
    kinds: list[Component] = []
    reduced: list[Structure] = []
    for component in components:
        if len(components) == 1:
            return [{**component, "count": 1}]
        structure = component["structure_graph"].structure
        small = None
        for kind, other in zip(kinds, reduced, strict=True):
            if not _same_composition(matcher, structure, kind["structure_graph"].structure):
                continue
            small = small or reduced_cell(Cell.of(structure)).to_structure()
            if matcher.fit(small, other, skip_structure_reduction=True):
                kind["count"] += 1
                break
        else:
            kinds.append({**component, "count": 1})
            reduced.append(small or reduced_cell(Cell.of(structure)).to_structure())
    return kinds


def _same_composition(matcher: StructureMatcher, one: Structure, other: Structure) -> bool:
    comparator = matcher._comparator
    return comparator.get_hash(one.composition) == comparator.get_hash(other.composition)
