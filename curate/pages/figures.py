"""Plotly figures as plain dictionaries; the only file that knows pymatviz' plots.

Colours, fonts and grids are the page's: it paints each figure for the light or the dark that is set.
Names that come from a dataset are escaped, for plotly reads some HTML in its labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np

from curate.pages.palette import spacegroup_symbols

N_BINS = 40
N_DENSITY_BINS = 40


@dataclass(frozen=True)
class Figure:
    """One plot with what is said about it."""

    name: str
    title: str
    figure: dict[str, Any]
    note: str = ""
    wide: bool = False


def axis(label: str, unit: str = "", **more: Any) -> dict[str, Any]:
    """An axis with its unit."""
    text = f"{escape(label)} ({escape(unit)})" if unit and unit != "1" else escape(label)
    return {"title": {"text": text}, **more}


def log_axis(values: Sequence[float], label: str, unit: str = "") -> dict[str, Any]:
    """A logarithmic axis that names 1, 2 and 5 of each power of ten between the values."""
    positive = [value for value in values if value > 0]
    low, high = min(positive, default=1.0), max(positive, default=1.0)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    names = [f"{tick:g}" for tick in ticks]
    return axis(label, unit, type="log", tickvals=ticks, ticktext=names)


def histogram(
    values: Sequence[float],
    label: str,
    unit: str = "",
    whole: bool = False,
    limit: float | None = None,
    counted: str = "crystals",
) -> dict[str, Any]:
    """Bars of counts; `limit` draws a line. The few outside the central 99.8 % are in the end bars."""
    array = np.asarray(values, float)
    low, high = (
        np.quantile(array, [0.001, 0.999]) if len(array) > 1_000 else (array.min(), array.max())
    )
    if limit is not None:
        high = max(high, limit * 1.05)
    if whole:
        low, high = np.floor(low), np.ceil(high)
        step = max(1, int(np.ceil((high - low + 1) / N_BINS)))
        edges = np.arange(low - 0.5, high + step + 0.5, step)
    else:
        edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
    counts, _ = np.histogram(np.clip(array, edges[0], edges[-1]), edges)
    centres = (edges[:-1] + edges[1:]) / 2
    spans = [
        f"{np.ceil(a):.0f} to {np.floor(b):.0f}" if whole else f"{a:.3g} to {b:.3g}"
        for a, b in pairwise(edges)
    ]
    trace = {
        "type": "bar",
        "x": np.round(centres, 6).tolist(),
        "y": counts.tolist(),
        "width": float(edges[1] - edges[0]) * 0.94,
        "customdata": spans,
        "hovertemplate": f"%{{customdata}}: %{{y}} {counted}<extra></extra>",
    }
    layout: dict[str, Any] = {"xaxis": axis(label, unit), "yaxis": axis(counted)}
    if limit is not None:
        layout["shapes"] = [
            {"type": "line", "x0": limit, "x1": limit, "y0": 0, "y1": 1, "yref": "paper"}
        ]
        layout["annotations"] = [
            {"x": limit, "y": 1, "yref": "paper", "xanchor": "left", "yanchor": "top"}
            | {"text": f" limit {limit:g}", "showarrow": False}
        ]
    return {"data": [trace], "layout": layout}


def bars(counts: Mapping[str, float], label: str, unit: str = "") -> dict[str, Any]:
    """A horizontal bar for each name, the first on top."""
    names = list(counts)
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": list(counts.values()),
        "y": [escape(name) for name in names],
        "hovertemplate": "%{y}: %{x:.4~g}<extra></extra>",
    }
    layout = {"xaxis": axis(label, unit), "yaxis": {"autorange": "reversed", "automargin": True}}
    return {"data": [trace], "layout": layout}


def spacegroup_sunburst(numbers: Sequence[int]) -> dict[str, Any]:
    """Crystal systems around the centre, their space groups outside: pymatviz' plot with symbols."""
    from pymatviz import spacegroup_sunburst as sunburst

    (trace,) = sunburst(list(numbers)).data
    known = spacegroup_symbols()
    groups = [str(name).partition("/")[2] for name in trace.ids]
    symbols = [
        known[int(number) - 1] if number else str(label)
        for number, label in zip(groups, trace.labels, strict=True)
    ]
    plain = {
        "type": "sunburst",
        "ids": list(map(str, trace.ids)),
        "parents": list(map(str, trace.parents)),
        "labels": symbols,
        "values": [int(value) for value in trace.values],
        "customdata": [
            f"space group {number}" if number else "crystal system" for number in groups
        ],
        "branchvalues": "total",
        "textinfo": "label",
        "insidetextorientation": "radial",
        "hovertemplate": "%{label} (%{customdata}): %{value} crystals<extra></extra>",
    }
    return {"data": [plain], "layout": {"margin": {"l": 4, "r": 4, "t": 4, "b": 4}}}


def parity(
    target: Sequence[float], prediction: Sequence[float], ids: Sequence[str], unit: str
) -> dict[str, Any]:
    """Prediction over target, the points coloured by how many lie around them, and the diagonal."""
    x, y = np.asarray(target, float), np.asarray(prediction, float)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    edges = np.linspace(low, high if high > low else low + 1, N_DENSITY_BINS + 1)
    counts, _, _ = np.histogram2d(x, y, [edges, edges])
    column, row = (np.clip(np.digitize(v, edges) - 1, 0, N_DENSITY_BINS - 1) for v in (x, y))
    density = counts[column, row]
    order = np.argsort(density, kind="stable")  # the densest are drawn last
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": np.round(x[order], 5).tolist(),
        "y": np.round(y[order], 5).tolist(),
        "text": [escape(ids[n]) for n in order],
        "hovertemplate": "%{text}<br>target %{x:.4~g}<br>prediction %{y:.4~g}<extra></extra>",
        "marker": {
            "size": 6,
            "color": np.log10(density[order]).round(3).tolist(),
            "showscale": False,  # the page has a scale for light and one for dark
        },
    }
    line = {"type": "line", "x0": low, "y0": low, "x1": high, "y1": high}
    layout = {
        "xaxis": axis("target", unit),
        "yaxis": axis("prediction", unit),
        "shapes": [line],
    }
    return {"data": [points], "layout": layout}


def scatter(
    x: np.ndarray, y: np.ndarray, ids: Sequence[str], xaxis: dict, yaxis: dict
) -> dict[str, Any]:
    """A point for each id, and the line where both are equal."""
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": np.round(x, 5).tolist(),
        "y": np.round(y, 5).tolist(),
        "text": [escape(name) for name in ids],
        "hovertemplate": "%{text}<br>%{x:.4~g}, %{y:.4~g}<extra></extra>",
        "marker": {"size": 6, "opacity": 0.6},
    }
    end = float(min(np.max(x), np.max(y)))
    line = {"type": "line", "x0": 0, "y0": 0, "x1": end, "y1": end}
    layout = {"xaxis": xaxis, "yaxis": yaxis, "shapes": [line]}
    return {"data": [points], "layout": layout}


def lines(
    x: Sequence[float], curves: Mapping[str, Sequence[float | None]], xaxis: dict, yaxis: dict
) -> dict[str, Any]:
    """A line for each name."""
    data = [
        {"type": "scatter", "mode": "lines", "name": escape(name), "x": list(x), "y": list(y)}
        for name, y in curves.items()
    ]
    return {"data": data, "layout": {"xaxis": xaxis, "yaxis": yaxis, "showlegend": len(data) > 1}}
