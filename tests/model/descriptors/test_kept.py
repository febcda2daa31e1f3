"""Slow descriptors are computed once, side by side, and a crystal that fails costs itself."""

import sqlite3

import numpy as np
import pytest
from slow_descriptors import Counting, Lacking
from small import rotated, supercell

from curate.errors import InputError
from model.descriptors.kept import kept_values


def computed(counting, records, folder, workers, name="counting"):
    return kept_values({name: counting}, records, folder, workers)[name]


@pytest.fixture
def records(crystals):
    return list(crystals.values())


def test_each_crystal_is_computed_once_and_kept(records, tmp_path):
    counting = Counting(tmp_path / "log")
    some = [record for record in records if set(record.species_at_sites) != {"Si"}]
    first = computed(counting, [*some, some[0]], tmp_path, workers=2)
    assert first.tolist() == [
        [record.nsites, len(set(record.species_at_sites))] for record in [*some, some[0]]
    ]
    assert len((tmp_path / "log").read_text().split()) == len(some)
    again = computed(counting, some[::-1], tmp_path, workers=2)
    assert again.tolist() == first[:-1][::-1].tolist()
    assert len((tmp_path / "log").read_text().split()) == len(some)
    computed(counting, [supercell(some[0])], tmp_path, workers=1)  # another crystal
    computed(counting, [some[0]], tmp_path, workers=1, name="other")
    assert len((tmp_path / "log").read_text().split()) == len(some) + 2


def test_a_crystal_that_fails_has_no_numbers_and_is_told_of(records, tmp_path, caplog):
    counting = Counting(tmp_path / "log")
    found = computed(counting, records, tmp_path, workers=2)
    silicon = [set(record.species_at_sites) == {"Si"} for record in records]
    assert any(silicon) and not all(silicon)
    assert np.isnan(found).all(1).tolist() == silicon
    assert "no silicon here" in caplog.text
    kept = sqlite3.connect(tmp_path / "descriptors.sqlite").execute("select count(*) from kept")
    assert kept.fetchone()[0] == silicon.count(False)


def test_a_missing_extra_ends_the_command(records, tmp_path):
    with pytest.raises(InputError, match="need sevenn"):
        kept_values({"lacking": Lacking()}, records[:1], tmp_path, workers=1)


def test_a_turned_crystal_is_looked_up_as_another(records, tmp_path):
    counting = Counting(tmp_path / "log")
    record = next(record for record in records if set(record.species_at_sites) != {"Si"})
    computed(counting, [record, rotated(record)], tmp_path, workers=1)
    assert len((tmp_path / "log").read_text().split()) == 2


def test_what_one_of_two_lacks_is_computed_alone(records, tmp_path):
    first, second = Counting(tmp_path / "first"), Counting(tmp_path / "second")
    some = [record for record in records if set(record.species_at_sites) != {"Si"}]
    kept_values({"first": first}, some[:2], tmp_path, workers=1)
    both = kept_values({"first": first, "second": second}, some, tmp_path, workers=1)
    assert both["first"].tolist() == both["second"].tolist()
    for log in ("first", "second"):
        assert len((tmp_path / log).read_text().split()) == len(some)
