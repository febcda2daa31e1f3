import pytest
from pymatgen.core import DummySpecies, Lattice, Structure

from curate import StructureRecord
from curate.record import reduced_formula


def test_a_crystal_survives_the_way_to_pymatgen_and_back(crystals):
    for name, record in crystals.items():
        again = StructureRecord.from_pymatgen(record.to_pymatgen(), name)
        assert again.species_at_sites == record.species_at_sites
        assert again.lattice_vectors == record.lattice_vectors
        for here, there in zip(
            again.cartesian_site_positions, record.cartesian_site_positions, strict=True
        ):
            assert here == pytest.approx(there, abs=1e-12)


def test_formulas_are_written_as_optimade_writes_them(rock_salt, rutile):
    assert rock_salt.chemical_formula_reduced == "ClNa"
    assert rutile.chemical_formula_reduced == "O2Ti"
    assert reduced_formula(["O"] * 4) == "O"


def test_deuterium_is_read_as_hydrogen_and_noted():
    ice = Structure(Lattice.cubic(4), ["D", "D", "O"], [[0, 0, 0.2], [0, 0.2, 0], [0, 0, 0]])
    record = StructureRecord.from_pymatgen(ice, "heavy-water")
    assert record.species_at_sites == ("H", "H", "O")
    assert record.note == "deuterium read as hydrogen"


def test_what_is_no_ordered_crystal_is_refused():
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match="site 0"):
        StructureRecord.from_pymatgen(alloy, "alloy")
    vacancy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match="site 0"):
        StructureRecord.from_pymatgen(vacancy, "vacancy")
    unknown = Structure(Lattice.cubic(3.6), [DummySpecies("X")], [[0, 0, 0]])
    with pytest.raises(ValueError, match="no element"):
        StructureRecord.from_pymatgen(unknown, "unknown")


def test_oxidation_states_are_left_out(rock_salt):
    decorated = rock_salt.to_pymatgen()
    decorated.add_oxidation_state_by_guess()
    assert StructureRecord.from_pymatgen(decorated, "x").species_at_sites[:1] == ("Na",)
