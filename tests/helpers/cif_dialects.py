"""One crystal written as CIF in the ways that programs write it, and what comes back of each."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from io import BytesIO

from ase.io import write as ase_write
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from curate.record import StructureRecord
from curate.sources.cif import crystals
from curate.sources.entries import record_of

FORMULA = re.compile(r"^_(chemical_formula_\w+|cell_formula_units_Z) .*\n", re.MULTILINE)
OPERATIONS = re.compile(r"loop_\n _symmetry_equiv_pos_site_id\n.*\n(?:  \d+  '.*'\n)+")
NUMBER = re.compile(r"^_symmetry_Int_Tables_number .*\n", re.MULTILINE)
NAME = re.compile(r"^_symmetry_space_group_name_H-M .*\n", re.MULTILINE)


def dialects(structure: Structure) -> Iterator[tuple[str, str]]:
    """The crystal's cells as CIF: with operations and without, with few digits, with less said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of writers, about rounding
        analyzer = SpacegroupAnalyzer(structure, symprec=1e-3)
        cells = {
            "P1": structure,
            "primitive": analyzer.find_primitive() or structure,
            "conventional": analyzer.get_conventional_standard_structure(),
        }
        for name, cell in cells.items():
            yield name, str(CifWriter(cell))
        for digits in (3, 4, 5, 6):
            yield f"P1, {digits} digits", str(CifWriter(structure, significant_figures=digits))
            symmetric = str(CifWriter(structure, symprec=1e-3, significant_figures=digits))
            yield f"symmetrised, {digits} digits", symmetric
        symmetric = str(CifWriter(structure, symprec=1e-3, refine_struct=True))
        buffer = BytesIO()
        ase_write(buffer, AseAtomsAdaptor.get_atoms(structure), format="cif")
    yield "symmetrised", symmetric
    yield "symmetrised, no formula", FORMULA.sub("", symmetric)
    yield "name only", OPERATIONS.sub("", symmetric)
    bare = FORMULA.sub("", OPERATIONS.sub("", symmetric))
    yield "name only, no formula", bare
    bare = bare.replace("_atom_site_symmetry_multiplicity", "_atom_site_remark")
    yield "name only, nothing else said", bare
    yield "number only", NAME.sub("", OPERATIONS.sub("", symmetric))
    yield "name only, windows", OPERATIONS.sub("", symmetric).replace("\n", "\r\n")
    yield "ASE", buffer.getvalue().decode()


def verdict(text: str, truth: Structure) -> str:
    """`same` or `refused: REASON`; `ANOTHER: …` where a CIF gave another crystal."""
    (entry,) = crystals(text)
    record = record_of(entry, "x", {})
    if not isinstance(record, StructureRecord):
        return f"refused: {record.error_message}"
    found = record.to_pymatgen()
    if found.matches(truth, scale=False, stol=0.1, ltol=0.02, angle_tol=1):
        return "same"
    return f"ANOTHER: {found.composition.formula}, {record.note}"


def survey(structures: Iterable[Structure]) -> Counter[tuple[str, str]]:
    """How often each dialect gave the same crystal, another or a refusal."""
    counts: Counter[tuple[str, str]] = Counter()
    for structure in structures:
        for name, text in dialects(structure):
            counts[name, verdict(text, structure).partition(":")[0]] += 1
    return counts
