"""All tables derive from one list of columns."""

from dataclasses import asdict, fields, replace

import pyarrow as pa
from builds import some

from curate.record import Description, SkippedEntry, StructureRecord
from curate.run.schema import (
    CHANGES,
    COLUMNS,
    DATASET,
    DESCRIPTIONS,
    MANIFEST,
    STRUCTURES,
    dataset_row,
    record_of_row,
    schema_of,
)


def names(*classes) -> set[str]:
    return {field.name for each in classes for field in fields(each)}


def test_the_tables_of_a_run_hold_every_field():
    assert set(STRUCTURES.names) == names(StructureRecord, SkippedEntry)
    assert set(DESCRIPTIONS.names) == names(Description)
    assert set(MANIFEST.names) <= names(Description)
    used = {*STRUCTURES.names, *DESCRIPTIONS.names, *DATASET, *CHANGES.names}
    assert used == COLUMNS.keys()


def test_a_record_survives_the_way_through_a_dataset():
    [record] = some(1)
    record = replace(record, license="MIT", description="as written", description_origin="me")
    description = Description(record.material_id, "described", text="as written", origin="me")
    row = dataset_row(record, description)
    assert list(row)[: len(DATASET)] == list(DATASET)
    table = pa.Table.from_pylist([row], schema=schema_of(DATASET))
    [read] = table.to_pylist()
    assert record_of_row(read) == replace(record, properties={})
    assert asdict(record)["properties"].items() <= row.items()
