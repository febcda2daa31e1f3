import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pymatgen.core import Element, Lattice, Structure

from curate import StructureRecord
from curate.describe.description import describe
from curate.describe.options import DescribeOptions
from curate.describe.render import in_fixed_order, render
from curate.record import STATUSES

DATA = Path(__file__).parents[2] / "data"


@pytest.mark.parametrize("name", ["silicon", "rock_salt", "rutile", "mos2", "dry_ice"])
def test_texts_are_the_golden_ones(crystals, name):
    description = describe(crystals[name])
    assert description.text == (DATA / f"{name}.txt").read_text().strip()
    assert description.symprec == 0.01
    assert description.origin == "robocrys 0.2.13"


def test_stock_says_the_same(rock_salt):
    stock = describe(rock_salt, DescribeOptions(describer="stock"))
    assert stock.text == (DATA / "rock_salt.txt").read_text().strip()


def test_the_materials_projects_own_texts_are_reproduced():
    """15 texts as the Materials Project publishes them, apart from its hyphens for dashes.

    One of them (mp-1079080) lists "edge and corner-sharing"; ours are always in alphabetical order.
    """
    rows = pq.read_table(DATA / "mp_official_texts.parquet").to_pylist()
    assert len(rows) == 15
    reordered = 0
    for row in rows:
        structure = Structure.from_dict(json.loads(row["structure"]))
        text = describe(StructureRecord.from_pymatgen(structure, row["id"])).text
        assert text is not None
        official = row["description_mp_labels"].replace("–", "-")
        assert text.replace("–", "-") == in_fixed_order(official), row["id"]
        reordered += in_fixed_order(official) != official
    assert reordered == 1


def test_the_condensed_structure_renders_the_same_and_other_texts(mos2, rutile):
    for record in (mos2, rutile):
        description = describe(record)
        condensed = description.condensed_structure
        assert condensed is not None
        assert render(condensed) == description.text
        assert json.loads(condensed)["formula"] in ("MoS2", "TiO2")
    fancy = render(condensed, DescribeOptions(text_format="unicode", site_labels=False))
    assert "TiO₂ is Rutile structured" in fancy and "Ti(1)" not in fancy


def test_a_formula_with_a_fraction_in_unicode(rutile):
    condensed = describe(rutile).condensed_structure
    assert condensed is not None
    changed = condensed.replace('"TiO2"', '"Ti0.5O"').replace('"O6"', '"O5.5"')
    text = render(changed, DescribeOptions(text_format="unicode"))
    assert "Ti₀.₅O is Rutile structured" in text
    assert "TiO₅.₅ octahedra" in text
    assert text.count("1.9") == render(changed).count("1.9") > 0


def test_every_option_changes_the_text(rutile, dry_ice):
    plain = describe(rutile).text
    decorated = describe(rutile, DescribeOptions(oxidation_states=True)).text
    assert "Ti(1)4+ is bonded to six equivalent O(1)2- atoms" in decorated
    assert decorated != plain
    assert "TiO$_{2}$" in describe(rutile, DescribeOptions(text_format="latex")).text
    silicon_cell = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.431), ["Si"], [[0, 0, 0]])
    primitive = StructureRecord.from_pymatgen(silicon_cell.get_primitive_structure(), "Si")
    options = DescribeOptions(conventional_cell=False)
    assert "four equivalent Si(1)" in describe(primitive, options).text


def crystal(symbols, positions, a=4.0) -> StructureRecord:
    cell = ((a, 0.0, 0.0), (0.0, a, 0.0), (0.0, 0.0, a))
    return StructureRecord("odd", cell, tuple(symbols), tuple(positions))


def test_what_cannot_be_described_has_a_status_of_its_own(silicon):
    here, near, far = (0.0, 0.0, 0.0), (0.0, 0.0, 0.3), (2.0, 2.0, 2.0)
    cases = {
        "empty_cell": [crystal([], []), replace(silicon, lattice_vectors=((1.0, 0, 0),) * 3)],
        "dummy_species": [crystal(["X"], [here])],
        "unsupported_element": [crystal(["Og", "O"], [here, far])],
        "overlapping_atoms": [
            crystal(["C", "O"], [here, near]),
            crystal(["C", "O"], [here, here]),
            crystal(["C"], [here], a=0.4),
        ],
        "unreadable": [crystal(["C"], [(float("nan"), 0.0, 0.0)])],
    }
    for status, records in cases.items():
        assert status in STATUSES
        for record in records:
            description = describe(record)
            assert description.status == status
            assert description.stage == "check" and description.error_message
            assert description.text is None


def test_every_supported_element_is_described():
    """Rock salt of each element and oxygen: none of them breaks Robocrystallographer."""
    for number in (1, 2, 10, 18, 36, 54, 86, 87, 92, 94):
        symbol = Element.from_Z(number).symbol
        partner = "O" if symbol != "O" else "S"
        cell = Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.2), [symbol, partner], [[0, 0, 0], [0.5, 0.5, 0.5]]
        )
        description = describe(StructureRecord.from_pymatgen(cell, symbol))
        assert description.status == "described", description


def test_a_record_that_brings_a_text_keeps_it(silicon):
    record = replace(silicon, description="Si is Si.", description_origin="somebody")
    description = describe(record)
    assert (description.text, description.origin) == ("Si is Si.", "somebody")


def test_word_lists_come_in_one_order():
    said = "form a mixture of distorted face, edge, and corner-sharing TiO6 octahedra."
    assert "a mixture of distorted corner, edge, and face-sharing" in in_fixed_order(said)
    said = "form a mixture of edge and corner-sharing SiO4 tetrahedra."
    assert "a mixture of corner and edge-sharing" in in_fixed_order(said)
    said = "two ribbons oriented in the (1, 0, 0) and (0, -1, 1) directions."
    assert "in the (0, -1, 1) and (1, 0, 0) directions" in in_fixed_order(said)
    said = "one sheet oriented in the (0, 0, 1) direction."
    assert in_fixed_order(said) == said


def test_the_hash_seed_changes_nothing():
    """Rutile mixes corner and edge sharing, which stock lists in the order of a set."""
    code = (
        "from conftest import rutile\n"
        "from curate.describe.description import describe\n"
        "print(describe(rutile.__wrapped__()).text)"
    )
    texts = set()
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(DATA.parent)}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        texts.add(done.stdout.strip())
    assert texts == {(DATA / "rutile.txt").read_text().strip()}
