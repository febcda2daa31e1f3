"""Robocrystallographer's condensed structure of a crystal, with each thing done once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from pymatgen.core import Structure
from robocrys.condense.component import (
    components_are_vdw_heterostructure,
    get_vdw_heterostructure_information,
)

from curate.describe.fast.bonds import Bonds
from curate.describe.fast.components import (
    Component,
    inequivalent_components,
    molecule_graph,
    reconstructed,
    structure_components,
)
from curate.describe.fast.fingerprints import (
    site_fingerprints,
    structure_fingerprint,
)
from curate.describe.fast.mineral import FastMineralMatcher
from curate.describe.fast.minerals import Minerals
from curate.describe.fast.neighbors import Chemistry, Neighbors, site_neighbors
from curate.describe.fast.rounding import with_stock_rounding
from curate.describe.fast.sites import FastSiteAnalyzer
from curate.describe.fast.symmetry import (
    CellSymmetry,
    Orbits,
    Symmetry,
    find_orbits,
    sorted_structure,
)
from curate.describe.molecules import FormulaOnly, MoleculeNamer, NamingCondenser


class FastCondenser(NamingCondenser):
    """The condensed structure of the stock condenser with its default settings, sooner."""

    mineral_matcher: FastMineralMatcher  # type: ignore[assignment]

    def __init__(
        self,
        *,
        use_conventional_cell: bool = True,
        symprec: float = 0.01,
        molecule_namer: MoleculeNamer,
    ):
        super().__init__(
            use_conventional_cell=use_conventional_cell,
            symprec=symprec,
            mineral_matcher=mineral_matcher(),
            molecule_namer=molecule_namer,
        )

    def condense_structure(self, structure: Structure) -> dict[str, Any]:
        """The same steps as the inherited method, in its order."""
        structure = sorted_structure(  # so that symmetry labels come out right
            structure.lattice, structure.species_and_occu, (structure.frac_coords + 1) % 1
        )
        symmetry = Symmetry(structure, symprec=self.symprec)
        conventional = self.use_conventional_cell
        cell = symmetry.of_conventional_cell() if conventional else symmetry.of_cell()
        structure = cell.structure

        orbits, neighbors, fingerprints = _surroundings(cell)
        bonds = Bonds(cell, neighbors, orbits)
        components = structure_components(bonds)
        analyzer = FastSiteAnalyzer(bonds, fingerprints, orbits, cell)
        data = {
            "formula": self._condense_formula(structure, components),
            "spg_symbol": symmetry.get_space_group_symbol(),
            "crystal_system": symmetry.get_crystal_system(),
            "mineral": self._mineral(bonds, components, fingerprints),
            "dimensionality": max(component["dimensionality"] for component in components),
            "sites": analyzer.get_all_site_summaries(),
            "distances": analyzer.get_all_bond_distance_summaries(),
            "angles": analyzer.get_all_connectivity_angle_summaries(),
            "nnn_distances": analyzer.get_all_nnn_distance_summaries(),
        }
        data["components"], data["component_makeup"] = self._components(bonds, components, analyzer)
        data["vdw_heterostructure_info"] = (
            get_vdw_heterostructure_information(
                components,
                use_iupac_formula=self.use_iupac_formula,
                use_common_formulas=self.use_common_formulas,
            )
            if components_are_vdw_heterostructure(components)
            else None
        )
        return data

    def _mineral(
        self, bonds: Bonds, components: list[Component], fingerprints: np.ndarray
    ) -> dict[str, Any]:
        """The crystal's mineral, or that of the crystal with its molecules made into atoms."""
        matcher = self.mineral_matcher
        found = matcher.best_mineral_name(bonds.cell, structure_fingerprint(fingerprints))
        if found["type"]:
            return found | {"simplified": False}
        simple = reconstructed(bonds, components)
        if simple is not None:
            cell = Symmetry(simple, self.symprec).of_cell()
            fingerprint = structure_fingerprint(_surroundings(cell)[2])
            found = matcher.best_mineral_name(cell.cell, fingerprint)
        return found | {"simplified": True}

    def _components(self, bonds, components, analyzer) -> tuple[dict[int, dict], list[int]]:
        """Each kind of component, and which kind each component is."""
        summary: dict[int, dict[str, Any]] = {}
        makeup: list[int] = []
        for number, component in enumerate(inequivalent_components(components)):
            name = None
            if component["dimensionality"] == 0 and not isinstance(
                self.molecule_namer, FormulaOnly
            ):
                name = self.molecule_namer.get_name_from_molecule_graph(
                    molecule_graph(bonds, component)
                )
            summary[number] = self.component_summary(component, name, analyzer)
            makeup.extend([number] * component["count"])
        return summary, makeup


def _surroundings(symmetry: CellSymmetry) -> tuple[Orbits, dict[int, Neighbors], np.ndarray]:
    """Orbits, neighbours of one site of each, and the fingerprints of all sites (n, 61).

    The library gives equivalent sites different fingerprints where rounding decides; to say the same,
    the features that it decides are computed with the library's digits, site by site.
    """
    orbits = find_orbits(symmetry)
    cell, chemistry = symmetry.cell, Chemistry(symmetry.cell)
    neighbors = site_neighbors(cell, chemistry, orbits.representatives)
    of_first, uncertain = site_fingerprints(list(neighbors.values()))
    number = {first: number for number, first in enumerate(neighbors)}
    places = [number[first] for first in orbits.representative.tolist()]
    fingerprints = of_first[places]
    for site, place in enumerate(places):
        if decided := uncertain[place]:
            fingerprints[site, decided] = with_stock_rounding(cell, chemistry, site, decided)
    return orbits, neighbors, fingerprints


@lru_cache(maxsize=1)
def mineral_matcher() -> FastMineralMatcher:
    """The matcher of this process; it holds the prototypes, nothing of any crystal."""
    return FastMineralMatcher(Minerals.load())
