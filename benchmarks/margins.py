"""Do the margins hold? The blend's, on every fold of each task, at several levels.

Reads the folders of `crysmmnet benchmark`, each with the data and settings that it was made with; a fit that
is missing is made, and the same command goes on where it was stopped. JARVIS: 1,000 crystals of the database
with its own relaxed cells, in five folds: their ids, sorted and then shuffled by `random.Random(0)`, are
dealt out in turn.

    OMP_NUM_THREADS=1 python benchmarks/margins.py jdft2d=FOLDER:RUN phonons=FOLDER:RUN … --cache CACHE
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.files import sha256_of, whole_file, write_json
from model.benchmark.benchmark import blended, check_settings, read_inputs
from model.benchmark.folds import outer_folds
from model.benchmark.margins import CONSTANT, BlendPredictions, chosen, widths
from model.benchmark.members import members
from model.benchmark.run import fit_all
from model.config import BenchmarkConfig
from model.data.materials import label_column, load_rows, read_materials, usable
from model.data.preprocessing import unit
from model.statistics.conformal import certain_half
from model.training.provenance import hardware, versions
from model.training.settings_record import digest

RESULT = Path(__file__).parent / "results" / "margins.json"
FIGURE = Path(__file__).parents[1] / "docs" / "img" / "margins.png"
LEVEL = 0.9
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
CHOSEN = "chosen inside the fold"
TAIL = 10  # crystals that are named
LIBRARIES = ("numpy", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Tested:
    """Test crystals of all folds."""

    ids: list[str]
    formulas: list[str]
    folds: list[str]
    targets: np.ndarray  # (n,)
    values: np.ndarray  # (n,)
    margins: dict[tuple[str, float], np.ndarray]  # by widths and level: (n,)
    chosen: dict[str, str]  # by fold, at LEVEL

    @property
    def errors(self) -> np.ndarray:
        return np.abs(self.targets - self.values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+", help="NAME=FOLDER:RUN, of a benchmark and of its data")
    parser.add_argument("--cache", type=Path, required=True, help="where descriptors are kept")
    parser.add_argument("--results", type=Path, default=RESULT)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    options = parser.parse_args()
    made = {
        "command": shlex.join(["python", "benchmarks/margins.py", *sys.argv[1:]]),
        "hardware": hardware(),
        "versions": versions(LIBRARIES),
    }
    known = json.loads(options.results.read_text()) if options.results.exists() else {}
    found: dict[str, Any] = {"made": made, "level": LEVEL, "tasks": known.get("tasks", {})}
    tested = {}
    for task in options.tasks:
        name, _, places = task.partition("=")
        folder, _, data = places.partition(":")
        config, shown = settings(Path(folder), data, options.cache)
        tested[name], facts = measured(config)
        found["tasks"][name] = {**facts, **shown, **summary(tested[name])}
        write_json(options.results, found)
        print(name, line(found["tasks"][name]), flush=True)
    draw(tested, found["tasks"], options.figure)


def settings(folder: Path, data: str, cache: Path) -> tuple[BenchmarkConfig, dict[str, Any]]:
    """The benchmark that a folder holds, and what is recorded of it."""
    stored = json.loads((folder / "settings.json").read_text())
    contents = stored.pop("contents")
    lists = {name: tuple(stored.pop(name)) for name in ("descriptors", "seeds")}
    config = BenchmarkConfig(data=data, out=folder, cache=cache, **lists, **stored)
    predictions = folder / "predictions.csv"
    return config, {
        "contents_sha256": contents,
        "predictions_sha256": sha256_of(predictions).hex() if predictions.exists() else None,
    }


def measured(config: BenchmarkConfig) -> tuple[Tested, dict[str, Any]]:
    """Margins of every test crystal, by all widths and at all levels."""
    rows = load_rows(config.data)
    labels = label_column(rows, config.target, config.split, config.folds)
    read = read_materials(rows, config.target, labels)
    materials, _ = usable(read, False, needs_text=False)
    check_settings(config, digest(materials))
    folds = outer_folds([m.label for m in materials], config.folds or config.split)
    inputs = read_inputs(config, materials, folds)
    models = [model for model in members() if model.text in ("", "text")]
    fits = fit_all(models, inputs, folds, config.seeds, config.inner_folds, config.out)
    names = [model.name for model in models]
    margins: dict[tuple[str, float], list[np.ndarray]] = {}
    values, best = [], {}
    for fold in folds:
        shares = blended(names, fits, fold, config.seeds, inputs.targets[fold.learn])
        by_name = dict(zip(names, shares.tolist(), strict=True))
        blend = BlendPredictions.gather(by_name, fits, fold, config.seeds)
        errors, compared = blend.errors(inputs), widths(blend, inputs)
        best[fold.name] = chosen(compared, errors, LEVEL)
        values.append(blend.of_test)
        for level in LEVELS:
            for name, one in (*compared.items(), (CHOSEN, compared[best[fold.name]])):
                margins.setdefault((name, level), []).append(one.margins(errors, level)[1])
    tested = np.concatenate([fold.test for fold in folds])
    records = [materials[row].record for row in tested]
    return Tested(
        ids=[record.material_id for record in records],
        formulas=[record.chemical_formula_reduced for record in records],
        folds=[fold.name for fold in folds for _ in fold.test],
        targets=inputs.targets[tested],
        values=np.concatenate(values),
        margins={key: np.concatenate(parts) for key, parts in margins.items()},
        chosen=best,
    ), {"target": config.target, "unit": unit(config.target, rows.schema)}


def summary(tested: Tested) -> dict[str, Any]:
    """Coverage, widths, the certain half and the tail of one task, at LEVEL."""
    errors = tested.errors
    names = dict.fromkeys(name for name, _ in tested.margins)
    constant = tested.margins[CONSTANT, LEVEL]
    found: dict[str, Any] = {
        "test crystals": len(errors),
        "mae": float(errors.mean()),
        "widths chosen": tested.chosen,
        "margins": {},
    }
    folds = np.array(tested.folds)
    for name in names:
        margins = tested.margins[name, LEVEL]
        held = errors <= margins
        found["margins"][name] = {
            "coverage": float(held.mean()),
            "interval of the coverage": interval(int(held.sum()), len(held)),
            "coverage of folds": {f: float(held[folds == f].mean()) for f in tested.chosen},
            "interval of a fold that holds as it should": {
                f: expected(int((folds == f).sum())) for f in tested.chosen
            },
            "mean margin": float(margins.mean()),
            "median margin": float(np.median(margins)),
            "over the constant margin": float(margins.mean() / constant.mean()),
            "error of the certain half": halves(tested, margins),
            "coverage by level": {
                f"{level:g}": float((errors <= tested.margins[name, level]).mean())
                for level in LEVELS
            },
        }
    found["tail"] = tail(tested)
    return found


def halves(tested: Tested, margins: np.ndarray) -> float | None:
    """Error of the half of each fold with the smallest margins, all folds together, over that of all."""
    folds, errors = np.array(tested.folds), tested.errors
    parts = [(errors[folds == f], margins[folds == f]) for f in tested.chosen]
    found = [certain_half(e, m) for e, m in parts]
    if any(one is None for one in found):
        return None
    sizes = [len(e) // 2 for e, _ in parts]
    sums = [one * e.mean() * n for one, (e, _), n in zip(found, parts, sizes, strict=True)]  # type: ignore[operator]
    return float(sum(sums) / sum(sizes) / errors.mean())


def tail(tested: Tested) -> dict[str, Any]:
    """What becomes of the crystals with the largest targets and errors."""
    errors, margins = tested.errors, tested.margins[CHOSEN, LEVEL]
    held = errors <= margins
    tenths = np.array_split(np.argsort(tested.targets, kind="stable"), 10)
    predicted = np.array_split(np.argsort(tested.values, kind="stable"), 10)
    beyond = np.argsort(margins - errors, kind="stable")[:TAIL]
    return {
        "coverage of tenths of the targets": [float(held[rows].mean()) for rows in tenths],
        "coverage of tenths of the predictions": [float(held[rows].mean()) for rows in predicted],
        "share of all error in the largest tenth of the targets": float(
            errors[tenths[-1]].sum() / errors.sum()
        ),
        "furthest beyond their margin": [
            {
                "id": tested.ids[n],
                "formula": tested.formulas[n],
                "fold": tested.folds[n],
                "target": float(tested.targets[n]),
                "prediction": float(tested.values[n]),
                "margin": float(margins[n]),
            }
            for n in beyond
        ],
    }


def interval(held: int, n: int) -> list[float]:
    """95 % interval of a share (Clopper and Pearson, Biometrika 26, 404 (1934))."""
    from scipy.stats import binomtest

    found = binomtest(held, n).proportion_ci(0.95, "exact")
    return [float(found.low), float(found.high)]


def expected(n: int) -> list[float]:
    """Within what a fold of n crystals lies 19 times of 20 where each margin holds with probability LEVEL."""
    from scipy.stats import binom

    return [float(binom.ppf(share, n, LEVEL) / n) for share in (0.025, 0.975)]


def line(found: dict[str, Any]) -> str:
    """One line of the answer."""
    one = found["margins"][CHOSEN]
    return (
        f"coverage {one['coverage']:.3f}, margin {one['mean margin']:.4g}, "
        f"{one['over the constant margin']:.2f} of the constant one, "
        f"certain half {one['error of the certain half']}"
    )


def draw(tested: dict[str, Tested], found: dict[str, Any], path: Path) -> None:
    """A figure: coverage over level; error of tenths by margin; what fails over the target."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    calibration, ranks, fails = figure.subplots(1, 3)
    calibration.plot([0.45, 1], [0.45, 1], color="0.7", linewidth=1)
    for name, one in tested.items():
        coverage = found[name]["margins"][CHOSEN]["coverage by level"]
        calibration.plot(LEVELS, list(coverage.values()), "o-", markersize=4, label=name)
        order = np.argsort(one.margins[CHOSEN, LEVEL], kind="stable")
        means = [one.errors[rows].mean() / one.errors.mean() for rows in np.array_split(order, 10)]
        ranks.plot(range(1, 11), means, "o-", markersize=4)
    calibration.set(xlabel="level asked for", ylabel="share of test crystals within their margin")
    calibration.legend(frameon=False, fontsize=8)
    ranks.axhline(1, color="0.7", linewidth=1)
    ranks.set(
        xlabel="tenth of the test crystals, by margin",
        ylabel="mean absolute error over that of all",
    )
    name, one = next(iter(tested.items()))
    unit = found[name]["unit"]
    held = one.errors <= one.margins[CHOSEN, LEVEL]
    for chosen_rows, color, label in ((held, "#4c72b0", "within"), (~held, "#c44e52", "beyond")):
        fails.errorbar(
            one.targets[chosen_rows],
            one.values[chosen_rows],
            yerr=one.margins[CHOSEN, LEVEL][chosen_rows],
            fmt="o",
            markersize=3,
            linewidth=0.6,
            color=color,
            alpha=0.6,
            label=f"{label} the margin ({chosen_rows.sum()})",
        )
    low, high = float(one.targets.min()) + 1, float(one.targets.max())
    fails.plot([low, high], [low, high], color="0.5", linewidth=1)
    fails.set(xlabel=f"{name}: target ({unit})", ylabel=f"prediction ± margin ({unit})")
    fails.legend(frameon=False, fontsize=8)
    for axes in (calibration, ranks, fails):
        axes.spines[["top", "right"]].set_visible(False)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=130)


if __name__ == "__main__":
    main()
