"""Write docs/recipes.md and docs/gpu.md from recipes.toml, the splits in the package and the measured times.

python docs/make_recipes.py
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from page_template import template

from curate.dataset.splits import official_splits
from curate.properties import UNITS
from model.config import TrainConfig
from model.recipes import EPOCHS, quoted, recipe_settings, training_flags
from model.training import resident

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
STEP = ("training step", "quotient DGL", "seconds")
N_TEXTS = 64  # that `texts_once` of training.json is the time of


@dataclass(frozen=True)
class Recipe:
    """One property: its dataset, target and split, and the test errors that others published."""

    name: str
    data: str
    target: str
    step_seconds: float  # of an update on one core
    best: str
    alignn: str
    matformer: str
    leaderboard: str = ""
    task: str | None = None  # of the JARVIS-Leaderboard; None where no split is official
    n_train: int | None = None  # crystals, where no split is official
    log_target: bool = False

    @property
    def target_flag(self) -> str:
        """The target as a shell reads it."""
        return quoted(self.target)

    @property
    def folder(self) -> str:
        """Name of its prepared folder and of its model."""
        return f"{self.data}-{self.target.replace(' ', '-')}"

    @property
    def flags(self) -> str:
        """What the training is told beside data and target."""
        task = {"task": self.task} if self.task else {}
        return training_flags({**task, "log_target": self.log_target})

    @property
    def unit(self) -> str:
        """Unit of the published errors."""
        unit = UNITS[self.target]
        return f"log10({unit})" if self.log_target else unit

    @property
    def sizes(self) -> str:
        """Crystals to learn from, choose by and test on."""
        if self.task is None:
            return "80 / 10 / 10 %"
        counts = split_sizes()[self.task]
        return " / ".join(f"{counts[part]:,}" for part in ("train", "val", "test"))

    @property
    def updates(self) -> int:
        """Of the weights in an epoch, with the default batch."""
        n_train = self.n_train if self.task is None else split_sizes()[self.task]["train"]
        assert n_train is not None, f"{self.name}: neither task nor n_train"
        return math.ceil(n_train / TrainConfig.batch_size)

    def hours(self, epochs: int) -> str:
        """Core hours of so many epochs."""
        return hours(epochs * self.updates * self.step_seconds)


def hours(seconds: float) -> str:
    """Seconds as hours, with two digits at least."""
    found = seconds / 3600
    return f"{found:.1f}" if found < 9.95 else f"{found:.0f}"


@cache
def split_sizes() -> Mapping[str, Counter[str]]:
    """Crystals in each split of each task; those in two splits count in neither."""
    return {task: Counter(labels.values()) for task, labels in official_splits().items()}


def measured(name: str, *keys: str) -> float:
    """A number of benchmarks/results/NAME.json."""
    found: Any = json.loads((RESULTS / f"{name}.json").read_text())
    for key in keys:
        found = found[key]
    return float(found)


def all_recipes(settings: Mapping[str, Any], step: Mapping[str, float]) -> list[Recipe]:
    """The recipes, with the seconds of an update on each corpus."""
    datasets = settings["datasets"]
    return [
        Recipe(**row, step_seconds=step[datasets[row["data"]]["step"]])
        for row in settings["recipe"]
    ]


def gpu_page() -> str:
    """The whole of gpu.md."""
    settings = recipe_settings()
    gpu = json.loads((RESULTS / "gpu.json").read_text())
    host = json.loads((RESULTS / "host_step.json").read_text())
    step, compiled = "other_batches_s", measured("compiled", "torch, compiled", "other_batches_s")
    size = json.loads((RESULTS / "prepared.json").read_text())
    return template("gpu.md.jinja").render(
        recipes=all_recipes(settings, {"jarvis": 0.0, "mp": 0.0}),
        epochs=EPOCHS,
        share=f"{resident.SHARE:.0%}",
        cpu_mib=resident.CPU_BYTES >> 20,
        gpu=gpu.get("gpu") or {"device": gpu["setting"]["device"], "steps": gpu["steps"]},
        before=f"{1000 * host['before']['cpu_s_an_update']:.0f}",
        now=f"{1000 * host['now']['cpu_s_an_update']:.0f}",
        collated=f"{1000 * host['collated']['cpu_s_an_update']:.0f}",
        collated_ms=f"{1000 * host['collated']['batches_s_an_update']:.2f}",
        gathered_ms=f"{1000 * host['now']['batches_s_an_update']:.2f}",
        calls_collated=f"{host['collated']['python_calls_an_update']:,}",
        calls_before=f"{host['before']['python_calls_an_update']:,}",
        calls_now=f"{host['now']['python_calls_an_update']:,}",
        host_updates=host["now"]["updates"],
        compiled=f"{measured('compiled', 'torch', step) / compiled:.2f}",
        compile_seconds=f"{measured('compiled', 'torch, compiled', 'first_step_wall_s'):.0f}",
        size={**size, "crystals": f"{size['crystals']:,}"},
    )


def recipes_page() -> str:
    """The whole of recipes.md."""
    settings = recipe_settings()
    datasets = settings["datasets"]
    step = {name: measured("quotient", name, *STEP) for name in ("jarvis", "mp")}
    text = measured("training", "epoch", "quotient, kept", "texts_once") / N_TEXTS
    describing = measured("equality", "seconds", "fast", "mean")
    crystals = {name: found["crystals"] for name, found in datasets.items() if "crystals" in found}
    return template("recipes.md.jinja").render(
        datasets=datasets,
        recipes=all_recipes(settings, step),
        sources=settings["sources"],
        step=step,
        text_seconds=f"{text:.2f}",
        describing_seconds=f"{describing:.3f}",
        text_hours={name: hours(n * text) for name, n in crystals.items()},
        describing_hours={name: hours(n * describing) for name, n in crystals.items()},
    )


if __name__ == "__main__":
    (DOCS / "recipes.md").write_text(recipes_page())
    (DOCS / "gpu.md").write_text(gpu_page())
