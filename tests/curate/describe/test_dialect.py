"""The Materials Project's own texts: its options, and emmet-core's function, which writes them."""

import json
import re
from dataclasses import replace

import pytest
from builds import Crystals
from emmet.core.utils import generate_robocrys_condensed_struct_and_description as emmet

from curate.build import build
from curate.config import BuildConfig
from curate.describe.condense import decorate
from curate.describe.description import describe
from curate.describe.options import DescribeOptions, in_dialect
from curate.describe.render import in_fixed_order, render
from curate.errors import InputError
from curate.run.folder import Run

MP = in_dialect(DescribeOptions(), "mp")


@pytest.mark.parametrize("name", ["rutile", "mos2"])
def test_a_text_is_letter_by_letter_that_of_emmet_core(request, name):
    record = request.getfixturevalue(name)
    structure = record.to_pymatgen()
    assert decorate(structure, MP)
    theirs = re.sub(r"np\.int64\((-?\d+)\)", r"\1", emmet(structure)[1])  # its words for numpy 2
    assert describe(record, MP).text == in_fixed_order(theirs)


def test_its_options_are_those_of_the_materials_project(rutile):
    text = describe(rutile, MP).text
    assert "TiO₂ is Rutile structured" in text and "P4₂/mnm" in text
    assert "Ti⁴⁺ is bonded to six equivalent O²⁻ atoms" in text and "(1)" not in text
    assert in_dialect(DescribeOptions(), "own") == DescribeOptions()
    assert in_dialect(DescribeOptions(describer="stock"), "mp").describer == "stock"
    for changed in ({"text_format": "html"},):
        with pytest.raises(InputError, match="--text-dialect mp chooses --text-format itself"):
            in_dialect(DescribeOptions(**changed), "mp")


def test_a_formula_with_a_fraction_is_written_in_html(rutile):
    condensed = json.loads(describe(rutile, MP).condensed_structure)
    condensed["formula"] = "Ti0.5O"
    text = render(json.dumps(condensed), MP)
    assert "Ti<sub>0.5</sub>O" in text and "₂" not in text


def test_a_build_records_the_options_of_its_dialect(tmp_path, rutile):
    config = BuildConfig(out=tmp_path, text_dialect="mp", executor="none")
    build(config, source=Crystals([rutile]))
    record = Run(tmp_path).settings_record
    assert DescribeOptions(**record["describe"]) == MP
    with pytest.raises(InputError, match="text_format was unicode-or-html, now raw"):
        build(replace(config, text_dialect="own"), source=Crystals([rutile]))
