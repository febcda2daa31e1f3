"""Write docs/does-text-help.md from the results of `crysmmnet benchmark` and of benchmarks/ablation.py.

python docs/make_does_text_help.py
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page_template import template

from model.recipes import recipe_commands

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
TRAININGS = 3  # of a variant that is shown
LEVEL = 0.05  # below which p is more than chance
SEEN = {  # rows of the table: what a model sees, and its name in the results
    "composition": "trees on the composition",
    "descriptors, trees": "trees",
    "descriptors, kernel": "kernel",
    "descriptors and text, trees": "trees and text",
    "descriptors and text, kernel": "kernel and text",
    "descriptors and shuffled text, trees": "trees and shuffled text",
    "descriptors and shuffled text, kernel": "kernel and shuffled text",
    "blend without text": "blend without text",
    "blend with shuffled text": "blend, shuffled text",
    "blend with text": "blend",
}


@dataclass(frozen=True)
class Task:
    """One benchmark: where its results lie, and what others published."""

    folder: str
    name: str
    published: str  # the best scores, in words
    goal: float  # the best score on the public leaderboard


TASKS = (
    Task("jdft2d", "Matbench jdft2d", "MODNet v0.1.12 33.19; 28.86 outside the leaderboard", 33.19),
    Task("exfoliation", "JARVIS exfoliation energy", "matminer-XGBoost 40.89; ALIGNN 52.70", 40.89),
    Task(
        "phonons", "Matbench phonons", "MEGNet (kgcnn) 28.76; 20.57 outside the leaderboard", 28.76
    ),
)


def results(folder: str) -> dict[str, Any]:
    """The results of a task; FileNotFoundError where they are gone."""
    path = RESULTS / "benchmark" / folder / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))


def scores() -> list[list[str]]:
    """A row for each entry of SEEN, a column for each task."""
    found = [results(task.folder)["models"] for task in TASKS]
    return [
        [seen, *(f"{models[name]['mae']:.2f}" for models in found)] for seen, name in SEEN.items()
    ]


def differences() -> list[list[str]]:
    """A row for each question and task."""
    rows = []
    for task in TASKS:
        for found in results(task.folder)["differences"]:
            rows.append(
                [
                    task.name,
                    f"{found['model']} − {found['base']}",
                    f"{found['mean']:+.2f}",
                    f"{found['low']:+.2f} to {found['high']:+.2f}",
                    f"{found['p corrected']:.3f}",
                ]
            )
    return rows


def presets() -> list[list[str]]:
    """A row for each data set of the ablation: the paper's recipe, the best one, what stands beside it; of
    all trainings that there are."""
    rows = []
    for task, variants in {**ablation(), **ablation("more")}.items():
        paper, best = variants["both"], variants["both, l1, mean pooling, descriptors"]
        change = best["to the paper's"]
        low, high = change["interval"]
        others = (
            "graph, l1, descriptors",
            "both, l1, tfidf, descriptors",
            "shuffled, l1, tfidf, descriptors",
        )
        trees = ("trees on the composition", "trees on all descriptors")
        rows.append(
            [
                task,
                str(len(best["maes"])),
                f"{paper['mae']:.4g}",
                f"{best['mae']:.4g}",
                f"{100 * change['difference'] / paper['mae']:+.0f} % "
                f"({100 * low / paper['mae']:+.0f} to {100 * high / paper['mae']:+.0f})",
                *(f"{variants[name]['mae']:.4g}" for name in (*others, *trees)),
            ]
        )
    return rows


def few() -> list[list[str]]:
    """A row for each data set and number of training crystals: paper, best without text, trees."""
    rows = []
    for task, variants in ablation().items():
        endings = sorted(
            name.removeprefix("both") for name in variants if re.fullmatch(r"both(, 0\..*)?", name)
        )
        for ending in (*endings[1:], ""):
            names = ("trees on the composition", "both", "graph, l1, descriptors")
            found = [variants[name + ending] for name in names]
            n = found[1]["training crystals"][0]
            rows.append([task, str(n), *(f"{one['mae']:.4g}" for one in found)])
    return rows


def ablation(part: str = "tasks") -> dict[str, dict[str, Any]]:
    """What `benchmarks/ablation.py` found, by data set and variant: of three trainings, or `more`."""
    return json.loads((RESULTS / "ablation.json").read_text(encoding="utf-8"))[part]


def ingredients(part: str = "tasks") -> list[list[str]]:
    """A row for each variant of the ablation, a column for each data set; see `change`."""
    tasks = ablation(part)
    names = dict.fromkeys(name for variants in tasks.values() for name in variants)
    rows = []
    for name in names:
        found = [variants.get(name, {}) for variants in tasks.values()]
        n_trainings = max(len(one.get("maes", [])) for one in found)
        if not re.search(r", 0\.", name) and n_trainings >= TRAININGS:
            base = next((one["base"] for one in found if "base" in one), "")
            rows.append([name, base, *map(change, found)])
    return rows


def change(found: dict[str, Any]) -> str:
    """The error, and its change in percent of the base's; bold where its interval excludes 0."""
    if len(found.get("maes", [])) < TRAININGS:
        return ""
    if "difference" not in found:
        return f"{found['mae']:.3g}"
    base = found["mae"] - found["difference"]
    middle, low, high = (
        f"{100 * value / base:+.0f}" for value in (found["difference"], *found["interval"])
    )
    told = f"{middle} % ({low} to {high})"
    return f"{found['mae']:.3g}, {f'**{told}**' if found['p'] < LEVEL else told}"


def costs() -> dict[str, Any]:
    """What `benchmarks/ingredients.py` and `benchmarks/tuning.py` measured."""
    kept = {name: RESULTS / f"{name}.json" for name in ("ingredients", "tuning")}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in kept.items()}


def run_it() -> str:
    """The commands that make the results, each on lines of a page's width."""
    told = []
    for task in TASKS:
        build, score = recipe_commands(task.folder)
        told += [build, score.replace(" --descriptors", " \\\n  --descriptors"), ""]
    return "\n".join(told[:-1])


def page() -> str:
    """The page."""
    return template("does-text-help.md.jinja").render(
        tasks=TASKS,
        scores=scores(),
        differences=differences(),
        commands=run_it(),
        ingredients=ingredients(),
        all_folds=ingredients("more"),
        more=ablation("more"),
        folds_of=list(ablation("more")),
        with_text="both, l1, tfidf, descriptors",
        sets=list(ablation()),
        costs=costs(),
        presets=presets(),
        few=few(),
        made={task.folder: results(task.folder)["made"] for task in TASKS},
        units={task.folder: results(task.folder)["unit"] for task in TASKS},
    )


if __name__ == "__main__":
    (DOCS / "does-text-help.md").write_text(page(), encoding="utf-8")
