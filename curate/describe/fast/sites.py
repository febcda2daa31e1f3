"""Summaries of inequivalent sites: geometry, bonds, next-nearest neighbours, angles.

Stands in for robocrys' `SiteAnalyzer`.

The library asks for the next-nearest neighbours of a site up to five times, and compares each pair
of sites by sorting both their lists again. Here each site's neighbourhood is made and sorted once,
and, since equivalent sites have equal neighbourhoods, for one site of each orbit.
"""

from __future__ import annotations

import itertools
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from robocrys.condense.site import SiteAnalyzer, geometries_match

from curate.describe.fast import rows
from curate.describe.fast.bonds import HERE, Bonds, Place
from curate.describe.fast.fingerprints import labels
from curate.describe.fast.symmetry import CellSymmetry, Orbits

NOISE = 1e-3  # °; angles this close may be ordered either way by rounding
ALIKE = 1e-6  # fingerprints of equivalent sites
LEAST_LIKENESS = 0.4  # to a motif, for a site to be called by it
CONNECTIVITY = {1: "corner", 2: "edge"}  # by shared neighbours; more are a face


class FastSiteAnalyzer(SiteAnalyzer):
    """Robocrystallographer's site analyzer on bonds and fingerprints that are there already."""

    def __init__(
        self, bonds: Bonds, fingerprints: np.ndarray, orbits: Orbits, symmetry: CellSymmetry
    ):
        self.bonds = bonds
        self.orbits = orbits
        self.bonded_structure: Any = bonds  # has the one attribute the inherited methods read
        self.use_iupac_formula = True
        self._fingerprints = fingerprints
        self._geometry = _geometries(fingerprints)
        self._second_shell: dict[int, list[dict[str, Any]]] = {}
        names = [str(species) for species in bonds.cell.species]
        self._element = [names[kind] for kind in bonds.cell.kind.tolist()]

        self.equivalent_sites = self._calculate_equivalent_sites()
        self.symmetry_labels = self._calculate_symmetry_labels(symmetry.equivalent.tolist())

    def get_site_geometry(self, site_index: int) -> dict[str, Any]:
        """Kind of coordination and likeness to it."""
        return self._geometry[site_index]

    def get_nearest_neighbors(
        self, site_index: int, inc_inequivalent_site_index: bool = True
    ) -> list[dict[str, Any]]:
        """Element and distance (Å) of each bonded neighbour."""
        return [
            {"element": self._element[bonded.site], "dist": bonded.distance}
            | (
                {"inequiv_index": self.equivalent_sites[bonded.site]}
                if inc_inequivalent_site_index
                else {}
            )
            for bonded in self.bonds.of(site_index)
        ]

    def get_next_nearest_neighbors(
        self, site_index: int, inc_inequivalent_site_index: bool = True
    ) -> list[dict[str, Any]]:
        """Element, geometry, connectivity, angles (°) and distance (Å) of each second neighbour."""
        if site_index not in self._second_shell:
            self._second_shell[site_index] = self._find_second_shell(site_index)
        found = self._second_shell[site_index]
        if inc_inequivalent_site_index:
            for second in found:
                second["inequiv_index"] = self.equivalent_sites[second["index"]]
        return found

    def _find_second_shell(self, site: int) -> list[dict[str, Any]]:
        first = self.bonds.around(site, HERE)
        bridges: dict[Place, list[int]] = {}  # of each second neighbour: firsts that lead there
        for number, place in enumerate(first):
            for second in self.bonds.around(*place):
                bridges.setdefault(second, []).append(number)
        bridges.pop((site, HERE), None)
        if not bridges:
            return []
        positions = self.bonds.positions([(site, HERE), *bridges, *first])
        here, there, between = np.split(positions, [1, 1 + len(bridges)])
        counts = [len(numbers) for numbers in bridges.values()]
        at = between[[number for numbers in bridges.values() for number in numbers]]
        angles = _angles(here - at, np.repeat(there, counts, axis=0) - at).tolist()
        ends = itertools.accumulate(counts)
        return [
            {
                "element": self._element[index],
                "connectivity": CONNECTIVITY.get(count, "face"),
                "geometry": self.get_site_geometry(index),
                "angles": angles[end - count : end],
                "distance": distance,
                "index": index,
            }
            for (index, _), count, end, distance in zip(
                bridges, counts, ends, rows.norm(here - there).tolist(), strict=True
            )
        ]

    def _calculate_equivalent_sites(
        self,
        likeness_tol: float = 0.001,
        bond_dist_tol: float = 0.01,
        bond_angle_tol: float = 0.1,
    ) -> list[int]:
        """For each site the first one with the same element, geometry and neighbourhood."""
        kinds: dict[int, _Neighborhood] = {}
        kind_of: list[int] = []
        alone = self._orbits_apart()
        for site, representative in enumerate(self.orbits.representative.tolist()):
            if site != representative and representative not in alone:
                kind_of.append(kind_of[representative])
                continue
            mine = _Neighborhood(self, site)
            if mine.is_ambiguous:
                alone.add(representative)
            for kind, other in kinds.items():
                if mine.matches(other, likeness_tol, bond_dist_tol, bond_angle_tol):
                    kind_of.append(kind)
                    break
            else:
                kind_of.append(site)
                kinds[site] = mine
        return kind_of

    def _orbits_apart(self) -> set[int]:
        """Orbits whose sites must be looked at one by one: all, where fingerprints differ in one."""
        of_first = self._fingerprints[self.orbits.representative]
        alike = np.abs(self._fingerprints - of_first).max(axis=1) < ALIKE
        return set() if alike.all() else set(self.orbits.representatives)

    def _calculate_symmetry_labels(self, sym_equivalent_atoms) -> list[int]:
        """Numbers symmetrically inequivalent sites from 1 for each element."""
        label: dict[tuple[str, int], int] = {}
        count: dict[str, int] = {}
        numbers = []
        cell = self.bonds.cell
        for kind, orbit in zip(cell.kind.tolist(), sym_equivalent_atoms, strict=True):
            symbol = cell.species[kind].symbol
            if (symbol, orbit) not in label:
                count[symbol] = label[symbol, orbit] = count.get(symbol, 0) + 1
            numbers.append(label[symbol, orbit])
        return numbers


def _geometries(fingerprints: np.ndarray) -> list[dict[str, Any]]:
    """Of each site the motif it is most like, or its likeliest coordination number."""
    is_motif = np.array([not label.startswith("wt ") for label in labels()])
    nearest = np.where(is_motif, fingerprints, 0).argmax(axis=1)
    likeness = np.take_along_axis(fingerprints, nearest[:, None], axis=1)[:, 0].tolist()
    found: list[dict[str, Any]] = []
    for number, alike, values in zip(nearest.tolist(), likeness, fingerprints, strict=True):
        if alike < LEAST_LIKENESS:
            coordination = labels()[values.argmax()].rpartition("_")[2]
            found.append({"type": f"{coordination}-coordinate", "likeness": 1.0})
        else:
            motif = labels()[number].rpartition(" ")[0]
            kind = "single-bond" if motif == "sgl_bd" else motif
            found.append({"type": kind, "likeness": alike})
    return found


class _Neighborhood:
    """What two sites must have in common to be called equivalent, in sorted order."""

    def __init__(self, analyzer: FastSiteAnalyzer, site: int):
        self.kind = analyzer.bonds.cell.kind[site]
        self.geometry = analyzer.get_site_geometry(site)
        first = analyzer.get_nearest_neighbors(site, inc_inequivalent_site_index=False)
        first.sort(key=lambda x: [x["element"], x["dist"]])
        self.first_elements = [x["element"] for x in first]
        self.distances = np.array([x["dist"] for x in first])
        second = [
            (x["element"], x["geometry"]["type"], x["connectivity"], sorted(x["angles"]), x)
            for x in analyzer.get_next_nearest_neighbors(site, inc_inequivalent_site_index=False)
        ]
        second.sort(key=lambda x: x[:4])
        self.keys = [x[:4] for x in second]
        self.second = [(x[0], x[2]) for x in second]
        self.second_geometry = [x[4]["geometry"] for x in second]
        self.angles = [x[3] for x in second]

    @cached_property
    def is_ambiguous(self) -> bool:
        """Whether the last digits of an angle decide in which order second neighbours are compared.

        Two of them may agree in what is compared first, down to the noise of a float, and differ in
        what follows. The library then tells some equivalent sites apart and others not, and to say
        the same each site must be computed with its own noise.
        """
        seconds = list(zip(self.keys, self.second_geometry, strict=True))
        for ((*one, angles), geometry), ((*other, others), next_geometry) in pairwise(seconds):
            if one != other or abs(angles[0] - others[0]) > NOISE:
                continue
            if len(angles) != len(others) or not geometries_match(geometry, next_geometry):
                return True
            if any(abs(a - b) > NOISE for a, b in zip(angles, others, strict=True)):
                return True
        return False

    def matches(self, other: _Neighborhood, likeness: float, distance: float, angle: float) -> bool:
        """Whether both agree within the tolerances (1, Å, °)."""
        return (
            bool(self.kind == other.kind)
            and geometries_match(self.geometry, other.geometry, likeness)
            and self.first_elements == other.first_elements
            and bool((np.abs(self.distances - other.distances) < distance).all())
            and self.second == other.second
            and all(
                geometries_match(a, b, likeness)
                for a, b in zip(self.second_geometry, other.second_geometry, strict=True)
            )
            and all(
                abs(a - b) < angle
                for mine, theirs in zip(self.angles, other.angles, strict=True)
                for a, b in zip(mine, theirs, strict=False)
            )
        )


def _angles(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Degrees between the rows (n, 3), as `get_angle` in pymatgen computes them."""
    cosine = rows.dot(ones, others) / rows.norm(ones) / rows.norm(others)
    return np.degrees(rows.arccos(np.clip(cosine, -1, 1)))
