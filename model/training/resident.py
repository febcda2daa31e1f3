"""Examples that lie on the device whole, so that batches are gathered there by index.

Rows of all crystals lie one crystal after another; src, dst, before and after count from 0 in each. The
host keeps how many rows each crystal has: it knows the shapes of every batch and asks the device for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curate.batches import in_batches
from model.network.batch import Batch, Example, laid_open, no_graph
from model.network.message_passing import Backend, Graph

SHARE = 0.25  # of a GPU's free memory that the examples of a part may take
CPU_BYTES = 256 << 20  # that they may take of the host's memory, which others may need
CRYSTALS_AT_ONCE = 256  # that are sent to the device together
# Columns of a graph's atoms, bonds and angles, or of classes of them, by their types on the device.
COLUMNS: dict[str, dict[str, type]] = {
    "atoms": {"atomic_numbers": np.uint8, "atom_counts": np.float32},
    "bonds": {"src": np.int32, "dst": np.int32, "lengths": np.float32, "bond_counts": np.float32},
    "angles": {
        "before": np.int32,
        "after": np.int32,
        "cosines": np.float32,
        "angle_counts": np.float32,
    },
}


def room(device: torch.device) -> int:
    """Bytes of the device that the examples of a part may take; 0 where its memory is not known."""
    if device.type == "cpu":
        return CPU_BYTES
    return int(SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0


@dataclass(frozen=True)
class Chosen:
    """Rows of some crystals, one crystal after another."""

    columns: Mapping[str, Tensor]  # (n, ...) each
    sizes: Tensor  # (n_crystals,) rows of each
    before: Tensor  # (n_crystals,) rows of those that stand before it
    n: int  # rows of all

    def spread(self, of_crystals: Tensor) -> Tensor:
        """(n,): each row with its crystal's value of (n_crystals,)."""
        return of_crystals.repeat_interleave(self.sizes, output_size=self.n)


@dataclass(frozen=True)
class Table:
    """Columns with some rows for each crystal.

    Args:
        counts: (n_crystals,) int64, rows of each.
        columns: (n_rows, ...) each.
    """

    counts: np.ndarray
    columns: Mapping[str, Tensor]

    @classmethod
    def of_arrays(cls, counts: Sequence[int], columns: Mapping[str, np.ndarray]) -> Table:
        """Those arrays, in the host's memory."""
        there = {name: torch.from_numpy(values) for name, values in columns.items()}
        return cls(np.array(counts, np.int64), there)

    @classmethod
    def joined(cls, tables: Sequence[Table]) -> Table:
        """The tables one after another."""
        columns = {
            name: torch.cat([table.columns[name] for table in tables]) for name in tables[0].columns
        }
        return cls(np.concatenate([table.counts for table in tables]), columns)

    def to(self, device: torch.device) -> Table:
        """The same table, its columns on the device."""
        return Table(self.counts, {name: one.to(device) for name, one in self.columns.items()})

    @property
    def n_bytes(self) -> int:
        """That the columns take."""
        return sum(values.nbytes for values in self.columns.values())

    @cached_property
    def on_device(self) -> tuple[Tensor, Tensor]:
        """(n_crystals,) int64 rows of each crystal, and where they start."""
        device = next(iter(self.columns.values())).device
        starts = np.cumsum(self.counts) - self.counts
        return torch.from_numpy(self.counts).to(device), torch.from_numpy(starts).to(device)

    def chosen(self, numbers: np.ndarray, index: Tensor) -> Chosen:
        """The rows of some crystals, by their numbers, which are also on the device."""
        n = int(self.counts[numbers].sum())
        sizes, starts = (values.index_select(0, index) for values in self.on_device)
        before = sizes.cumsum(0) - sizes
        shift = (starts - before).repeat_interleave(sizes, output_size=n)
        rows = torch.arange(n, device=shift.device) + shift
        columns = {name: values.index_select(0, rows) for name, values in self.columns.items()}
        return Chosen(columns, sizes, before, n)

    def padded(self, name: str, numbers: np.ndarray, index: Tensor) -> tuple[Tensor, Tensor]:
        """(n_crystals, n_most, ...) float32 rows of some crystals, and where they are no padding."""
        sizes, starts = (values.index_select(0, index) for values in self.on_device)
        places = torch.arange(int(self.counts[numbers].max()), device=index.device)
        mask = places < sizes[:, None]
        rows = torch.where(mask, starts[:, None] + places, 0)
        values = self.columns[name].index_select(0, rows.flatten()).unflatten(0, rows.shape)
        return torch.where(mask[:, :, None], values.float(), 0), mask


@dataclass(frozen=True)
class ResidentExamples:
    """Examples on a device."""

    ids: list[str]
    n_angles: np.ndarray  # (n_crystals,) of each graph, whether the network reads them or not
    folded: np.ndarray  # (n_crystals,) True where a class of the graph has several members
    tables: Mapping[str, Table]  # crystals; atoms, bonds and angles of graphs; tokens of texts
    backend: Backend

    @classmethod
    def fitting(
        cls, examples: Sequence[Example], angles: bool, backend: Backend, device: torch.device
    ) -> ResidentExamples | None:
        """The examples on the device; None where they take more than there is room for.

        Args:
            examples: The crystals. Where some lack a text that others have, there is no room for them.
            angles: Whether batches get their line graphs.
            backend: What passes messages.
            device: Where they shall lie.
        """
        left = room(device)
        parts: list[ResidentExamples] = []
        for some in in_batches(examples, CRYSTALS_AT_ONCE):
            part = cls.of_some(some, angles, backend)
            if part is None or (parts and part.columns != parts[0].columns):
                return None
            left -= part.n_bytes
            if left < 0:
                return None
            parts.append(part.to(device))
        if not parts:
            return None
        whole = cls.joined(parts)
        for table in whole.tables.values():
            _ = table.on_device  # sent now, not in the first step
        return whole

    @classmethod
    def of_some(
        cls, examples: Sequence[Example], angles: bool, backend: Backend
    ) -> ResidentExamples | None:
        """Some examples in the host's memory; None where some lack a text that others have."""
        texts = [example.text for example in examples if example.text is not None]
        if texts and len(texts) < len(examples):
            return None
        one_each = [1] * len(examples)
        crystals = {"target": np.array([example.target for example in examples], np.float32)}
        tables: dict[str, Table] = {}
        if texts and texts[0].ndim == 1:
            crystals["text"] = np.stack(texts)
        elif texts:
            tokens = {"text": np.concatenate(texts)}
            tables["tokens"] = Table.of_arrays([len(text) for text in texts], tokens)
        rows = [example.descriptors for example in examples if example.descriptors is not None]
        if rows:
            crystals["descriptors"] = np.stack(rows)
        tables["crystals"] = Table.of_arrays(one_each, crystals)
        graphs = [example.graph for example in examples if example.graph is not None]
        laid = [laid_open(graph, angles) for graph in graphs]
        for kind, columns in COLUMNS.items() if laid else ():
            arrays: dict[str, np.ndarray] = {
                name: np.concatenate([getattr(graph, name) for graph in laid]).astype(dtype)
                for name, dtype in columns.items()
            }
            tables[kind] = Table.of_arrays([getattr(graph, f"n_{kind}") for graph in laid], arrays)
        return cls(
            ids=[example.id for example in examples],
            n_angles=np.array(
                [graph.n_angles for graph in graphs] or [0] * len(examples), np.int64
            ),
            folded=np.array([graph.is_folded for graph in laid], bool),
            tables=tables,
            backend=backend,
        )

    @classmethod
    def joined(cls, parts: Sequence[ResidentExamples]) -> ResidentExamples:
        """The examples of several one after another."""
        return cls(
            ids=[name for part in parts for name in part.ids],
            n_angles=np.concatenate([part.n_angles for part in parts]),
            folded=np.concatenate([part.folded for part in parts]),
            tables={
                kind: Table.joined([part.tables[kind] for part in parts])
                for kind in parts[0].tables
            },
            backend=parts[0].backend,
        )

    def to(self, device: torch.device) -> ResidentExamples:
        """The same examples on the device."""
        tables = {kind: table.to(device) for kind, table in self.tables.items()}
        return replace(self, tables=tables)

    @property
    def columns(self) -> set[tuple[str, str]]:
        """The names of all columns, with those of their tables."""
        return {(kind, name) for kind, table in self.tables.items() for name in table.columns}

    @property
    def n_bytes(self) -> int:
        """That they take of the device."""
        return sum(table.n_bytes for table in self.tables.values())

    def index(self, numbers: np.ndarray) -> Tensor:
        """The numbers of crystals, sent to where the examples are."""
        here = torch.from_numpy(numbers)
        device = self.tables["crystals"].columns["target"].device
        pinned = here.pin_memory() if device.type == "cuda" else here
        return pinned.to(device, non_blocking=True)

    def batch(self, numbers: np.ndarray, index: Tensor) -> Batch:
        """The batch that `collate` makes of some crystals, with every number the same.

        Args:
            numbers: (n,) int64, which crystals.
            index: The same on the device.
        """
        crystals = {
            name: values.index_select(0, index)
            for name, values in self.tables["crystals"].columns.items()
        }
        mask = has_text = None
        if "tokens" in self.tables:
            text, mask = self.tables["tokens"].padded("text", numbers, index)
        elif "text" in crystals:
            text = crystals["text"]
        else:
            text, has_text = index.new_zeros(len(numbers), 0, dtype=torch.float32), index < 0
        graph = self.graphs(numbers, index) if "atoms" in self.tables else no_graph(index.device)
        return Batch(
            **graph,
            text=text,
            target=crystals["target"],
            ids=[self.ids[number] for number in numbers],
            text_mask=mask,
            descriptors=crystals.get("descriptors"),
            has_text=has_text,
        )

    def graphs(self, numbers: np.ndarray, index: Tensor) -> dict[str, Any]:
        """The fields of a batch that are of its graphs."""
        atoms, bonds, angles = (self.tables[kind].chosen(numbers, index) for kind in COLUMNS)
        of_atoms = of_bonds = of_angles = None
        if self.folded[numbers].any():
            of_atoms, of_bonds = atoms.columns["atom_counts"], bonds.columns["bond_counts"]
            of_angles = angles.columns["angle_counts"]
        first_atom, first_bond = bonds.spread(atoms.before), angles.spread(bonds.before)
        src, dst = (bonds.columns[name] + first_atom for name in ("src", "dst"))
        before, after = (angles.columns[name] + first_bond for name in ("before", "after"))
        return {
            "graph": Graph(src, dst, atoms.n, of_atoms, of_bonds, self.backend),
            "line_graph": Graph(before, after, bonds.n, of_bonds, of_angles, self.backend),
            "atomic_numbers": atoms.columns["atomic_numbers"].long(),
            "lengths": bonds.columns["lengths"],
            "cosines": angles.columns["cosines"],
            "n_atoms": atoms.sizes,
            "most_atoms": int(self.tables["atoms"].counts[numbers].max()),
        }
