"""Which ingredient pays: one change at a time to a small network, on each data set, fold by fold.

Every training is kept, so that the same command goes on where it was stopped; the results file is written
after each. Equal epochs and batches for all; validation chooses the epoch.

    OMP_NUM_THREADS=1 python benchmarks/ablation.py jdft2d=RUN jarvis=RUN --out FOLDER --results FILE
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from setting import setting

from curate.files import write_json
from model.config import GraphConfig, NetworkConfig, TrainConfig
from model.data.materials import load_rows, read_materials
from model.descriptors import descriptor_values
from model.experiments.composition_baseline import DESCRIPTORS_READ, trees_predictions
from model.model_folder import TUNED_ENCODER, ModelFolder
from model.statistics.paired_difference import Errors, paired_difference
from model.training.train import train

RESULT = Path(__file__).parent / "results" / "ablation.json"
TASKS: dict[str, dict[str, Any]] = {
    "jdft2d": {"target": "exfoliation_en", "folds": "fold_matbench_jdft2d"},
    "exfoliation": {"target": "exfoliation_energy", "split": "official"},
    "phonons": {"target": "last phdos peak", "folds": "fold_matbench_phonons"},
    "formation": {"target": "formation_energy_peratom"},
    "gap": {"target": "optb88vdw_bandgap"},
}
OF_THE_QUESTION = {"jdft2d": "layers", "exfoliation": "layers", "phonons": "vibrations"}
EPOCHS = 40
TRAININGS = 3  # folds, or seeds, of each variant
MORE = 5  # of those in `variants` on the benchmarks: all folds
SMALL = NetworkConfig(width=64, embedding_width=32, alignn_layers=1, gcn_layers=2)
GRAPH = GraphConfig(max_neighbors=8)
TREES = "trees on the composition"
PAPER = "both"
TREES_TOO = "trees on all descriptors"
WHOLE = ("magpie", "cell", "condensed", "energy", "potential")
DEAR = ("jdft2d",)  # data sets on which the costly variants are trained too
GONE = ("both, gate",)  # fusions that paid nowhere and are no longer in the code
SHARES = {"formation": (0.375, 0.6), "gap": (0.375, 0.6)}  # of 800 crystals: 300, 480


def variants(task: str) -> dict[str, dict[str, Any]]:
    """Changes to the paper's recipe by name; each is compared with the one named in `base_of`."""
    both, graph = {"modality": "both"}, {"modality": "graph"}
    whole = (*WHOLE, *([OF_THE_QUESTION[task]] if task in OF_THE_QUESTION else []))
    best = {"loss": "l1", "descriptors": whole}
    tfidf = {**both, **best, "text_encoder": "tfidf"}
    return {
        "both": both,
        "graph, l1, descriptors": {**graph, **best},
        "both, l1, tfidf, descriptors": tfidf,
        "both, l1, mean pooling, descriptors": {**both, **best, "text_pooling": "mean"},
        "shuffled, l1, tfidf, descriptors": {**tfidf, "text": "shuffled"},
    }


def shares(task: str) -> dict[str, dict[str, Any]]:
    """The same with fewer training crystals, and as many updates."""
    return {
        f"{name}, {share:g} of the crystals": {
            **changes,
            "train_fraction": share,
            "equal_updates": True,
        }
        for share in SHARES.get(task, ())
        for name, changes in variants(task).items()
        if name in ("both", "graph, l1, descriptors")
    }


def ingredients(task: str) -> dict[str, dict[str, Any]]:
    """One change at a time."""
    both, graph = {"modality": "both"}, {"modality": "graph"}
    return {
        "graph": graph,
        "shuffled": {**both, "text": "shuffled"},
        "graph, l1": {**graph, "loss": "l1"},
        "both, l1": {**both, "loss": "l1"},
        "both, tfidf": {**both, "text_encoder": "tfidf"},
        "shuffled, tfidf": {**both, "text_encoder": "tfidf", "text": "shuffled"},
        "both, mean pooling": {**both, "text_pooling": "mean"},
        "both, cross-attention": {**both, "network": replace(SMALL, fusion="cross-attention")},
        "both, modality dropout": {**both, "network": replace(SMALL, modality_dropout=0.2)},
        "graph, atoms+bonds": {**graph, "network": replace(SMALL, readout="atoms+bonds")},
        "graph, magpie": {**graph, "descriptors": ("magpie",)},
        "graph, potential": {**graph, "descriptors": ("energy", "potential")},
    }


def tuned(task: str) -> dict[str, dict[str, Any]]:
    """The text encoder tuned on the property before, where that is affordable."""
    if task not in DEAR:
        return {}
    mean = {"modality": "both", "text_pooling": "mean"}
    best = variants(task)["graph, l1, descriptors"]
    return {
        "both, tuned": {**mean, "tune_text": "lora"},
        "both, l1, tuned, descriptors": {**best, **mean},
    }


def published_size(task: str) -> dict[str, dict[str, Any]]:
    """The paper's recipe and the best one without text at the width and depth of the released code."""
    size = {"network": NetworkConfig(), "graph": GraphConfig()}
    names = ("both", "graph, l1, descriptors") if task in DEAR else ()
    return {f"{name}, published size": {**variants(task)[name], **size} for name in names}


def base_of(name: str) -> str | None:
    """The variant that this one is compared with."""
    model, share = name.split(", 0.", 1) if ", 0." in name else (name, "")
    if share:
        return None if model == "both" else f"both, 0.{share}"
    if name.endswith("published size"):
        return (
            name.replace("graph, l1, descriptors", "both") if name.startswith("graph") else "both"
        )
    if name in ("both", "graph"):
        return {"graph": "both"}.get(name)
    if name.startswith(TREES):
        return "both"
    if name == TREES_TOO:
        return "graph, l1, descriptors"
    if name.startswith("both, l1, ") and name.endswith(", descriptors"):
        return "graph, l1, descriptors"
    if name.startswith("shuffled"):
        return "both" + name.removeprefix("shuffled")
    if name == "both, tuned":
        return "both, mean pooling"
    return "graph" if name.startswith("graph, ") and "descriptors" not in name else "both"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help=f"TASK=RUN, of {', '.join(TASKS)}")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--results", type=Path, default=RESULT)
    parser.add_argument("--cache", type=Path, help="folder where descriptors and texts are kept")
    parser.add_argument(
        "--finished", action="store_true", help="train nothing, name what is missing"
    )
    given = parser.parse_args()
    tasks = dict(one.split("=", 1) for one in given.data)
    done: list[dict[str, Any]] = []
    missing: list[str] = []
    plan = [(kind, range(TRAININGS)) for kind in (variants, shares, ingredients, tuned)]
    plan += [(variants, range(TRAININGS, MORE)), (published_size, range(TRAININGS))]
    for kind, numbers in plan:
        for number in numbers:
            for task, data in tasks.items():
                if number >= TRAININGS and task not in OF_THE_QUESTION:
                    continue
                for name, changes in kind(task).items():
                    folder = folder_of(given.out, task, name, number)
                    if given.finished and not ModelFolder(folder).is_finished:
                        missing.append(folder.name)
                        continue
                    if given.cache:
                        changes["cache"] = given.cache
                    done.append(one_training(given.out, task, data, name, changes, number))
                    if (names := trees_beside(task, name)) is not None:
                        done.append(trees(given.out, task, data, name, names, number, given.cache))
                    if not given.finished:
                        write_json(given.results, answer(done))
    gone = [(task, name, n) for task in tasks for name in GONE for n in range(TRAININGS)]
    for task, name, number in gone:
        if ModelFolder(folder := folder_of(given.out, task, name, number)).is_finished:
            done.append(row_of(folder, task, name, number))
    write_json(given.results, {**answer(done), "not trained": missing})


def trees_beside(task: str, name: str) -> tuple[str, ...] | None:
    """What trees read on the crystals of a training: the formula, all descriptors, or there are none."""
    if base_of(name) is None:
        return DESCRIPTORS_READ
    return variants(task)[name]["descriptors"] if name == "graph, l1, descriptors" else None


def one_training(
    out: Path, task: str, data: str, name: str, changes: dict[str, Any], number: int
) -> dict[str, Any]:
    """Train, unless it is trained."""
    about = TASKS[task]
    folder = folder_of(out, task, name, number)
    settings = {
        "data": data, "out": folder, "epochs": EPOCHS, "batch_size": 16, "text_encoder": "minilm",
        "graph": GRAPH, "network": SMALL, "seed": number, **about, **changes,
    }  # fmt: skip
    if "folds" in about:
        settings["fold"] = str(number)
    if name == "both, l1, tuned, descriptors":  # tuning reads none: the encoder is there already
        settings["text_encoder"] = str(folder_of(out, task, "both, tuned", number) / TUNED_ENCODER)
    train(TrainConfig(**settings))
    return row_of(folder, task, name, number)


def trees(
    out: Path,
    task: str,
    data: str,
    name: str,
    names: tuple[str, ...],
    number: int,
    cache: Path | None,
) -> dict[str, Any]:
    """Extra trees on the crystals of a training of this name and number; kept, as the training is."""
    kept = out / f"{folder_of(out, task, name, number).name}-trees.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    of_the_network = ModelFolder(folder_of(out, task, name, number)).predictions
    materials = {m.id: m for m in read_materials(load_rows(data), None)}
    seen = [materials[row["id"]] for row in of_the_network]
    started = time.perf_counter()
    values = np.nan_to_num(descriptor_values(names, seen, cache))
    targets = np.array([float(row["target"]) for row in of_the_network])
    learned = np.array([row["split"] == "train" for row in of_the_network])
    found = trees_predictions(values, targets, learned, number, False)
    errors = {
        row["id"]: abs(target - guess)
        for row, target, guess in zip(of_the_network, targets.tolist(), found.tolist(), strict=True)
        if row["split"] == "test"
    }
    variant = (TREES if names == DESCRIPTORS_READ else TREES_TOO) + name.removeprefix("both")
    made = {"task": task, "variant": variant.removesuffix("graph, l1, descriptors"), "training": number,
            "mae": float(np.mean(list(errors.values()))), "val_mae": None, "n_train": int(learned.sum()),
            "seconds": time.perf_counter() - started, "errors": errors}  # fmt: skip
    print(task, made["variant"], number, f"{made['mae']:.4f}", flush=True)
    write_json(kept, made)
    return made


def folder_of(out: Path, task: str, name: str, number: int) -> Path:
    """Of a training."""
    plain = name.replace(", ", "-").replace(" ", "-").replace("+", "-")
    return out / f"{task}-{plain}-{number}"


def row_of(folder: Path, task: str, name: str, number: int) -> dict[str, Any]:
    """Scores, seconds and the errors of the test crystals of a finished training."""
    model = ModelFolder(folder)
    errors = {
        row["id"]: abs(float(row["target"]) - float(row["prediction"]))
        for row in model.predictions
        if row["split"] == "test"
    }
    row = {"task": task, "variant": name, "training": number, "mae": model.metrics["test"]["mae"],
           "val_mae": model.metrics["val"]["mae"], "n_train": model.metrics["train"]["n"],
           "seconds": model.training["seconds"], "errors": errors}  # fmt: skip
    print(task, name, number, f"{row['mae']:.4f}", f"{row['seconds']:.0f} s", flush=True)
    return row


def answer(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Means, and differences to the base with intervals over trainings and crystals: of the first trainings,
    which all variants have, and of those that have more."""
    first = [row for row in done if row["training"] < TRAININGS]
    several = {(row["task"], row["variant"]) for row in done if row["training"] >= TRAININGS}
    more = [row for row in done if (row["task"], row["variant"]) in several]
    return {**setting(), "epochs": EPOCHS, "tasks": tables_of(first), "more": tables_of(more)}


def tables_of(done: list[dict[str, Any]]) -> dict[str, Any]:
    """The variants of each data set, with the difference to their base and to the paper's recipe."""
    tables: dict[str, Any] = {}
    for task in dict.fromkeys(row["task"] for row in done):
        errors: dict[str, Errors] = defaultdict(dict)
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in done:
            if row["task"] == task:
                rows[row["variant"]].append(row)
                for name, error in row["errors"].items():
                    errors[row["variant"]][row["training"], name] = error  # type: ignore[index]
        tables[task] = {
            name: {
                "mae": float(np.mean([row["mae"] for row in found])),
                "maes": [row["mae"] for row in found],
                "val_maes": [row["val_mae"] for row in found],
                "training crystals": [row["n_train"] for row in found],
                "seconds": float(np.mean([row["seconds"] for row in found])),
                **difference(errors, base_of(name), name),
                "to the paper's": difference(errors, PAPER, name) if name != PAPER else {},
            }
            for name, found in rows.items()
        }
    return tables


def difference(errors: dict[str, Errors], base: str | None, name: str) -> dict[str, Any]:
    """Of two variants on the crystals and trainings that both have; empty where there is none."""
    if base is None or base not in errors or not errors[base].keys() & errors[name].keys():
        return {}
    found = paired_difference(errors[base], errors[name])
    return {
        "base": base,
        "difference": found.mean,
        "interval": [found.low, found.high],
        "p": found.p,
    }


if __name__ == "__main__":
    main()
