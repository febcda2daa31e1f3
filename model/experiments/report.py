"""Write the report of an experiment: tables, verdicts and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from curate.files import write_json, write_text
from model.config import CONTROLS, ExperimentConfig, TrainConfig
from model.data.splits import IN_TWO_PARTS, PARTS
from model.experiments.variants import Variant, counterpart, test_rows, variants
from model.model_folder import ModelFolder
from model.statistics.paired_difference import Difference, Errors, paired_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Plan = Sequence[tuple[Variant, TrainConfig]]
Rows = Sequence[dict[str, Any]]
QUESTIONS = {
    "modality": "Does text help, and more than text that says nothing?",
    "encoder": "For which graph network does text help?",
    "text": "Which part of the text helps?",
    "low-data": "With how little data does text help?",
}
GRAPH, OTHER = "#4c72b0", "#dd8452"


def write_report(config: ExperimentConfig, folder: Path, plan: Plan, rows: Rows) -> None:
    """report.md with its plots, differences.json."""
    differences = {
        target: {
            variant: paired_difference(
                errors(plan, target, counterpart(variant)), errors(plan, target, variant)
            )
            for variant in variants(config)
            if variant.modality != "graph"
        }
        for target in config.targets
    }
    plots = draw(config, folder, plan, rows)
    lines = [f"# {QUESTIONS[config.kind]}", "", *setting_lines(config), ""]
    for target in config.targets:
        lines += [f"## {target}", "", *table(config, target, rows, differences[target]), ""]
        lines += [verdict(target, differences[target]), ""]
        if config.kind == "modality":
            lines += [*control_lines(config, plan, target), ""]
    lines += ["## The crystals", "", *crystal_lines(config, plan), ""]
    lines += [f"![{path.stem}]({path.name})" for path in plots]
    write_text(folder / "report.md", "\n".join(lines).rstrip() + "\n")
    found = {
        target: [{**asdict(v), **asdict(d)} for v, d in of_target.items()]
        for target, of_target in differences.items()
    }
    write_json(folder / "differences.json", found)


def errors(plan: Plan, target: str, wanted: Variant) -> Errors:
    """Absolute test errors of a variant by training, its seed and fold, and id."""
    return {
        ((training.seed, training.fold), name): abs(predicted - true)
        for variant, training in plan
        if variant == wanted and training.target == target
        for name, (true, predicted) in test_rows(training.out).items()
    }


def setting_lines(config: ExperimentConfig) -> list[str]:
    seeds = ", ".join(map(str, config.seeds))
    return [
        f"Trainings of {config.epochs} epochs, batches of {config.batch_size}, learning rate "
        f"{config.learning_rate:g}, {config.graph.max_neighbors} neighbours, text by "
        f"`{config.text_encoder}`; split {config.split}; seeds {seeds}. Validation chooses the epoch.",
        "MAE: mean ± standard deviation over seeds. Difference: to the graph-only model on the same "
        "test crystals, with the 95 % interval of a bootstrap over crystals; below 0, text helps.",
    ]


def table(
    config: ExperimentConfig, target: str, rows: Rows, found: dict[Variant, Difference]
) -> list[str]:
    """One row a variant."""
    first = {"encoder": "graph network", "low-data": "training crystals"}.get(config.kind)
    unit = next(row["unit"] for row in rows if row["target"] == target)
    heads = [*([first] if first else []), "model sees", f"MAE ({unit})", "MAD:MAE", "difference"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for variant in variants(config):
        chosen = rows_of(rows, target, variant)
        maes = [row["mae"] for row in chosen]
        spread = f" ± {stdev(maes):.4f}" if len(maes) > 1 else ""
        ratio = mean(row["mad_mae"] or 0.0 for row in chosen)
        change = found.get(variant)
        lead = {
            "encoder": [variant.encoder],
            "low-data": [f"{mean(row['n_train'] for row in chosen):.0f}"],
        }.get(config.kind, [])
        cells = [*lead, variant.name, f"{mean(maes):.4f}{spread}", f"{ratio:.2f}"]
        cells.append(interval(change) if change else "")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def rows_of(rows: Rows, target: str, variant: Variant) -> list[dict[str, Any]]:
    wanted = {"target": target, **asdict(variant)}
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def verdict(target: str, found: dict[Variant, Difference]) -> str:
    """The answer in words, from the intervals alone."""
    described = [(v, d) for v, d in found.items() if v.modality == "both"]
    better = [told(v) for v, d in described if d.high < 0]
    worse = [told(v) for v, d in described if d.low > 0]
    open_ = [told(v) for v, d in described if not d.is_clear]
    parts = []
    if better:
        parts.append(f"better than the graph alone: {', '.join(better)}")
    if worse:
        parts.append(f"worse: {', '.join(worse)}")
    if open_:
        parts.append(f"no clear difference: {', '.join(open_)}")
    silent = [told(v) for v, d in described if v.text in ("shuffled", "constant") and d.high < 0]
    if silent:
        parts.append(f"gains of {', '.join(silent)} can't come from what the text says")
    return f"For {target}, {'; '.join(parts)}."


def control_lines(config: ExperimentConfig, plan: Plan, target: str) -> list[str]:
    """What the description adds to each text that says less: its words, not one more input."""
    described = Variant(config.network.encoder)
    lines = ["The description compared with what stands in its place:", ""]
    for control in CONTROLS:
        stood_in = errors(plan, target, replace(described, text=control))
        found = paired_difference(stood_in, errors(plan, target, described))
        sense = "better" if found.high < 0 else "worse" if found.low > 0 else "no clear difference"
        lines.append(f"- {control}: {interval(found)}, {sense}")
    return lines


def interval(found: Difference) -> str:
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"


def told(variant: Variant) -> str:
    share = "" if variant.train_fraction == 1 else f" at {variant.train_fraction:g} of the crystals"
    text = "text" if variant.text == "description" else f"text {variant.text}"
    return f"{variant.encoder} with {text}{share}"


def crystal_lines(config: ExperimentConfig, plan: Plan) -> list[str]:
    """How many crystals were left out, and how many test crystals training knows something of."""
    lines = []
    whole = [t for v, t in plan if v == replace(variants(config)[0], train_fraction=1.0)]
    for training in whole or [plan[0][1]]:
        metrics = ModelFolder(training.out).metrics
        leaks = metrics["dropped"].get(IN_TWO_PARTS, 0)
        sizes = "/".join(str(metrics[part]["n"]) for part in PARTS)
        fold = "" if training.fold is None else f", fold {training.fold}"
        lines.append(
            f"- {training.target}, seed {training.seed}{fold}: {sizes} crystals; "
            f"{shared_line(metrics)}; {leaks} ids in two splits left out."
        )
    return lines


def shared_line(metrics: dict[str, Any]) -> str:
    """Of how many test crystals the training part has the formula, the elements, or a near-duplicate."""
    shared = metrics.get("shared_with_training")
    if shared is None:
        return "trained by an earlier version, which did not count what test and training share"
    test = shared["test"]
    return (
        f"of the test crystals {test['formula']} have their formula in training, "
        f"{test['chemical_system']} their elements, {test['near_duplicate']} a near-duplicate (same "
        "formula, matching structure)"
    )


def draw(config: ExperimentConfig, folder: Path, plan: Plan, rows: Rows) -> list[Path]:
    """The plots of this question."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    paths = []
    columns = len(config.targets)
    kinds = {"curve" if config.kind == "low-data" else "bars": None, "parity": None}
    for kind in kinds:
        figure, axes = pyplot.subplots(
            1, columns, figsize=(5.2 * columns, 4.2), squeeze=False, layout="constrained"
        )
        for axis, target in zip(axes[0], config.targets, strict=True):
            {"curve": curve, "bars": bars, "parity": parity}[kind](axis, config, target, plan, rows)
            axis.set_title(target, fontsize=10)
            axis.spines[["top", "right"]].set_visible(False)
        path = folder / f"{kind}.png"
        figure.savefig(path, dpi=150)
        pyplot.close(figure)
        paths.append(path)
    return paths


def bars(axis: Axes, config: ExperimentConfig, target: str, plan: Plan, rows: Rows) -> None:
    """Test MAE of each variant, mean and standard deviation over seeds."""
    shown = variants(config)
    for position, variant in enumerate(shown):
        chosen = rows_of(rows, target, variant)
        maes = [row["mae"] for row in chosen]
        spread = stdev(maes) if len(maes) > 1 else 0.0
        colour = GRAPH if variant.modality == "graph" else OTHER
        axis.barh(position, mean(maes), xerr=spread, color=colour, capsize=3, height=0.7)
    names = [f"{v.encoder}, {v.name}" if config.kind == "encoder" else v.name for v in shown]
    axis.set_yticks(range(len(shown)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel(f"test MAE ({rows_of(rows, target, shown[0])[0]['unit']})")


def curve(axis: Axes, config: ExperimentConfig, target: str, plan: Plan, rows: Rows) -> None:
    """Test MAE against the number of training crystals, both axes logarithmic."""
    from matplotlib.ticker import StrMethodFormatter

    for modality, colour in (("graph", GRAPH), ("both", OTHER)):
        points = []
        for variant in variants(config):
            if variant.modality == modality:
                chosen = rows_of(rows, target, variant)
                maes = [row["mae"] for row in chosen]
                spread = stdev(maes) if len(maes) > 1 else 0.0
                points.append((mean(row["n_train"] for row in chosen), mean(maes), spread))
        sizes, means, spreads = zip(*points, strict=True)
        axis.errorbar(
            sizes, means, yerr=spreads, color=colour, marker="o", ms=4, capsize=3, label=modality
        )
    axis.set(xscale="log", yscale="log", xlabel="training crystals")
    axis.set_xticks(sizes, [f"{size:.0f}" for size in sizes], minor=False)
    axis.set_xticks([], minor=True)
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    axis.set_ylabel(f"test MAE ({rows_of(rows, target, variants(config)[0])[0]['unit']})")
    axis.legend(frameon=False)


def parity(axis: Axes, config: ExperimentConfig, target: str, plan: Plan, rows: Rows) -> None:
    """Predictions of the first seed against the truth, graph alone and with text."""
    own = config.encoders[0] if config.kind == "encoder" else config.network.encoder
    for modality, colour in (("graph", GRAPH), ("both", OTHER)):
        [folder] = [
            training.out
            for variant, training in plan
            if variant == Variant(own, modality, train_fraction=largest(config))
            and (training.target, training.seed) == (target, config.seeds[0])
        ]
        true, predicted = zip(*test_rows(folder).values(), strict=True)
        axis.plot(true, predicted, ".", ms=4, alpha=0.6, color=colour, label=f"{own}, {modality}")
    ends = [min(true), max(true)]
    axis.plot(ends, ends, color="0.5", lw=0.8, zorder=0)
    unit = rows_of(rows, target, variants(config)[0])[0]["unit"]
    axis.set(xlabel=f"target ({unit})", ylabel=f"prediction ({unit})")
    axis.legend(frameon=False, fontsize=8)


def largest(config: ExperimentConfig) -> float:
    return max(config.fractions) if config.kind == "low-data" else 1.0
