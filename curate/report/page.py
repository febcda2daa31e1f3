"""The page of `curate report`: table, plots and counts of a run or dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from curate.config import ReportConfig
from curate.dataset.token_lengths import LIMIT
from curate.errors import InputError
from curate.pages.crystals import Column, Packed, pack_crystals
from curate.pages.figures import Figure, histogram, spacegroup_sunburst
from curate.pages.page import packed, plotly_script, write_page
from curate.pages.palette import periodic_table
from curate.report.dataset_files import find_dataset
from curate.report.survey import Survey, survey
from curate.run.folder import Run

N_GROUPS = 12  # of repeats, listed one by one


def report(
    config: ReportConfig, watch: Callable[[int, int], None] = lambda done, total: None
) -> Packed:
    """Write the page of a run or dataset folder.

    Args:
        config: Folder, page and sample.
        watch: Called with rows done and rows in all.

    Returns:
        What the page shows.

    Raises:
        InputError: There is no dataset, or the extra `report` is not installed.
    """
    if config.rows < 1:
        raise InputError(f"--rows {config.rows}: must be above 0")
    plotly_script()  # fail early if the optional dependency is missing
    place = find_dataset(config.place)
    found = survey(place, config.rows, config.seed, config.tokenizer, watch)
    columns = table_columns(found)
    views = table_views(found)
    first = [n for n, row in enumerate(found.shown) if row["status"] != "described"]
    crystals = pack_crystals(found.shown, columns, views, config.seed, first)
    figures = plots(found)
    data = {**crystals.data, "figures": packed({f.name: f.figure for f in figures})}
    write_page(
        config.out, "dataset.html", context(config, place.run, found, crystals, figures), data
    )
    return crystals


def table_columns(found: Survey) -> list[Column]:
    """What the table shows of each crystal."""
    columns = [
        Column("material_id", "id", kind="text"),
        Column("chemical_formula_reduced", "formula", kind="text"),
        Column("spacegroup", "space group", kind="spacegroup"),
        Column("nsites", "atoms"),
    ]
    if found.tokens:
        columns.append(Column("tokens", "text", "tokens"))
    if found.seconds:
        columns.append(Column("seconds", "time", "s", digits=2))
    if found.reasons:
        columns += [
            Column("status", "status", kind="text"),
            Column("error_message", "reason", kind="text"),
        ]
    return columns + [Column(name, name, unit) for name, unit in found.units.items()]


def table_views(found: Survey) -> list[dict[str, Any]]:
    """The buttons above the table."""
    views: list[dict[str, Any]] = [{"name": "all", "label": "All", "sort": ""}]
    if found.seconds:
        views.append({"name": "slowest", "label": "Slowest first", "sort": "-seconds"})
    if found.reasons:
        failed = [row["material_id"] for row in found.shown if row["status"] != "described"]
        views.append({"name": "failed", "label": "Failed", "ids": failed})
    if found.tokens:
        views.append({"name": "longest", "label": "Longest text first", "sort": "-tokens"})
    shown = {row["material_id"] for row in found.shown}
    for name, label, groups in (
        ("same-text", "Same text", found.same_text),
        ("same-cell", "Same formula and space group", found.same_cell),
        ("leaks", "Split leaks", [sorted({i for ids in found.leaks.values() for i in ids})]),
    ):
        if ids := [i for group in groups for i in group if i in shown]:
            views.append({"name": name, "label": label, "ids": ids})
    return views


def plots(found: Survey) -> list[Figure]:
    """All figures of the page, each about all crystals."""
    figures = []
    if found.spacegroups:
        figures.append(
            Figure(
                "spacegroups",
                "Space groups",
                spacegroup_sunburst(found.spacegroups),
                f"{len(set(found.spacegroups))} of 230 occur. Click a crystal system to open it.",
            )
        )
    if found.nsites:
        atoms = histogram(found.nsites, "atoms in the cell", whole=True)
        figures.append(Figure("nsites", "Atoms per cell", atoms, ends(found.nsites)))
    if found.tokens:
        n_cut = sum(length > LIMIT for length in found.tokens)
        lengths = histogram(found.tokens, "tokens", whole=True, limit=LIMIT, counted="texts")
        note = (
            f"{n_cut:,} of {len(found.tokens):,} texts are longer than the {LIMIT} tokens an encoder "
            f"reads ({n_cut / len(found.tokens):.1%}); tokenizer {found.tokenizer}."
        )
        figures.append(Figure("tokens", "Length of the descriptions", lengths, note))
    if found.seconds:
        figures.append(
            Figure(
                "seconds",
                "Time to describe",
                histogram(found.seconds, "time", "s"),
                ends(found.seconds, "s"),
            )
        )
    for number, (name, values) in enumerate(found.properties.items()):
        unit = found.units[name]
        missing = found.n_rows - len(values)
        note = ends(values, unit) + (f" {missing:,} crystals have none." if missing else "")
        figures.append(
            Figure(f"property-{number}", name, histogram(values, name, unit), note.strip())
        )
    return figures


def ends(values: Sequence[float], unit: str = "") -> str:
    """Smallest, median and largest, in words."""
    ordered = sorted(values)
    low, middle, high = (f"{v:.4g}" for v in (ordered[0], ordered[len(ordered) // 2], ordered[-1]))
    return f"From {low} to {high}{f' {unit}' if unit and unit != '1' else ''}, median {middle}."


def context(
    config: ReportConfig,
    run: Run | None,
    found: Survey,
    crystals: Packed,
    figures: list[Figure],
) -> dict[str, Any]:
    """What the template is filled with."""
    described = found.statuses["described"] if found.statuses else found.n_rows
    requested = (run.fetched or {}).get("entries") if run else None
    requested = requested or found.statuses.total() or found.n_rows
    failed = found.statuses.total() - found.statuses["described"]
    name = Path(config.place).resolve().name
    return {
        "title": f"{name}: crystals and their descriptions",
        "name": name,
        "source": run.settings_record["source"] if run else None,
        "requested": requested,
        "described": described,
        "failed": failed,
        "n_failed_shown": sum(row["status"] != "described" for row in found.shown),
        "left": requested - described - failed,
        "reasons": [(status, text, n) for (status, text), n in found.reasons.most_common(20)],
        "n_elements": len(found.elements),
        "elements": periodic_table(found.elements, log=True),
        "n_known": found.n_rows + failed,
        "crystals": crystals,
        "seed": config.seed,
        "figures": figures,
        "same_text": found.same_text,
        "same_cell": found.same_cell,
        "n_groups": N_GROUPS,
        "leaks": found.leaks,
        "seen": found.seen,
        "tokenizer": found.tokenizer,
    }
