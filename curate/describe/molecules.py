"""Names of molecules in a crystal; no socket is opened unless the user asked for PubChem.

Robocrystallographer's own namer loads a table of 145,158 molecules for every crystal, never finds a
name in it (it looks for the keys `traditional` and `iupac`, the table has `name_traditional` and
`name_iupac`), and then asks PubChem over the network.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from robocrys import StructureCondenser
from robocrys.condense.component import (
    get_component_formula,
    get_structure_inequiv_components,
    get_sym_inequiv_components,
)

if TYPE_CHECKING:
    from pymatgen.analysis.graphs import MoleculeGraph


class MoleculeNamer(Protocol):
    """What gives a molecule its name."""

    def get_name_from_molecule_graph(self, molecule_graph: MoleculeGraph) -> str | None:
        """The molecule's name, or None where it has none and keeps its formula."""


class FormulaOnly:
    """No names: every molecule keeps its formula."""

    def get_name_from_molecule_graph(self, molecule_graph: MoleculeGraph) -> str | None:
        return None


class Bundled:
    """Names from the table in Robocrystallographer, read when the first molecule shows up."""

    def get_name_from_molecule_graph(self, molecule_graph: MoleculeGraph) -> str | None:
        from robocrys.condense.molecule import MoleculeNamer as Stock

        entry = molecule_table().get(Stock.molecule_graph_to_smiles(molecule_graph) or "", {})
        name = entry.get("name_traditional") or entry.get("name_iupac")
        return name.lower() if name else None


class PubChem:
    """Names from PubChem, over the network, as stock Robocrystallographer asks for them."""

    def get_name_from_molecule_graph(self, molecule_graph: MoleculeGraph) -> str | None:
        return _stock_namer().get_name_from_molecule_graph(molecule_graph)


def molecule_namer(name: str) -> MoleculeNamer:
    """The namer an option stands for; ValueError lists the known ones."""
    match name:
        case "formula":
            return FormulaOnly()
        case "bundled":
            return Bundled()
        case "pubchem":
            return PubChem()
    raise ValueError(f"unknown molecule names {name!r}; known: formula, bundled, pubchem")


class NamingCondenser(StructureCondenser):
    """Robocrystallographer's condenser with the namer handed in instead of built for each crystal."""

    def __init__(self, *args, molecule_namer: MoleculeNamer, **kwargs):
        super().__init__(*args, **kwargs)
        self.molecule_namer = molecule_namer

    def _condense_components(self, components, spacegroup_analyzer, site_analyzer):
        if self.use_symmetry_equivalent_sites:
            inequivalent = get_sym_inequiv_components(components, spacegroup_analyzer)
        else:
            inequivalent = get_structure_inequiv_components(components)
        summary, makeup = {}, []
        for number, component in enumerate(inequivalent):
            name = None
            if component["dimensionality"] == 0:
                name = self.molecule_namer.get_name_from_molecule_graph(component["molecule_graph"])
            summary[number] = self.component_summary(component, name, site_analyzer)
            makeup.extend([number] * component["count"])
        return summary, makeup

    def component_summary(self, component, molecule_name: str | None, site_analyzer) -> dict:
        """What the condensed structure says of one kind of component."""
        return {
            "formula": get_component_formula(
                component,
                use_iupac_formula=self.use_iupac_formula,
                use_common_formulas=self.use_common_formulas,
            ),
            "dimensionality": component["dimensionality"],
            "orientation": component["orientation"],
            "molecule_name": molecule_name,
            "sites": site_analyzer.get_inequivalent_site_indices(component["site_ids"]),
        }


@lru_cache(maxsize=1)
def molecule_table() -> dict[str, dict[str, str]]:
    """SMILES to names, as shipped with Robocrystallographer."""
    from importlib.resources import files

    from monty.serialization import loadfn

    return loadfn(str(files("robocrys.condense") / "molecule_db.json.gz"), cls=None)


@lru_cache(maxsize=1)
def _stock_namer():
    from robocrys.condense.molecule import MoleculeNamer as Stock

    return Stock(use_online_pubchem=True)
