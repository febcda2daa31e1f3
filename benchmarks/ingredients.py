"""What does each ingredient of the network cost? A training step and a prediction, as a ratio to the default.

    OMP_NUM_THREADS=1 python benchmarks/ingredients.py [--n 12] [--times 5]

The networks take turns on the same crystals of the embedded sample, those with a text in the tests' data;
figures are medians of CPU seconds, and a few percent are noise. Beside them: what an encoder of texts and
what descriptors cost a crystal, and what a text takes on disk. Descriptors of a potential need the extra
`potential`. Writes results/ingredients.json.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from setting import setting
from torch.nn import functional as F  # noqa: N812

from curate.describe.description import describe
from curate.record import StructureRecord
from curate.sources.sample import Sample
from model.config import GraphConfig, NetworkConfig
from model.data.descriptor_scale import DescriptorScale
from model.descriptors import Crystal, chosen, descriptor_values
from model.descriptors.kept import compute
from model.graphs.build import build_graphs
from model.network.batch import Example, collate
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.text.encoder import TextEncoder
from model.text.tfidf import TfidfEncoder

RESULT = Path(__file__).parent / "results" / "ingredients.json"
TEXTS = json.loads((Path(__file__).parents[1] / "tests" / "data" / "jarvis_texts.json").read_text())
DESCRIPTORS = ("magpie", "cell", "condensed")
OF_A_POTENTIAL = (
    ("energy", "potential"),
    ("layers",),
    ("vibrations",),
)  # what takes passes of its own
DEFAULT = NetworkConfig()
NETWORKS = {
    "default": (DEFAULT, GraphConfig(), ()),
    "--readout atoms+bonds": (replace(DEFAULT, readout="atoms+bonds"), GraphConfig(), ()),
    "--fusion cross-attention": (replace(DEFAULT, fusion="cross-attention"), GraphConfig(), ()),
    "--modality-dropout 0.2": (replace(DEFAULT, modality_dropout=0.2), GraphConfig(), ()),
    f"--descriptors {' '.join(DESCRIPTORS)}": (DEFAULT, GraphConfig(), DESCRIPTORS),
    "--shell-tolerance 1e-6": (DEFAULT, GraphConfig(shell_tolerance=1e-6), ()),
    "--max-neighbors 24": (DEFAULT, GraphConfig(max_neighbors=24), ()),
}


@dataclass(frozen=True)
class Config:
    """How much is computed."""

    n: int = 12
    """Crystals of a batch."""
    times: int = 5
    """Rounds in which each network trains and predicts once."""


def main(config: Config) -> None:
    records = [r for r in Sample().records() if r.material_id in TEXTS][: config.n]
    texts = [TEXTS[record.material_id] for record in records]
    crystals = [Crystal(r, describe(r).condensed_structure) for r in records]
    tokens = TextEncoder("minilm", pooling="tokens")
    found, once = encoded(tokens, texts)
    _, tfidf = encoded(TfidfEncoder.fit(TEXTS.values()), texts)
    columns = {}
    for name in DESCRIPTORS:
        columns[name] = 1000 * seconds(lambda name=name: descriptor_values([name], crystals))
    for names in OF_A_POTENTIAL:
        columns[" and ".join(names)] = 1000 * potential_seconds(names, records)
    steps: dict[str, Callable[[], float]] = {}
    predictions: dict[str, Callable[[], float]] = {}
    for name, (sizes, rule, descriptors) in NETWORKS.items():
        values, widths = numbers(descriptors, crystals)
        examples = seen(records, rule, found, values, sizes.fusion == "cross-attention")
        steps[name], predictions[name] = measured(sizes, examples, widths)
    train: dict[str, list[float]] = {name: [] for name in NETWORKS}
    predict: dict[str, list[float]] = {name: [] for name in NETWORKS}
    for number in range(config.times + 1):
        for name in NETWORKS:
            times = steps[name](), predictions[name]()
            if number:  # the first allocates what the others reuse
                train[name].append(times[0])
                predict[name].append(times[1])
    base = [statistics.median(of["default"]) for of in (train, predict)]
    rows = {
        name: {
            "training": round(statistics.median(train[name]) / base[0], 3),
            "prediction": round(statistics.median(predict[name]) / base[1], 3),
        }
        for name in NETWORKS
    }
    n_tokens = [len(one) for one in found]
    result = {
        "n": len(records),
        "times": config.times,
        "ratio to the default": rows,
        "default, CPU ms a crystal": {
            "training": round(1000 * base[0] / len(records), 1),
            "prediction": round(1000 * base[1] / len(records), 1),
        },
        "texts, CPU ms each": {
            "minilm": round(1000 * once / len(texts), 2),
            "tfidf": round(1000 * tfidf / len(texts), 2),
        },
        "texts, kB each on disk": {
            "minilm, one vector": round(4 * tokens.width / 1000, 1),
            "minilm, tokens": round(2 * tokens.width * statistics.mean(n_tokens) / 1000, 1),
        },
        "descriptors, CPU ms a crystal": {
            name: round(ms / len(records), 2) for name, ms in columns.items()
        },
        "tokens a text": round(statistics.mean(n_tokens), 1),
        **setting(),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of the second call: the first may load what it needs."""
    function()
    started = time.process_time()
    function()
    return time.process_time() - started


def potential_seconds(names: tuple[str, ...], records: list[StructureRecord]) -> float:
    """CPU seconds of these descriptors, all of a crystal in turn; each is new to the potential."""
    descriptors = chosen(names)
    compute(descriptors, records[-1])  # loads the potential
    started = time.process_time()
    for record in records:
        compute(descriptors, record)
    return time.process_time() - started


def encoded(encoder: TextEncoder | TfidfEncoder, texts: list[str]) -> tuple[list, float]:
    """The embeddings in order, and the CPU seconds they took."""
    if isinstance(encoder, TfidfEncoder):
        return list(encoder.vectors(texts)), seconds(lambda: encoder.vectors(texts))
    found = dict(encoder.encode(texts))
    spent = seconds(lambda: list(encoder.encode(texts)))
    return [found[number] for number in range(len(texts))], spent


def numbers(
    descriptors: tuple[str, ...], crystals: list[Crystal]
) -> tuple[np.ndarray | None, list[int]]:
    """(n, width) standardised, None without, and the width of each descriptor."""
    if not descriptors:
        return None, []
    values = descriptor_values(descriptors, crystals)
    scale = DescriptorScale.fit(descriptors, values)
    return scale.standardise(values), scale.widths


def seen(
    records: list[StructureRecord],
    rule: GraphConfig,
    tokens: list[np.ndarray],
    values: np.ndarray | None,
    whole: bool,
) -> list[Example]:
    """The crystals with all tokens of their texts, or with the first as a vector."""
    return [
        Example(
            record.material_id,
            graph,  # type: ignore[arg-type]
            text if whole else text[0].astype(np.float32),
            float(number % 3) - 1,
            None if values is None else values[number],
        )
        for number, (record, graph, text) in enumerate(
            zip(records, build_graphs(records, rule), tokens, strict=True)
        )
    ]


def measured(
    sizes: NetworkConfig, examples: list[Example], descriptor_widths: list[int]
) -> tuple[Callable[[], float], Callable[[], float]]:
    """What trains one step and what predicts once, each giving its CPU seconds, batching included."""
    torch.manual_seed(0)
    text = examples[0].text
    assert text is not None
    model = CrysMMNet(
        CrysMMNetConfig.from_settings(sizes, "both", text.shape[-1], descriptor_widths)
    )
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> float:
        model.train()
        started = time.process_time()
        batch = collate(examples, model.reads_angles)
        optimizer.zero_grad()
        F.mse_loss(model(batch), batch.target).backward()
        optimizer.step()
        return time.process_time() - started

    def predict() -> float:
        model.eval()
        started = time.process_time()
        with torch.inference_mode():
            model(collate(examples, model.reads_angles, "torch"))
        return time.process_time() - started

    return step, predict


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
