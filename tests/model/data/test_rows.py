"""Rows read piece by piece are the rows of the files, wherever one looks."""

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import InputError
from model.data import rows as reading
from model.data.rows import Rows

TABLE = pa.table(
    {
        "material_id": [f"mp-{number}" for number in range(2500)],
        "band_gap": [number / 7 if number % 3 else None for number in range(2500)],
        "condensed_structure": ["{}"] * 2500,
    }
)


@pytest.fixture
def files(tmp_path):
    for number, (start, size) in enumerate([(0, 1700), (1700, 800)]):
        path = tmp_path / f"train-{number}.parquet"
        pq.write_table(TABLE.slice(start, size), path, row_group_size=1100)
    return sorted(tmp_path.iterdir())


def test_files_and_a_dataset_of_the_hub_give_the_same_rows(files):
    of_files = Rows.from_files(files)
    of_dataset = Rows.from_dataset(datasets.Dataset(TABLE))
    expected = TABLE.drop_columns(["condensed_structure"]).to_pylist()
    for rows in (of_files, of_dataset):
        assert len(rows) == 2500
        assert list(rows) == expected
        assert [rows[number] for number in (2499, 0, 1699, 1700, 1099)] == [
            expected[number] for number in (2499, 0, 1699, 1700, 1099)
        ]
        assert rows.column("band_gap") == TABLE["band_gap"].to_pylist()
        assert rows.revision is None
        with pytest.raises(IndexError):
            rows[2500]


def test_large_columns_are_read_on_demand_and_a_thousand_rows_are_held(files):
    rows = Rows.from_files(files)
    assert "condensed_structure" not in rows[3]
    assert rows.only(["condensed_structure"])[1701] == {"condensed_structure": "{}"}
    _ = rows[1000]
    numbers, held = rows._open
    assert len(held) <= reading.AT_ONCE and 1000 in numbers


def test_files_of_other_columns_are_refused_by_name(files):
    pq.write_table(TABLE.drop_columns(["band_gap"]), files[1])
    with pytest.raises(InputError, match=r"train-1\.parquet has other columns than .*train-0"):
        Rows.from_files(files)
