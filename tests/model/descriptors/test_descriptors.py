"""Descriptors: numbers of a crystal, whatever cell it is written in."""

from typing import get_args

import numpy as np
import pytest
from small import reordered, rotated, supercell

from curate.errors import InputError
from model.config import DescriptorName
from model.descriptors import DESCRIPTORS, Crystal, column_names, descriptor_values


def test_every_descriptor_that_can_be_chosen_is_there():
    assert set(DESCRIPTORS) == set(get_args(DescriptorName))


def test_the_composition_of_rutile(rutile):
    (found,) = descriptor_values(["composition"], [Crystal(rutile)])
    named = dict(zip(column_names(["composition"]), found, strict=True))
    assert len(named) == 103
    assert {name: value for name, value in named.items() if value} == {
        "composition: fraction of O": pytest.approx(2 / 3),
        "composition: fraction of Ti": pytest.approx(1 / 3),
    }


QUICK = [name for name, found in DESCRIPTORS.items() if found.potential is None]


@pytest.mark.parametrize("name", QUICK)
def test_another_cell_of_the_same_crystal_has_the_same_numbers(name, crystals):
    for record in crystals.values():
        written = [record, reordered(record), rotated(record), supercell(record)]
        first, *others = descriptor_values([name], map(Crystal, written))
        assert first.shape == (len(column_names([name])),)
        for other in others:
            assert np.allclose(first, other, atol=1e-8, equal_nan=True), record.material_id


def test_no_crystals_have_no_rows_but_all_columns():
    assert descriptor_values(["composition"], []).shape == (0, 103)


def test_an_unknown_descriptor_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="no descriptor 'colour'; known: composition"):
        descriptor_values(["colour"], [])
