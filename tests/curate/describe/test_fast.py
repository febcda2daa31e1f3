"""The fast steps say what stock Robocrystallographer says, alike everywhere, and leave it as it was."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matminer.featurizers.site import CrystalNNFingerprint
from pymatgen.core import Composition, Lattice, Structure

from curate import StructureRecord
from curate.describe.description import describe
from curate.describe.fast import FastCondenser
from curate.describe.fast.fingerprints import labels, motifs
from curate.describe.fast.minerals import Minerals
from curate.describe.fast.neighbors import Chemistry, site_neighbors
from curate.describe.fast.oxidation import oxidation_states
from curate.describe.fast.reduction import Cell
from curate.describe.fast.symmetry import Symmetry, find_orbits
from curate.describe.fast.verified import VERIFIED, differing, trust
from curate.describe.fast.voronoi import voronoi_faces
from curate.describe.molecules import FormulaOnly, NamingCondenser
from curate.describe.options import DescribeOptions
from curate.sources.sample import Sample

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "stock_texts.json").read_text())


@pytest.fixture(scope="module")
def sample() -> dict[str, StructureRecord]:
    return {record.material_id: record for record in Sample().records()}


def golden_record(golden: dict, sample: dict[str, StructureRecord]) -> StructureRecord:
    if "structure" not in golden:
        return sample[golden["id"]]
    cell = golden["structure"]
    structure = Structure(
        Lattice(cell["lattice_vectors"]),
        cell["species"],
        cell["positions"],
        coords_are_cartesian=True,
    )
    return StructureRecord.from_pymatgen(structure, golden["id"])


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["id"])
def test_the_text_is_stocks_to_the_letter(golden, sample):
    assert describe(golden_record(golden, sample)).text == golden["text"]


def test_a_crystal_is_described_alike_whatever_came_before_it(sample):
    ids = ["JVASP-12142", "JVASP-4255", "JVASP-1285"]
    forwards = {i: describe(sample[i]).text for i in ids}
    backwards = {i: describe(sample[i]).text for i in reversed(ids)}
    assert forwards == backwards


def test_the_text_does_not_depend_on_the_hash_seed():
    """The golden texts were written under seed 0."""
    ids = ["JVASP-23862", "JVASP-12187", "JVASP-5371"]
    code = f"""
import json
from curate.describe.description import describe
from curate.sources.sample import Sample
records = {{record.material_id: record for record in Sample().records()}}
print(json.dumps([describe(records[i]).text for i in {ids}]))
"""
    golden = {golden["id"]: golden["text"] for golden in GOLDEN}
    assert json.loads(run(code, PYTHONHASHSEED="1")) == [golden[i] for i in ids]


def test_the_libraries_are_left_as_they_were():
    """Every function of the three libraries is the same object before and after."""
    code = """
import sys, types
import robocrys
from matminer.featurizers.site import CrystalNNFingerprint

def everything():
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] not in ("robocrys", "pymatgen", "matminer"):
            continue
        for key, value in vars(module).items():
            found[name, key] = id(value)
            if isinstance(value, type) and value.__module__ == name:
                for attribute, member in vars(value).items():
                    if isinstance(member, (types.FunctionType, staticmethod, classmethod, property)):
                        found[name, key, attribute] = id(member)
    return found

before = everything()
from curate.describe.description import describe
from curate.sources.sample import Sample
assert describe(next(Sample().records())).text
after = everything()
print([key for key in before if after[key] != before[key] and key[1] != "__warningregistry__"])
"""
    assert run(code) == "[]"


def test_memory_does_not_grow_with_the_crystals(sample):
    import gc

    from curate.describe.fast.bonds import Bonds
    from curate.describe.fast.sites import FastSiteAnalyzer

    records = sorted(sample.values(), key=lambda record: record.nsites)[:40]
    for record in records:
        describe(record)
    gc.collect()
    kept = [x for x in gc.get_objects() if isinstance(x, Bonds | FastSiteAnalyzer)]
    assert kept == []


def test_a_voronoi_cell_of_a_cubic_lattice_has_six_square_faces():
    steps = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]
    points = 3.0 * np.array(sorted(steps, key=lambda step: sum(map(abs, step)))[1:])
    faces = voronoi_faces(points, np.linalg.norm(points, axis=1))
    assert faces is not None and len(faces.point) == 6
    assert faces.area == pytest.approx([9.0] * 6)
    assert faces.solid_angle == pytest.approx([4 * np.pi / 6] * 6)


def test_an_open_cell_has_no_faces():
    flat = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0], [1.0, 1.0, 0]])
    assert voronoi_faces(flat, np.linalg.norm(flat, axis=1)) is None


def test_equivalent_sites_share_an_orbit(rutile):
    structure = rutile.to_pymatgen()
    orbits = find_orbits(Symmetry(structure, symprec=0.01).of_cell())
    species = {structure[site].specie.symbol for site in orbits.representatives}
    assert species == {"Ti", "O"} and len(orbits.representatives) == 2
    for site, first in enumerate(orbits.representative):
        moved = orbits.rotation[site] @ structure.frac_coords[first] + orbits.translation[site]
        assert moved == pytest.approx(structure.frac_coords[site] + orbits.shift[site], abs=1e-6)


def test_titanium_in_rutile_has_six_bonds(rutile):
    cell = Cell.of(rutile.to_pymatgen())
    neighbors = site_neighbors(cell, Chemistry(cell), [0])[0]
    lengths = np.sort(np.linalg.norm(neighbors.vector[: neighbors.n_bonds], axis=1))
    # by hand: √(2 (1/2 - u)² a² + c²/4) = 1.948 Å four times, √2 u a = 1.982 Å twice
    assert lengths == pytest.approx([1.948] * 4 + [1.982] * 2, abs=1e-3)


@pytest.mark.parametrize(
    "formula", ["TiO2", "Fe3O4", "BaTiO3", "Li2FeSiO4", "AlNi", "Si", "K2Cr2O7"]
)
def test_oxidation_states_are_pymatgens(formula):
    composition = Composition(formula)
    guesses = composition.oxi_state_guesses(max_sites=-80)
    assert oxidation_states(composition) == (guesses[0] if guesses else None)


def test_many_atoms_of_many_states_take_no_time():
    """pymatgen enumerates millions of combinations for this formula, half a minute."""
    assert oxidation_states(Composition("Ti11Zn4N24")) is not None


def test_decorated_crystals_are_described_like_stock_does(rutile):
    options = DescribeOptions(oxidation_states=True)
    stock = describe(rutile, DescribeOptions(oxidation_states=True, describer="stock"))
    assert describe(rutile, options).text == stock.text


def test_a_release_with_other_words_is_left_to_stock(caplog, tmp_path):
    """The cell as given of solid xenon holds one atom, the conventional one four."""
    xenon = Structure(Lattice([[0, 3.2, 3.2], [3.2, 0, 3.2], [3.2, 3.2, 0]]), ["Xe"], [[0, 0, 0]])
    stock = NamingCondenser(molecule_namer=FormulaOnly())
    fast = FastCondenser(molecule_namer=FormulaOnly())
    other = FastCondenser(molecule_namer=FormulaOnly(), use_conventional_cell=False)
    newer = VERIFIED | {"robocrys": "0.3.0"}
    asked = []

    def compare(condenser):
        asked.append(condenser)
        return differing(condenser, stock, {"Xe": xenon})

    assert trust(VERIFIED, lambda: compare(other), tmp_path)
    assert not asked
    with caplog.at_level(logging.INFO):
        assert trust(newer, lambda: compare(fast), tmp_path / "agree")
        assert "agree" in caplog.text
        assert not trust(newer, lambda: compare(other), tmp_path / "differ")
    assert "differ from stock Robocrystallographer on Xe with robocrys 0.3.0" in caplog.text
    assert not trust(newer, lambda: compare(fast), tmp_path / "differ")  # as it was found before
    assert asked == [fast, other]
    (kept,) = (tmp_path / "agree").iterdir()
    kept.write_text("{")  # damage is no answer
    assert trust(newer, lambda: compare(fast), tmp_path / "agree")
    assert asked == [fast, other, fast]
    assert not trust(newer | {"matminer": "1"}, lambda: compare(other), tmp_path / "agree")


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_shipped_minerals_are_the_librarys():
    shipped, fresh = Minerals.load(), Minerals.from_library()
    assert shipped.names == fresh.names and len(shipped.names) == 180
    for name in ("n_elements", "n_sites", "fingerprints"):
        assert np.array_equal(getattr(shipped, name), getattr(fresh, name)), name
    for ours, theirs in zip(shipped.cells, fresh.cells, strict=True):
        assert ours.counts == theirs.counts and np.array_equal(ours.kind, theirs.kind)
        assert np.allclose(ours.lattice.matrix, theirs.lattice.matrix, atol=1e-9)
        off = ours.frac - theirs.frac
        assert np.allclose(off, np.round(off), atol=1e-9)


def test_features_are_matminers_in_its_order_with_its_parameters():
    stock = CrystalNNFingerprint.from_preset("ops", cation_anion=False)
    assert labels() == tuple(stock.feature_labels())
    theirs = [(cn, op) for cn in range(1, 25) for op in stock.ops[cn]]
    assert motifs() == tuple(
        (cn, "wt", {}) if op == "wt" else (cn, op._types[0], op._params[0] or {})
        for cn, op in theirs
    )
