"""A target that is no column of numbers is refused with what made it so."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import InputError
from model.data.materials import read_materials
from model.data.rows import Rows


def test_a_column_of_text_says_which_value_made_it_so(tmp_path):
    table = pa.table({"material_id": ["a", "b", "c"], "gap": ["1.5", None, "n.d. yet"]})
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = Rows.from_files([tmp_path / "rows.parquet"])
    with pytest.raises(InputError, match=r"'gap' is a column of text: c has 'n\.d\. yet'"):
        read_materials(rows, "gap")
    with pytest.raises(InputError, match="unknown target 'gaps'"):
        read_materials(rows, "gaps")
