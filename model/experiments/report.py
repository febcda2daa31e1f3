"""Write the report of an experiment: tables, verdicts and plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from curate.files import write_json, write_text
from model.config import ExperimentConfig, TrainConfig
from model.data.overlap import overlap_line
from model.data.splits import IN_TWO_PARTS, PARTS
from model.experiments.variants import (
    COMPOSITION,
    Variant,
    comparisons,
    table_rows,
    test_rows,
    variants,
)
from model.model_folder import ModelFolder
from model.statistics.paired_difference import LEVEL, Difference, Errors, holm, paired_difference

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
COLOURS = {"graph": "#4c72b0", "both": "#dd8452", COMPOSITION: "#8c8c8c"}


@dataclass(frozen=True)
class Comparison:
    """One difference that a report shows."""

    target: str
    base: Variant
    other: Variant
    found: Difference
    p_holm: float  # corrected for all differences of the report

    @property
    def is_shown(self) -> bool:
        """Whether the difference survives the correction; only then words are made of it."""
        return self.p_holm <= 1 - LEVEL

    @property
    def cell(self) -> str:
        """The difference with its interval, and a star where it survives."""
        found = self.found
        star = " \\*" if self.is_shown else ""
        return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]{star}"

    @property
    def sense(self) -> str:
        """In words."""
        if not self.is_shown:
            return "no clear difference"
        return "better" if self.found.mean < 0 else "worse"


def write_report(config: ExperimentConfig, folder: Path, plan: Plan, rows: Rows) -> None:
    """report.md with its plots, differences.json."""
    compared = compare(config, plan)
    plots = draw(config, folder, plan, rows)
    lines = [f"# {QUESTIONS[config.kind]}", "", *setting_lines(config, compared), ""]
    for target in config.targets:
        own = [comparison for comparison in compared if comparison.target == target]
        lines += [f"## {target}", "", *table(config, target, rows, own), ""]
        lines += [verdict(target, own), ""]
        if config.kind == "modality":
            lines += [*control_lines(config, own), ""]
    lines += ["## The crystals", "", *crystal_lines(config, plan), ""]
    lines += [f"![{path.stem}]({path.name})" for path in plots]
    write_text(folder / "report.md", "\n".join(lines).rstrip() + "\n")
    found = {
        target: [
            {**asdict(c.other), "against": asdict(c.base), **asdict(c.found), "p_holm": c.p_holm}
            for c in compared
            if c.target == target
        ]
        for target in config.targets
    }
    write_json(folder / "differences.json", found)


def compare(config: ExperimentConfig, plan: Plan) -> list[Comparison]:
    """All differences of a report, with p-values corrected for as many as they are."""
    pairs = [(target, *pair) for target in config.targets for pair in comparisons(config)]
    found = [
        paired_difference(errors(plan, target, base), errors(plan, target, other))
        for target, base, other in pairs
    ]
    corrected = holm([difference.p for difference in found])
    return [Comparison(*pair, d, p) for pair, d, p in zip(pairs, found, corrected, strict=True)]


def errors(plan: Plan, target: str, wanted: Variant) -> Errors:
    """Absolute test errors of a variant by training, its seed and fold, and id."""
    return {
        ((training.seed, training.fold), name): abs(predicted - true)
        for variant, training in plan
        if variant == wanted and training.target == target
        for name, (true, predicted) in test_rows(training.out).items()
    }


def setting_lines(config: ExperimentConfig, compared: Sequence[Comparison]) -> list[str]:
    """How the models were trained, and what the numbers of the tables are."""
    seeds = ", ".join(map(str, config.seeds))
    folds = "" if config.folds is None else f", folds of {config.folds}"
    one = all(comparison.found.n_trainings == 1 for comparison in compared)
    over = (
        "over test crystals alone: one training tells nothing of others, so no difference is called clear"
        if one
        else "over trainings and test crystals together"
    )
    shares = [
        "Labels are those of the training and of the validation crystals, and a share is one of both. Each "
        "share is trained as many updates as the whole."
    ]
    return [
        f"Trainings of {config.epochs} epochs, batches of {config.batch_size}, learning rate "
        f"{config.learning_rate:g}, {config.graph.max_neighbors} neighbours, text by "
        f"`{config.text_encoder}`; split {config.split}{folds}; seeds {seeds}. Validation chooses the "
        "epoch.",
        "MAE: mean ± standard deviation over seeds. Difference: to the graph-only model on the same "
        f"test crystals, with the 95 % interval {over}; below 0, the model is better than the graph alone. "
        f"A star marks the differences that hold at 5 % after Holm's correction for all {len(compared)} of "
        "this report.",
        "Composition: extra trees on statistics of elemental properties, from the formula alone.",
        *(shares if config.kind == "low-data" else []),
    ]


def table(
    config: ExperimentConfig, target: str, rows: Rows, compared: Sequence[Comparison]
) -> list[str]:
    """One row a model."""
    first = {"encoder": "graph network", "low-data": "labels"}.get(config.kind)
    unit = next(row["unit"] for row in rows if row["target"] == target)
    heads = [*([first] if first else []), "model sees", f"MAE ({unit})", "MAD:MAE", "difference"]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for variant in table_rows(config):
        chosen = rows_of(rows, target, variant)
        mae, spread = mae_over_seeds(chosen)
        ratio = mean(row["mad_mae"] or 0.0 for row in chosen)
        to_graph = (c for c in compared if c.other == variant and c.base.modality == "graph")
        change = next(to_graph, None)
        lead = {
            "encoder": [variant.encoder],
            "low-data": [labels_cell(chosen)],
        }.get(config.kind, [])
        told_spread = "" if spread is None else f" ± {spread:.4f}"
        cells = [*lead, variant.name, f"{mae:.4f}{told_spread}", f"{ratio:.2f}"]
        cells.append(change.cell if change else "")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def labels_cell(rows: Rows) -> str:
    """How many labels a model was given: those it learned from and those that chose its epoch."""
    n_train, n_val = (mean(row[name] for row in rows) for name in ("n_train", "n_val"))
    return f"{n_train + n_val:.0f} ({n_train:.0f} + {n_val:.0f})"


def mae_over_seeds(rows: Rows) -> tuple[float, float | None]:
    """Mean of the test MAE over seeds, of folds first, and the standard deviation of several seeds."""
    by_seed: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        by_seed[row["seed"]].append(row["mae"])
    maes = [mean(of_seed) for of_seed in by_seed.values()]
    return mean(maes), stdev(maes) if len(maes) > 1 else None


def rows_of(rows: Rows, target: str, variant: Variant) -> list[dict[str, Any]]:
    """The rows of results.csv of one target and variant."""
    wanted = {"target": target, **asdict(variant)}
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def verdict(target: str, compared: Sequence[Comparison]) -> str:
    """The answer in words, from the differences that survive the correction."""
    described = [c for c in compared if c.other.modality == "both" and c.base.modality == "graph"]
    names = {
        sense: [told(c.other) for c in described if c.sense == sense]
        for sense in ("better", "worse", "no clear difference")
    }
    parts = []
    if names["better"]:
        parts.append(f"better than the graph alone: {', '.join(names['better'])}")
    if names["worse"]:
        parts.append(f"worse: {', '.join(names['worse'])}")
    if names["no clear difference"]:
        parts.append(f"no clear difference: {', '.join(names['no clear difference'])}")
    silent = [
        told(c.other)
        for c in described
        if c.other.text in ("shuffled", "constant") and c.sense == "better"
    ]
    if silent:
        parts.append(f"gains of {', '.join(silent)} can't come from what the text says")
    return f"For {target}, {'; '.join(parts)}."


def control_lines(config: ExperimentConfig, compared: Sequence[Comparison]) -> list[str]:
    """What the description adds to each text that says less: its words, not one more input."""
    described = Variant(config.network.encoder)
    lines = ["The description compared with what stands in its place:", ""]
    for comparison in compared:
        if comparison.other == described and comparison.base.modality != "graph":
            base = comparison.base
            name = base.name if base.modality == COMPOSITION else base.text
            lines.append(f"- {name}: {comparison.cell}, {comparison.sense}")
    return lines


def told(variant: Variant) -> str:
    """A variant as a verdict names it: `alignn with text shuffled at 0.5 of the crystals`."""
    share = "" if variant.train_fraction == 1 else f" at {variant.train_fraction:g} of the crystals"
    text = "text" if variant.text == "description" else f"text {variant.text}"
    return f"{variant.encoder} with {text}{share}"


def crystal_lines(config: ExperimentConfig, plan: Plan) -> list[str]:
    """How many crystals were left out, and how many test crystals training knows something of."""
    lines = []
    shown = replace(variants(config)[0], train_fraction=largest(config))
    for training in (training for variant, training in plan if variant == shown):
        metrics = ModelFolder(training.out).metrics
        leaks = metrics["dropped"].get(IN_TWO_PARTS, 0)
        sizes = "/".join(str(metrics[part]["n"]) for part in PARTS)
        fold = "" if training.fold is None else f", fold {training.fold}"
        lines.append(
            f"- {training.target}, seed {training.seed}{fold}: {sizes} crystals; "
            f"{overlap_line(metrics)}; {leaks} ids in two splits left out."
        )
    return lines


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
    shown = table_rows(config)
    for position, variant in enumerate(shown):
        mae, spread = mae_over_seeds(rows_of(rows, target, variant))
        colour = COLOURS.get(variant.modality, COLOURS["both"])
        axis.barh(position, mae, xerr=spread or 0.0, color=colour, capsize=3, height=0.7)
    names = [f"{v.encoder}, {v.name}" if config.kind == "encoder" else v.name for v in shown]
    axis.set_yticks(range(len(shown)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel(f"test MAE ({rows_of(rows, target, shown[0])[0]['unit']})")


def curve(axis: Axes, config: ExperimentConfig, target: str, plan: Plan, rows: Rows) -> None:
    """Test MAE against the number of labels, both axes logarithmic."""
    from matplotlib.ticker import StrMethodFormatter

    for modality, colour in COLOURS.items():
        points = []
        for variant in table_rows(config):
            if variant.modality == modality:
                chosen = rows_of(rows, target, variant)
                mae, spread = mae_over_seeds(chosen)
                n_labels = mean(row["n_train"] + row["n_val"] for row in chosen)
                points.append((n_labels, mae, spread or 0.0))
        sizes, means, spreads = zip(*points, strict=True)
        axis.errorbar(
            sizes, means, yerr=spreads, color=colour, marker="o", ms=4, capsize=3, label=modality
        )
    axis.set(xscale="log", yscale="log", xlabel="labels, of training and validation")
    axis.set_xticks(sizes, [f"{size:.0f}" for size in sizes], minor=False)
    axis.set_xticks([], minor=True)
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    axis.set_ylabel(f"test MAE ({rows_of(rows, target, variants(config)[0])[0]['unit']})")
    axis.legend(frameon=False)


def parity(axis: Axes, config: ExperimentConfig, target: str, plan: Plan, rows: Rows) -> None:
    """Predictions of the first seed against the truth, graph alone and with text."""
    own = config.encoders[0] if config.kind == "encoder" else config.network.encoder
    for modality in ("graph", "both"):
        folders = [
            training.out
            for variant, training in plan
            if variant == Variant(own, modality, train_fraction=largest(config))
            and (training.target, training.seed) == (target, config.seeds[0])
        ]  # one for each fold
        pairs = [pair for folder in folders for pair in test_rows(folder).values()]
        true, predicted = zip(*pairs, strict=True)
        label = f"{own}, {modality}"
        axis.plot(true, predicted, ".", ms=4, alpha=0.6, color=COLOURS[modality], label=label)
    ends = [min(true), max(true)]
    axis.plot(ends, ends, color="0.5", lw=0.8, zorder=0)
    unit = rows_of(rows, target, variants(config)[0])[0]["unit"]
    axis.set(xlabel=f"target ({unit})", ylabel=f"prediction ({unit})")
    axis.legend(frameon=False, fontsize=8)


def largest(config: ExperimentConfig) -> float:
    """The largest share of the training crystals that is learned from."""
    return max(config.fractions) if config.kind == "low-data" else 1.0
