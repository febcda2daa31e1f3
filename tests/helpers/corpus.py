"""48 JARVIS-DFT crystals with Robocrystallographer's texts, as a dataset folder of curate's form."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curate.dataset.splits import official_splits
from curate.record import Description
from curate.run.schema import dataset_row
from curate.sources.sample import Sample
from model.config import NetworkConfig

TEXTS = json.loads((Path(__file__).parents[1] / "data" / "jarvis_texts.json").read_text())
ORIGIN = "robocrys 0.2.13"
TARGET = "formation_energy_peratom"
TINY = NetworkConfig(width=8, alignn_layers=1, gcn_layers=1, embedding_width=8, projection_width=8)


def records() -> list:
    return [record for record in Sample().records() if record.material_id in TEXTS]


def rows() -> list[dict]:
    splits = official_splits()
    found = []
    for record in records():
        name = record.material_id
        text = Description(name, "described", text=TEXTS[name], origin=ORIGIN)
        labels = {f"split_{task}": split.get(name) for task, split in splits.items()}
        found.append({**dataset_row(record, text), **labels})
    return found


def write_dataset(folder: Path, changed: list[dict] | None = None) -> str:
    """The dataset folder's path, as the command line takes it."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(changed if changed is not None else rows())
    for position, name in enumerate(table.column_names):  # a column without any value has no type
        if pa.types.is_null(table.schema.field(name).type):
            kind = pa.string() if name.startswith("split_") or "structure" in name else pa.float64()
            table = table.set_column(position, name, table.column(name).cast(kind))
    pq.write_table(table, folder / "train-00000.parquet")
    return str(folder)
