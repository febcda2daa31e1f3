"""The known properties: unit, level of theory, database and citation of each, in one place.

Properties keep the name that their database gives them; equal-looking quantities from different
functionals have different names. A property that is not listed here needs a unit from the user or
from the database itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from curate.errors import InputError


@dataclass(frozen=True)
class Database:
    """A database that properties come from."""

    name: str
    citation: str


@dataclass(frozen=True)
class Property:
    """One property of a crystal, as a database publishes it."""

    name: str  # column of the dataset
    unit: str | None  # "1" for a number without unit; None for what is no number
    database: Database
    level: str | None = None  # of theory
    field: str | None = None  # where the database keeps it, if not under the same name

    @property
    def citation(self) -> str:
        """The publication of its database."""
        return self.database.citation


JARVIS = Database("JARVIS-DFT", "Choudhary et al., npj Computational Materials 6, 173 (2020)")
MATERIALS_PROJECT = Database("Materials Project", "Jain et al., APL Materials 1, 011002 (2013)")
MEGNET = Database("Materials Project 2018.6.1", "Chen et al., Chem. Mater. 31, 3564 (2019)")
CORPUS = Database("CrysMMNet corpus", "Das et al., UAI 2023, PMLR 216:507-517")
MATBENCH = Database("Matbench v0.1", "Dunn et al., npj Computational Materials 6, 138 (2020)")

OPT = "DFT, OptB88vdW"
MBJ = "DFT, TB-mBJ"
VOIGT = "DFT, OptB88vdW; Voigt average"
PBE = "DFT, PBE and PBE+U"
VRH = "DFT, PBE; Voigt-Reuss-Hill average"
MIXED = "DFT, as the Materials Project mixes PBE, PBE+U and r2SCAN"

PROPERTIES = (
    # JARVIS-DFT; the first eight are in the embedded sample
    Property("formation_energy_peratom", "eV/atom", JARVIS, OPT),
    Property("optb88vdw_bandgap", "eV", JARVIS, OPT),
    Property("optb88vdw_total_energy", "eV/atom", JARVIS, OPT),
    Property("mbj_bandgap", "eV", JARVIS, MBJ),
    Property("bulk_modulus_kv", "GPa", JARVIS, VOIGT),
    Property("shear_modulus_gv", "GPa", JARVIS, VOIGT),
    Property("slme", "%", JARVIS, MBJ),
    Property("spillage", "1", JARVIS, "DFT with and without spin-orbit coupling"),
    Property("ehull", "eV/atom", JARVIS, OPT),
    Property("hse_gap", "eV", JARVIS, "DFT, HSE06"),
    Property("exfoliation_energy", "meV/atom", JARVIS, OPT),
    Property("poisson", "1", JARVIS, OPT),
    Property("epsx", "1", JARVIS, OPT),
    Property("epsy", "1", JARVIS, OPT),
    Property("epsz", "1", JARVIS, OPT),
    Property("mepsx", "1", JARVIS, MBJ),
    Property("mepsy", "1", JARVIS, MBJ),
    Property("mepsz", "1", JARVIS, MBJ),
    Property("magmom_oszicar", "μB", JARVIS, OPT),
    Property("magmom_outcar", "μB", JARVIS, OPT),
    Property("max_efg", "10²¹ V/m²", JARVIS, OPT),
    Property("avg_elec_mass", "electron mass", JARVIS, OPT),
    Property("avg_hole_mass", "electron mass", JARVIS, OPT),
    Property("dfpt_piezo_max_eij", "C/m²", JARVIS, OPT),
    Property("dfpt_piezo_max_dielectric", "1", JARVIS, OPT),
    Property("n-Seebeck", "μV/K", JARVIS, OPT),
    Property("p-Seebeck", "μV/K", JARVIS, OPT),
    Property("n-powerfact", "μW/(m K²)", JARVIS, OPT),
    Property("p-powerfact", "μW/(m K²)", JARVIS, OPT),
    Property("Tc_supercon", "K", JARVIS),
    Property("kpoint_length_unit", "Å", JARVIS),
    Property("encut", "eV", JARVIS),
    Property("nat", "1", JARVIS),
    # Materials Project, by the names of its summary documents
    Property("formation_energy_per_atom", "eV/atom", MATERIALS_PROJECT, MIXED),
    Property("energy_above_hull", "eV/atom", MATERIALS_PROJECT, MIXED),
    Property("energy_per_atom", "eV/atom", MATERIALS_PROJECT),
    Property("is_stable", None, MATERIALS_PROJECT),
    Property("band_gap", "eV", MATERIALS_PROJECT, "DFT, PBE and PBE+U or r2SCAN"),
    Property("is_gap_direct", None, MATERIALS_PROJECT),
    Property("is_metal", None, MATERIALS_PROJECT),
    Property("total_magnetization", "μB", MATERIALS_PROJECT),
    Property("density", "g/cm³", MATERIALS_PROJECT),
    Property("volume", "Å³", MATERIALS_PROJECT),
    Property("theoretical", None, MATERIALS_PROJECT),
    Property("k_vrh", "GPa", MATERIALS_PROJECT, VRH, field="bulk_modulus.vrh"),
    Property("g_vrh", "GPa", MATERIALS_PROJECT, VRH, field="shear_modulus.vrh"),
    # the Materials Project of 2018 as JARVIS distributes it
    Property("e_form", "eV/atom", MEGNET, PBE),
    Property("gap pbe", "eV", MEGNET, PBE),
    Property("bulk modulus", "log10(GPa)", MEGNET, VRH),
    Property("shear modulus", "log10(GPa)", MEGNET, VRH),
    # the paper's corpus, where it does not use a name from above
    Property("formation_energy", "eV/atom", CORPUS, PBE),
    Property("bulk_modulus", "GPa", CORPUS, VRH),
    Property("shear_modulus", "GPa", CORPUS, VRH),
    # Matbench, where no other property has the name; its tasks tell the units of the others
    Property("exfoliation_en", "meV/atom", MATBENCH, OPT),
    Property("last phdos peak", "1/cm", MATBENCH, "DFPT, PBEsol"),
    Property("log10(G_VRH)", "log10(GPa)", MATBENCH, VRH),
    Property("log10(K_VRH)", "log10(GPa)", MATBENCH, VRH),
)
BY_NAME: Mapping[str, Property] = {found.name: found for found in PROPERTIES}
UNITS: Mapping[str, str] = {found.name: found.unit for found in PROPERTIES if found.unit}


def properties_of(database: Database) -> list[Property]:
    """The properties of a database, in the order they are listed in."""
    return [found for found in PROPERTIES if found.database == database]


def citation_of(database: str) -> str | None:
    """The citation of a database by its name, with or without a version: `JARVIS-DFT 2021.8.18`."""
    for known in (JARVIS, MATERIALS_PROJECT):
        if database.startswith(known.name):
            return known.citation
    return None


def split_unit(column: str) -> tuple[str, str | None]:
    """Name and unit of a table's column: `gap:eV` is `("gap", "eV")`, `gap` is `("gap", None)`."""
    name, separator, unit = column.rpartition(":")
    if separator and name.strip() and unit.strip():
        return name.strip(), unit.strip()
    return column, None


def parse_units(given: Iterable[str]) -> dict[str, str]:
    """Units by property, from the words of --units.

    Args:
        given: Words such as `gap=eV`; `1` is the unit of a number without one.

    Raises:
        InputError: A word is not NAME=UNIT.
    """
    units = {}
    for word in given:
        name, separator, unit = word.rpartition("=")
        if not (separator and name.strip() and unit.strip()):
            raise InputError(f"--units {word}: write NAME=UNIT, such as gap=eV")
        units[name.strip()] = unit.strip()
    return units


def without_unit(names: Iterable[str], units: Mapping[str, str]) -> list[str]:
    """The names that neither `units` nor the known properties give a unit, sorted."""
    return sorted(name for name in names if name not in units and name not in UNITS)
