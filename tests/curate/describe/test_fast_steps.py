"""Each fast step gives what the library's own gives, to the digit where a digit can decide."""

from collections import Counter

import numpy as np
import pytest
from matminer.featurizers.site import CrystalNNFingerprint
from pymatgen.core import Lattice, Structure

from curate.describe.fast import rows
from curate.describe.fast.bonds import Bonds
from curate.describe.fast.fingerprints import site_fingerprints
from curate.describe.fast.neighbors import Chemistry, site_neighbors
from curate.describe.fast.reduction import Cell, ShortLattice, reduced_cell
from curate.describe.fast.rounding import with_stock_rounding
from curate.describe.fast.sites import FastSiteAnalyzer
from curate.describe.fast.symmetry import STILL, Symmetry, find_orbits


@pytest.fixture
def palladium_selenide() -> Structure:
    """Pd4Se: eight palladium atoms around each selenium, equally far by symmetry."""
    return Structure.from_spacegroup(
        "P-42_1c",
        Lattice.tetragonal(5.314807, 5.762397),
        ["Se", "Pd"],
        [[0, 0, 0], [0.2324, 0.6277, 0.8455]],
    )


def test_where_rounding_decides_the_features_are_the_librarys(palladium_selenide):
    cell = Cell.of(palladium_selenide)
    chemistry = Chemistry(cell)
    (first, *_), (uncertain, *_) = site_fingerprints(
        list(site_neighbors(cell, chemistry, [0]).values())
    )
    assert uncertain  # else this crystal shows nothing
    stock = CrystalNNFingerprint.from_preset("ops", cation_anion=False)
    for site in (0, 1):
        features = first.copy()
        features[uncertain] = with_stock_rounding(cell, chemistry, site, uncertain)
        assert features == pytest.approx(
            np.array(stock.featurize(palladium_selenide, site)), abs=1e-9
        )


def test_rows_are_rounded_as_single_vectors_are():
    ones, others = np.random.default_rng(0).normal(size=(2, 500, 3))
    matrix = np.random.default_rng(1).normal(size=(3, 3))
    each = list(zip(ones, others, strict=True))
    assert np.array_equal(rows.times(ones, matrix), [np.dot(one, matrix) for one in ones])
    assert np.array_equal(rows.dot(ones, others), [np.dot(one, other) for one, other in each])
    assert np.array_equal(rows.norm(ones), [np.linalg.norm(one) for one in ones])
    assert np.array_equal(rows.cross(ones, others), [np.cross(one, other) for one, other in each])


def test_eight_atoms_of_rock_salt_are_four_times_two(rock_salt):
    cell = reduced_cell(Cell.of(rock_salt.to_pymatgen()))
    assert sorted(str(cell.species[kind]) for kind in cell.kind) == ["Cl", "Na"]
    edge = rock_salt.lattice_vectors[0][0]
    assert cell.lattice.abc == pytest.approx([edge / np.sqrt(2)] * 3)
    assert cell.lattice.angles == pytest.approx([60] * 3)


@pytest.mark.parametrize("name", ["silicon", "rock_salt", "rutile", "mos2", "dry_ice"])
def test_a_supercell_reduces_to_the_librarys_cell(crystals, name):
    structure = crystals[name].to_pymatgen() * [[1, 1, 0], [0, 1, 0], [0, 0, 2]]
    ours = reduced_cell(Cell.of(structure))
    theirs = structure.get_reduced_structure().get_primitive_structure()
    assert len(ours.frac) == len(theirs)
    assert ours.lattice.parameters == pytest.approx(theirs.lattice.parameters)


def test_a_short_lattice_is_reduced_like_any_other():
    for parameters in ((4, 5, 6, 90, 90, 90), (4, 4, 7, 90, 90, 120), (4, 5, 6, 30, 50, 40)):
        short, other = (kind.from_parameters(*parameters) for kind in (ShortLattice, Lattice))
        assert np.array_equal(short.lll_matrix, other.lll_matrix)
        assert np.array_equal(short.lll_inverse, other.lll_inverse)
        niggli = other.get_niggli_reduced_lattice()
        assert np.allclose(short.get_niggli_reduced_lattice().matrix, niggli.matrix, atol=1e-9)


@pytest.mark.parametrize("name", ["silicon", "rock_salt", "rutile", "mos2", "dry_ice"])
def test_listed_operations_exchange_the_sites_that_found_ones_do(crystals, name):
    listed = Symmetry(crystals[name].to_pymatgen(), symprec=0.01).of_conventional_cell()
    found = Symmetry(listed.structure, symprec=0.01).of_cell()
    assert listed.equivalent.tolist() == found.equivalent.tolist()
    assert len(listed.rotations) == len(found.rotations)


def test_operations_are_searched_where_atoms_move(rutile):
    structure = rutile.to_pymatgen()
    assert Symmetry(structure, symprec=0.01)._moved() < STILL
    structure.translate_sites([0], [0.002, 0.001, 0], frac_coords=False)
    assert STILL < Symmetry(structure, symprec=0.01)._moved() < 0.01


def test_titanium_in_rutile_shares_two_edges_and_eight_corners(rutile):
    structure = rutile.to_pymatgen()
    symmetry = Symmetry(structure, symprec=0.01).of_cell()
    orbits = find_orbits(symmetry)
    neighbors = site_neighbors(symmetry.cell, Chemistry(symmetry.cell), orbits.representatives)
    prints, _ = site_fingerprints(list(neighbors.values()))
    place = {first: number for number, first in enumerate(neighbors)}
    of_sites = prints[[place[first] for first in orbits.representative.tolist()]]
    analyzer = FastSiteAnalyzer(Bonds(symmetry, neighbors, orbits), of_sites, orbits, symmetry)
    titanium = [x for x in analyzer.get_next_nearest_neighbors(0) if x["element"] == "Ti"]
    assert Counter(x["connectivity"] for x in titanium) == {"edge": 2, "corner": 8}
    edges = [x for x in titanium if x["connectivity"] == "edge"]
    assert [x["distance"] for x in edges] == pytest.approx([structure.lattice.c] * 2)
    assert all(len(x["angles"]) == 2 for x in edges)
