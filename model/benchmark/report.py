"""The answer of a benchmark as files: report.md, a plot, results.json, predictions.csv, a leaderboard's."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from curate import __version__
from curate.dataset.splits import task_sizes
from curate.errors import InputError
from curate.files import whole_file, write_json, write_text
from model.benchmark.answer import BLENDS, NETWORKS, Answer
from model.benchmark.matbench import matbench_results
from model.config import BenchmarkConfig
from model.files import write_csv
from model.publish.leaderboard import check_contribution, file_name, test_ids, write_zip
from model.statistics.paired_difference import Difference, Errors, holm, paired_difference
from model.training.provenance import versions

log = logging.getLogger(__name__)

OF_MATBENCH, OF_JARVIS = "fold_matbench_", "split_"  # how a leaderboard's columns begin
LIBRARIES = ("numpy", "scikit-learn", "scipy", "pymatgen", "robocrys", "torch")
SHARED = "shared with training"
NAMED = 6  # published models in the plot
LABELS = 24  # that fit above each other
COMPARED = (  # what, against what, and the question
    ("blend", "blend without text", "the text's share"),
    ("blend, shuffled text", "blend without text", "texts of other crystals (null)"),
    ("blend", "blend, shuffled text", "the text against its null"),
    ("trees and text", "trees", "the text, trees"),
    ("kernel and text", "kernel", "the text, kernel"),
    ("network, graph and text", "network, graph", "the text, network"),
    ("trees", "trees on the composition", "the structure, trees"),
)


@dataclass(frozen=True)
class Published:
    """Predictions of others for the same test crystals."""

    name: str
    fold_maes: Sequence[float]
    errors: Errors  # by fold and id


def write_answer(
    config: BenchmarkConfig, answer: Answer, unit: str, made: Mapping[str, Any], column: str
) -> None:
    """Write all files of an answer into OUT.

    Args:
        config: The benchmark.
        answer: All predictions.
        unit: Of the target; empty where it has none.
        made: How the numbers came about: command, machine, digest of the data.
        column: Of the folds or the split; its name tells the leaderboard.
    """
    others = published(config, answer)
    differences = compared(answer)
    against = against_published(answer, others)
    write_predictions(config.out / "predictions.csv", answer)
    write_json(
        config.out / "results.json",
        {
            "target": config.target,
            "unit": unit,
            "folds": {f.name: {"learn": len(f.learn), "test": len(f.test)} for f in answer.folds},
            "models": {
                model: {"mae": float(np.mean(answer.fold_maes(model))),
                        "fold maes": answer.fold_maes(model),
                        "seconds": round(answer.seconds.get(model, 0.0), 1)}
                for model in answer.models
            },
            "published": {
                other.name: {"mae": float(np.mean(other.fold_maes)), "fold maes": list(other.fold_maes)}
                for other in others
            },
            "differences": [
                {"model": one, "base": base, **asdict(found), "p corrected": p}
                for (one, base, _), found, p in differences
            ],
            "blend against published": [
                {"base": name, **asdict(found), "p corrected": p} for name, found, p in against
            ],
            "chosen": answer.chosen,
            "made": {**made, "at": datetime.now(UTC).isoformat(timespec="seconds"),
                     "versions": versions(LIBRARIES)},
        },
    )  # fmt: skip
    write_contribution(config, answer, column)
    if len(answer.folds) > 1:
        plot_folds(config, answer, others, unit)
    text = report(config, answer, others, differences, against, unit, made)
    write_text(config.out / "report.md", text)


def write_predictions(path: Path, answer: Answer) -> None:
    """Id, fold, target and the prediction of each model, a row for each test crystal."""
    ids, targets = answer.inputs.ids, answer.inputs.targets.tolist()
    rows = []
    for fold in answer.folds:
        predicted = np.stack([answer.test(model, fold) for model in answer.models], axis=1)
        for row, values in zip(fold.test, predicted.tolist(), strict=True):
            rows.append((ids[row], fold.name, targets[row], *values))
    write_csv(path, ("id", "fold", "target", *answer.models), rows)


def write_contribution(config: BenchmarkConfig, answer: Answer, column: str) -> None:
    """What Matbench or the JARVIS-Leaderboard takes, the blend's predictions; nothing for another column."""
    if column.startswith(OF_MATBENCH):
        task = column.removeprefix(OF_MATBENCH)
        found = matbench_results(f"matbench_{task}", answer, asdict_shown(config))
        with whole_file(config.out / "results.json.gz") as partial:
            partial.write_bytes(gzip.compress(json.dumps(found).encode(), mtime=0))
    elif (task := column.removeprefix(OF_JARVIS)) in task_sizes():
        (fold,) = answer.folds
        missing = test_ids(task) - {answer.inputs.ids[row] for row in fold.test}
        if missing:
            log.warning(
                "%d test crystals of %s are not in the dataset: no file for its leaderboard",
                len(missing),
                task,
            )
            return
        rows = zip(fold.test, answer.test("blend", fold), strict=True)
        inputs = answer.inputs
        predicted = {inputs.ids[n]: (str(inputs.targets[n]), str(float(v))) for n, v in rows}
        path = config.out / file_name(task)
        write_zip(path, predicted)
        check_contribution(path, task)


def asdict_shown(config: BenchmarkConfig) -> dict[str, Any]:
    """The settings that made the predictions, as a leaderboard shows them."""
    return {
        "descriptors": ", ".join(config.descriptors),
        "seeds": ", ".join(map(str, config.seeds)),
        "inner folds": config.inner_folds,
        "crysmmnet": __version__,
    }


def compared(answer: Answer) -> list[tuple[tuple[str, str, str], Difference, float]]:
    """The differences of COMPARED that can be had, each with its p-value corrected for all of them."""
    asked = [pair for pair in COMPARED if {pair[0], pair[1]} <= set(answer.models)]
    found = [paired_difference(answer.errors(base), answer.errors(one)) for one, base, _ in asked]
    return list(zip(asked, found, holm([one.p for one in found]), strict=True))


def against_published(
    answer: Answer, others: Sequence[Published]
) -> list[tuple[str, Difference, float]]:
    """The blend's error minus that of each published model, fold by fold and crystal by crystal."""
    ids, targets = answer.inputs.ids, answer.inputs.targets
    ours: Errors = {
        (fold.name, ids[row]): abs(float(value) - float(targets[row]))
        for fold in answer.folds
        for row, value in zip(fold.test, answer.test("blend", fold), strict=True)
    }
    found = [paired_difference(other.errors, ours) for other in others]
    corrected = holm([one.p for one in found])
    return [(o.name, d, p) for o, d, p in zip(others, found, corrected, strict=True)]


def published(config: BenchmarkConfig, answer: Answer) -> list[Published]:
    """Models of the table --published that predict every test crystal, scored here, best first.

    Raises InputError where the table can't be read or lacks a column.
    """
    if config.published is None:
        return []
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(config.published).to_pylist()
    except (OSError, ValueError) as error:
        raise InputError(
            f"--published {config.published} is no Parquet file that can be read"
        ) from error
    if table and (lacking := {"model", "id", "prediction"} - table[0].keys()):
        raise InputError(
            f"--published {config.published} has no column {', '.join(sorted(lacking))}"
        )
    by_model: dict[str, dict[str, float]] = {}
    for row in table:
        by_model.setdefault(row["model"], {})[row["id"]] = float(row["prediction"])
    ids, targets = answer.inputs.ids, answer.inputs.targets
    found = []
    for name, predictions in by_model.items():
        tested = [ids[row] for fold in answer.folds for row in fold.test]
        if not predictions.keys() >= set(tested):
            continue
        errors: Errors = {
            (fold.name, ids[row]): abs(predictions[ids[row]] - float(targets[row]))
            for fold in answer.folds
            for row in fold.test
        }
        maes = [
            float(np.mean([errors[fold.name, ids[row]] for row in fold.test]))
            for fold in answer.folds
        ]
        found.append(Published(name, maes, errors))
    return sorted(found, key=lambda one: float(np.mean(one.fold_maes)))


def report(
    config: BenchmarkConfig,
    answer: Answer,
    others: Sequence[Published],
    differences: Sequence[tuple[tuple[str, str, str], Difference, float]],
    against: Sequence[tuple[str, Difference, float]],
    unit: str,
    made: Mapping[str, Any],
) -> str:
    """report.md."""
    n_test = sum(len(fold.test) for fold in answer.folds)
    digits = digits_of(answer)
    seeds = ", ".join(map(str, config.seeds))
    lines = [
        f"# {config.target}: {n_test} test crystals in {counted_folds(answer)}",
        "",
        f"Mean absolute error in {unit or 'the unit of the target'}. What a fold may learn from is parted "
        f"{config.inner_folds} times (seeds {seeds}); settings and the shares of the blend are chosen on the "
        "held-out parts, and the test crystals are predicted by the mean of the models of all parts. "
        f"Descriptors: {', '.join(config.descriptors)}.",
        "",
        f"| model | mean | {' | '.join(f'fold {fold.name}' for fold in answer.folds)} | minutes |",
        f"| --- | ---: | {' | '.join('---:' for _ in answer.folds)} | ---: |",
    ]
    for model in sorted(answer.models, key=lambda name: float(np.mean(answer.fold_maes(name)))):
        maes = answer.fold_maes(model)
        minutes = f"{answer.seconds[model] / 60:.1f}" if model in answer.seconds else ""
        lines.append(row_of(f"**{model}**" if model in BLENDS else model, maes, minutes, digits))
    for other in others:
        lines.append(row_of(f"published: {other.name}", other.fold_maes, "", digits))
    lines += ["", *shared_lines(answer, made[SHARED]), "", "## Differences", "", *INTERVALS, ""]
    lines += [
        "| question | difference | 95 % interval | p, corrected | |",
        "| --- | ---: | --- | ---: | --- |",
    ]
    for (one, base, question), found, p in differences:
        lines.append(difference_row(f"{question}: {one} − {base}", found, p, digits))
    for name, found, p in against:
        lines.append(difference_row(f"blend − published {name}", found, p, digits))
    if any(found.n_trainings == 1 for _, found, _ in [*differences, *against]):
        lines += ["", ONE_TRAINING]
    lines += ["", "![folds](folds.png)"] if len(answer.folds) > 1 else []
    lines += ["", "## How it was made", ""]
    told = {name: value for name, value in made.items() if name != SHARED and value not in ({}, 0)}
    lines += [f"- {name}: {value}" for name, value in told.items()]
    lines += [f"- {name} {number}" for name, number in versions(LIBRARIES).items()]
    if config.networks:
        lines.append(
            f"- the networks ({', '.join(NETWORKS)}) stand in the table and not in the blend"
        )
    return "\n".join(lines) + "\n"


INTERVALS = (
    "Below 0 the first is better. Intervals are over trainings (seeds and folds) and crystals together; "
    "p-values are corrected for all rows of their kind (Holm). A word stands where the corrected p is at "
    "most 0.05.",
)

ONE_TRAINING = (
    "Where two models have one training in common, the interval is over crystals alone and p is 1: one "
    "training tells nothing of others."
)


def shared_lines(answer: Answer, shared: Mapping[str, Mapping[str, int]]) -> list[str]:
    """A table of the test crystals that share something with what their fold learns from."""
    lines = [
        "Test crystals that share their formula, their elements, or their structure with a crystal that is "
        "learned from:",
        "",
        "| fold | test crystals | formula | elements | near-duplicates |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for fold in answer.folds:
        counts = shared[fold.name]
        lines.append(
            f"| {fold.name} | {len(fold.test)} | {counts['formula']} | {counts['chemical_system']} | "
            f"{counts['near_duplicate']} |"
        )
    return lines


def counted_folds(answer: Answer) -> str:
    """As in `5 folds`."""
    n = len(answer.folds)
    return f"{n} fold{'s' if n > 1 else ''}"


def digits_of(answer: Answer) -> int:
    """Digits after the point that show an error and its differences."""
    mae = float(np.mean(answer.fold_maes("blend")))
    return 2 if mae >= 10 else 3 if mae >= 1 else 4


def row_of(name: str, maes: Sequence[float], minutes: str, digits: int) -> str:
    """One row of the table of scores."""
    shown = " | ".join(f"{mae:.{digits}f}" for mae in (np.mean(maes), *maes))
    return f"| {name} | {shown} | {minutes} |"


def difference_row(question: str, found: Difference, p: float, digits: int) -> str:
    """One row of the table of differences."""
    word = ("better" if found.mean < 0 else "worse") if p <= 0.05 else ""
    mean, low, high = (f"{value:+.{digits}f}" for value in (found.mean, found.low, found.high))
    return f"| {question} | {mean} | {low} to {high} | {p:.3f} | {word} |"


def apart(heights: Sequence[float], least: float) -> list[float]:
    """Heights of labels in rising order, moved up until `least` lies between two."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + least) if moved else height)
    return moved


def plot_folds(
    config: BenchmarkConfig, answer: Answer, others: Sequence[Published], unit: str
) -> None:
    """folds.png: the error of each fold, ours beside the published ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(answer.folds))
    shown = sorted(others[:NAMED], key=lambda other: other.fold_maes[-1])
    drawn = [
        mae for one in (*(o.fold_maes for o in shown), answer.fold_maes("blend")) for mae in one
    ]
    heights = apart([other.fold_maes[-1] for other in shown], float(np.ptp(drawn)) / LABELS)
    for other, height in zip(shown, heights, strict=True):
        axes.plot(places, other.fold_maes, "o-", color="0.75", markersize=4, linewidth=1)
        axes.text(places[-1] + 0.1, height, other.name, fontsize=7, color="0.45", va="center")
    for model, color in zip(BLENDS, ("#dd8452", "#4c72b0", "#937860"), strict=True):
        maes = answer.fold_maes(model)
        axes.plot(
            places,
            maes,
            "o-",
            color=color,
            label=f"{model}, mean {np.mean(maes):.{digits_of(answer)}f}",
        )
    axes.set_xticks(places, [f"fold {fold.name}" for fold in answer.folds])
    axes.set_ylabel(f"mean absolute error{f' ({unit})' if unit else ''}")
    axes.margins(x=0.15)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with whole_file(Path(config.out) / "folds.png") as partial:
        figure.savefig(partial, format="png", dpi=150)
