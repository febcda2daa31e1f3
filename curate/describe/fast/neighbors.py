"""Weighted neighbours of some sites of a crystal; stands in for `CrystalNN.get_nn_data`.

The library's three users of these data (bond graph, site fingerprints, mineral fingerprint) each
compute them anew, as dictionaries of site objects. Here they are computed once, as arrays. The
weights are the library's own: solid angle over area, electronegativity, distance, rounded to three
decimals; the lists for the coordination numbers are prefixes of one list.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from pymatgen.core import Site
from pymatgen.core.local_env import CrystalNN, _get_default_radius, _get_radius

from curate.describe.fast import rows
from curate.describe.fast.reduction import Cell
from curate.describe.fast.voronoi import Faces, voronoi_faces

SEARCH_CUTOFF = 7.0  # Å; CrystalNN's defaults
DISTANCE_CUTOFFS = (0.5, 1.0)  # Å beyond the sum of the radii
X_DIFF_WEIGHT = 3.0
MAX_X_DIFF = 3.3


@dataclass(frozen=True)
class Neighbors:
    """Neighbours of one site, heaviest first, and the weight of each coordination number."""

    index: np.ndarray  # (m,) sites of the cell
    image: np.ndarray  # (m, 3) cells they are in
    vector: np.ndarray  # (m, 3) Å, from the site
    weight: np.ndarray  # (m,) before rounding, the largest 1 or less
    cn_weights: dict[int, float]

    @property
    def n_bonds(self) -> int:
        """The coordination number with the largest weight; the bonds are that many first ones."""
        return max(self.cn_weights, key=lambda cn: self.cn_weights[cn])


NOTHING = Neighbors(
    np.zeros(0, int), np.zeros((0, 3), int), np.zeros((0, 3)), np.zeros(0), {0: 1.0}
)


def site_neighbors(cell: Cell, chemistry: Chemistry, sites: list[int]) -> dict[int, Neighbors]:
    """CrystalNN's neighbours of the given sites of an ordered crystal."""
    return {site: weighed(chemistry, site, _surroundings(cell, site)) for site in sites}


class Chemistry:
    """Radii and electronegativities of the species of a crystal, looked up once."""

    def __init__(self, cell: Cell):
        self.kind = cell.kind
        self._sites = [Site(species, np.zeros(3)) for species in cell.species]
        self.radius = np.array([_get_radius(site) for site in self._sites], float)
        self.x = np.array([species.X for species in cell.species], float)
        self._default: dict[int, float] = {}

    def diameters(self, one: int, others: np.ndarray) -> np.ndarray:
        """Sums of radii (Å): of both oxidation states where known, else the default ones."""
        first, second = self.radius[one], self.radius[others]
        known = (first > 0) & (second > 0)
        if known.all():
            return first + second
        default = np.array([self.default_radius(kind) for kind in others.tolist()], float)
        return np.where(known, first + second, self.default_radius(one) + default)

    def default_radius(self, kind: int) -> float:
        """Covalent radius, or atomic where there is none."""
        if kind not in self._default:
            self._default[kind] = _get_default_radius(self._sites[kind])
        return self._default[kind]


@dataclass(frozen=True)
class Surroundings:
    """The faces of a site's Voronoi cell, and the neighbour behind each."""

    faces: Faces
    index: np.ndarray  # (m,) sites of the cell
    image: np.ndarray  # (m, 3) cells they are in
    vector: np.ndarray  # (m, 3) Å, from the site


def weighed(chemistry: Chemistry, site: int, around: Surroundings) -> Neighbors:
    """The neighbours in the order of their weights, which fade with distance."""
    faces = around.faces
    weight = faces.solid_angle / faces.solid_angle.max()
    weight = weight * (faces.solid_angle / faces.area)

    one, others = int(chemistry.kind[site]), chemistry.kind[around.index]
    difference = np.abs(chemistry.x[one] - chemistry.x[others])
    chemical = 1 + X_DIFF_WEIGHT * np.sqrt(difference / MAX_X_DIFF)
    weight = weight * np.where(np.isnan(difference), 1.0, chemical)
    if weight.max() == 0:
        return NOTHING
    unfaded = weight / weight.max()

    diameter = chemistry.diameters(one, others)
    low, high = (diameter + cutoff for cutoff in DISTANCE_CUTOFFS)
    distance = rows.norm(around.vector)
    fading = (np.cos((distance - low) / (high - low) * math.pi) + 1) * 0.5
    weight = unfaded * np.where(distance <= low, 1.0, np.where(distance < high, fading, 0.0))

    order = np.lexsort((-unfaded, -weight))
    weight = weight[order]
    if weight[0] == 0:
        return NOTHING
    rounded = np.round(weight, 3)  # as round() does with the library's numpy floats, not Python's
    kept = rounded > 0
    if not kept.any():  # a bond so weak that it rounds to none
        return NOTHING
    order = order[kept]
    return Neighbors(
        around.index[order],
        around.image[order],
        around.vector[order],
        weight[kept],
        _cn_weights(rounded[kept]),
    )


def _cn_weights(weight: np.ndarray) -> dict[int, float]:
    """Coordination number to its weight, from rounded bond weights in descending order."""
    ends = np.flatnonzero(np.append(weight[1:] != weight[:-1], True)) + 1
    bins = [*weight[ends - 1].tolist(), 0]
    weights = {
        int(cn): CrystalNN._semicircle_integral(bins, number) for number, cn in enumerate(ends)
    }
    rest = 1 - sum(weights.values())
    if rest > 0:
        weights[0] = rest
    return weights


def _surroundings(cell: Cell, site: int) -> Surroundings:
    """The site's Voronoi cell by its own hull."""
    lattice, center = cell.lattice, cell.position(site)

    def voronoi_cell(points: Sphere) -> Surroundings | None:
        vector = lattice.get_cartesian_coords(points.frac[1:]) - center
        faces = voronoi_faces(vector, points.distance[1:])
        if faces is None:
            return None
        kept = faces.point + 1
        return Surroundings(faces, points.index[kept], points.image[kept], vector[faces.point])

    return closed_cell(cell, site, voronoi_cell)


@dataclass(frozen=True)
class Sphere:
    """The points around a site, nearest first; the first is the site itself."""

    frac: np.ndarray  # (n, 3)
    distance: np.ndarray  # (n,) Å
    index: np.ndarray  # (n,) sites of the cell
    image: np.ndarray  # (n, 3) cells they are in


def closed_cell(
    cell: Cell, site: int, voronoi_cell: Callable[[Sphere], Surroundings | None]
) -> Surroundings:
    """A site's Voronoi cell among the points of the first of the library's spheres that closes it.

    The radius is doubled while the cell is open (None), up to the longest diagonal.

    Raises:
        RuntimeError: The cell is open in the largest sphere.
    """
    lattice, center = cell.lattice, cell.position(site)
    diagonals = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]]) @ lattice.matrix
    longest = np.linalg.norm(diagonals, axis=1).max() + 0.01
    cutoff = SEARCH_CUTOFF
    while True:
        frac, distance, index, image = cast(
            "tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]",
            lattice.get_points_in_sphere(cell.frac, center, cutoff, zip_results=False),
        )
        order = np.argsort(distance, kind="stable")
        points = Sphere(
            frac[order], distance[order], index[order].astype(int), image[order].astype(int)
        )
        if (found := voronoi_cell(points)) is not None:
            return found
        if cutoff >= longest:
            raise RuntimeError("Error in Voronoi neighbor finding; max cutoff exceeded")
        cutoff = min(cutoff * 2, longest + 0.001)
