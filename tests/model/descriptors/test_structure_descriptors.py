"""Magpie's statistics, numbers of the cell and of the condensed structure."""

import json

import numpy as np
import pytest

from curate.describe import describe
from curate.errors import InputError
from curate.record import StructureRecord
from model.descriptors import DESCRIPTORS, Crystal, column_names, descriptor_values

MOS2 = StructureRecord(  # two layers of 2H-MoS2; Å
    "2H-MoS2",
    ((3.19, 0, 0), (-1.595, 2.7626, 0), (0, 0, 14.8)),
    ("Mo", "S", "S", "Mo", "S", "S"),
    (
        *((0, 1.8417, 3.7), (1.595, 0.9209, 2.1), (1.595, 0.9209, 5.3)),
        *((1.595, 0.9209, 11.1), (0, 1.8417, 9.5), (0, 1.8417, 12.7)),
    ),
)


def values(name: str, crystal: Crystal) -> dict[str, float]:
    names = [column.removeprefix(f"{name}: ") for column in column_names([name])]
    return dict(zip(names, descriptor_values([name], [crystal])[0], strict=True))


def test_magpie_is_matminers_preset():
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    featurizer = ElementProperty.from_preset("magpie")
    species = ("Cs", "Pb", "I", "I", "I")
    record = StructureRecord("x", MOS2.lattice_vectors, species, ((0, 0, 0),) * 5)
    wanted = featurizer.featurize(Composition("CsPbI3"))
    assert descriptor_values(["magpie"], [Crystal(record)])[0] == pytest.approx(wanted, abs=1e-9)


def test_the_cell_of_a_layered_crystal():
    cell = values("cell", Crystal(MOS2))
    assert cell["layers"] == 2
    assert cell["thickness"] == pytest.approx(3.2)
    assert cell["gap"] == pytest.approx(4.2)
    assert cell["area per atom"] == pytest.approx(3.19 * 2.7626 / 6)
    assert cell["space group"] == 194
    assert cell["crystal system"] == 5
    # 2 (95.95 + 2 · 32.06) u in 3.19 · 2.7626 · 14.8 Å³, by hand
    assert cell["density"] == pytest.approx(320.14 * 1.66053907 / 130.428, rel=2e-3)


def test_vacuum_beside_a_layer_changes_no_number_of_the_layer():
    wide = StructureRecord(
        "wide",
        (*MOS2.lattice_vectors[:2], (0, 0, 34.8)),
        MOS2.species_at_sites[:3],
        MOS2.cartesian_site_positions[:3],
    )
    wider = StructureRecord(
        "wider",
        (*wide.lattice_vectors[:2], (0, 0, 50)),
        wide.species_at_sites,
        wide.cartesian_site_positions,
    )
    one, other = (values("cell", Crystal(record)) for record in (wide, wider))
    for name in (
        "thickness",
        "area per atom",
        "layers",
        "volume per atom in layers",
        "mean contact",
    ):
        assert one[name] == pytest.approx(other[name]), name
    assert one["gap"] == pytest.approx(other["gap"] - 15.2)


def test_a_moved_origin_changes_no_number_of_the_cell():
    moved = tuple((x + 1.0, y - 0.3, z + 7.7) for x, y, z in MOS2.cartesian_site_positions)
    other = StructureRecord("moved", MOS2.lattice_vectors, MOS2.species_at_sites, moved)
    one, two = (descriptor_values(["cell"], [Crystal(record)]) for record in (MOS2, other))
    assert one == pytest.approx(two)


def test_the_condensed_structure_counts_each_atom_once():
    condensed = describe(MOS2).condensed_structure
    numbers = values("condensed", Crystal(MOS2, condensed))
    assert numbers["dimensionality"] == 2
    assert numbers["components"] == 2
    assert numbers["known mineral"] == 1
    assert numbers["mean coordination"] == pytest.approx((6 + 3 + 3) / 3)
    assert numbers["greatest bond length"] == pytest.approx(2.44, abs=0.01)
    # Pauling: S 2.58, Mo 2.16
    assert numbers["mean difference of electronegativity"] == pytest.approx(0.42)
    sites = json.loads(condensed)["sites"]
    assert numbers["inequivalent sites"] == len(sites)


def test_no_condensed_structure_is_no_number():
    assert np.isnan(descriptor_values(["condensed"], [Crystal(MOS2)])).all()


QUICK = sorted(name for name, found in DESCRIPTORS.items() if found.potential is None)


@pytest.mark.parametrize("name", QUICK)
def test_as_many_numbers_as_names(name):
    crystal = Crystal(MOS2, describe(MOS2).condensed_structure)
    assert DESCRIPTORS[name].compute(crystal).shape == (len(DESCRIPTORS[name].names),)


@pytest.mark.parametrize("condensed", ["{broken", "{}", "[1]", '{"sites": 1}'])
def test_a_damaged_condensed_structure_is_refused_with_the_id(condensed):
    with pytest.raises(InputError, match=r"^2H-MoS2: its condensed structure can't be read"):
        descriptor_values(["condensed"], [Crystal(MOS2, condensed)])
