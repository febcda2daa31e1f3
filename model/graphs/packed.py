"""Many graphs in a few small arrays, which give back every number as it was.

Whole numbers take as few bytes as the largest of them needs, and where bonds are sorted by the atom they
point to, and angles by the bond they end on, the numbers of bonds and angles say it all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from model.graphs.crystal_graph import CrystalGraph
from model.graphs.quotient import QuotientGraph

if TYPE_CHECKING:
    from model.graphs.build import AnyGraph

KINDS: dict[str, type] = {"crystal": CrystalGraph, "quotient": QuotientGraph}
# Of each array: its type in a graph, and what has a row in it.
FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "crystal": {
        "atomic_numbers": ("u1", "atoms"),
        "src": ("i4", "bonds"),
        "dst": ("i4", "bonds"),
        "vectors": ("f4", "bonds"),
    },
    "quotient": {
        "atomic_numbers": ("u1", "atoms"),
        "atom_counts": ("i4", "atoms"),
        "src": ("i4", "bonds"),
        "dst": ("i4", "bonds"),
        "lengths": ("f4", "bonds"),
        "bond_counts": ("i4", "bonds"),
        "before": ("i4", "angles"),
        "after": ("i4", "angles"),
        "cosines": ("f4", "angles"),
        "angle_counts": ("i4", "angles"),
    },
}
SORTED = {"dst": "atoms", "after": "bonds"}  # by what they point to, of which there are so many
UNSIGNED = (np.uint8, np.uint16, np.uint32)


def packed(graphs: Sequence[AnyGraph]) -> dict[str, np.ndarray]:
    """The arrays of some graphs.

    Raises:
        ValueError: A graph has other types than `build` gives it, or is not sorted.
    """
    of_kind: dict[str, list[AnyGraph]] = {kind: [] for kind in KINDS}
    kinds = []
    for graph in graphs:
        kind = next(name for name, made in KINDS.items() if isinstance(graph, made))
        of_kind[kind].append(graph)
        kinds.append(list(KINDS).index(kind))
    arrays = {"kinds": np.array(kinds, np.uint8)}
    for kind, some in of_kind.items():
        if some:
            found = _packed(kind, some)
            arrays |= {f"{kind}_{name}": values for name, values in found.items()}
    return arrays


def _packed(kind: str, graphs: Sequence[AnyGraph]) -> dict[str, np.ndarray]:
    arrays = {"n_atoms": narrow(np.array([graph.n_atoms for graph in graphs]))}
    if kind == "crystal":
        arrays["follow_themselves"] = np.array([graph.follows_itself for graph in graphs], bool)  # type: ignore[union-attr]
    for name, (dtype, _) in FIELDS[kind].items():
        values = [getattr(graph, name) for graph in graphs]
        if {value.dtype for value in values} != {np.dtype(dtype)}:
            raise ValueError(f"{name} of a graph is {values[0].dtype}, not {dtype}")
        if name in SORTED:
            if any((np.diff(value) < 0).any() for value in values):
                raise ValueError(f"{name} of a graph is not sorted")
            sizes = [getattr(graph, f"n_{SORTED[name]}") for graph in graphs]
            pairs = zip(values, sizes, strict=True)
            counts = [np.bincount(value, minlength=size) for value, size in pairs]
            arrays[name] = narrow(np.concatenate(counts))
        else:
            joined = np.concatenate(values)
            arrays[name] = joined if dtype == "f4" else narrow(joined)
    return arrays


def narrow(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 in the smallest type that holds them."""
    largest = numbers.max(initial=0)
    return numbers.astype(next(kind for kind in UNSIGNED if largest <= np.iinfo(kind).max))


class PackedGraphs(Sequence["AnyGraph"]):
    """The graphs of packed arrays, in memory; each is made when it is asked for."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.kinds = arrays["kinds"]
        self.numbers = np.zeros(len(self.kinds), np.int64)  # among the graphs of the same kind
        self.fields: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        self.follow_themselves = arrays.get("crystal_follow_themselves")
        for number, kind in enumerate(KINDS):
            of_kind = self.kinds == number
            self.numbers[of_kind] = np.arange(np.count_nonzero(of_kind))
            if of_kind.any():
                prefix = f"{kind}_"
                own = {
                    name.removeprefix(prefix): values
                    for name, values in arrays.items()
                    if name.startswith(prefix)
                }
                self.fields[kind] = _unpacked(kind, own)

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, position):
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        kind, number = list(KINDS)[self.kinds[position]], self.numbers[position]
        values = {
            name: array[ends[number - 1] if number else 0 : ends[number]]
            for name, (array, ends) in self.fields[kind].items()
        }
        if kind == "crystal" and self.follow_themselves is not None:
            return CrystalGraph(**values, follows_itself=bool(self.follow_themselves[number]))
        return QuotientGraph(**values)


def _unpacked(
    kind: str, arrays: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each field the values of all graphs, and where those of each end."""
    ends = {"atoms": np.cumsum(arrays["n_atoms"], dtype=np.int64)}
    values: dict[str, np.ndarray] = {}
    for name, pointed_to in SORTED.items():
        if name not in arrays:
            continue
        of_graphs = ends[pointed_to]
        own = np.arange(of_graphs[-1]) - np.repeat(
            of_graphs - np.diff(of_graphs, prepend=0), np.diff(of_graphs, prepend=0)
        )
        values[name] = np.repeat(own, arrays[name]).astype(np.int32)
        totals = np.concatenate(([0], np.cumsum(arrays[name], dtype=np.int64)))
        ends[FIELDS[kind][name][1]] = totals[of_graphs]
    return {
        name: (values[name] if name in values else arrays[name].astype(dtype), ends[rows])
        for name, (dtype, rows) in FIELDS[kind].items()
    }
