"""Examples, and batches of them laid side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.graphs.crystal_graph import CrystalGraph
from model.graphs.quotient import QuotientGraph, side_by_side, unfolded, without_angles
from model.network.message_passing import Backend, Graph, Segments


@dataclass(frozen=True)
class Example:
    """One crystal as the model sees it."""

    id: str
    graph: CrystalGraph | QuotientGraph | None  # None where the model reads the text alone
    text: np.ndarray | None  # (text_width,) embedding of the text or (n_tokens, text_width) of its
    # tokens; None where the model reads no text, or the crystal has none
    target: float = math.nan  # standardised
    descriptors: np.ndarray | None = None  # (n_descriptors,) float32, standardised; None without


@dataclass(frozen=True)
class Batch:
    """Several crystals laid side by side."""

    graph: Graph  # atoms joined by bonds
    line_graph: Graph  # bonds joined by angles; empty where the encoder reads none
    atomic_numbers: Tensor  # (n_atoms,)
    lengths: Tensor  # (n_bonds,) Å
    cosines: Tensor  # (n_angles,)
    n_atoms: Tensor  # (n_crystals,)
    text: Tensor  # (n_crystals, text_width) or, of tokens, (n_crystals, n_tokens, text_width)
    target: Tensor  # (n_crystals,) standardised
    ids: list[str]  # every prediction keeps its material's name
    text_mask: Tensor | None = None  # (n_crystals, n_tokens) True at tokens; None of one vector
    descriptors: Tensor | None = None  # (n_crystals, n_descriptors) standardised
    has_text: Tensor | None = (
        None  # (n_crystals,) False where a crystal has none; None: all have one
    )
    most_atoms: int | None = None  # of a crystal, or classes of them

    @cached_property
    def atoms(self) -> Segments:
        """Atoms as members of crystals; they lie one crystal after another."""
        n_crystals = len(self.n_atoms)
        numbers = torch.arange(n_crystals, device=self.n_atoms.device)
        crystal = numbers.repeat_interleave(self.n_atoms, output_size=self.graph.n_nodes)
        counts = self.graph.node_counts
        return Segments(crystal, n_crystals, counts, self.n_atoms, self.most_atoms)

    @cached_property
    def bonds(self) -> Segments:
        """Bonds as members of crystals."""
        atoms = self.atoms
        return Segments(atoms.group[self.graph.dst], atoms.n_groups, self.graph.edge_counts)

    def settled(self) -> Batch:
        """The same batch, with what its layers share computed, which a compiler need not see."""
        _ = self.atoms, self.bonds, self.graph.weights, self.line_graph.weights
        return self

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return self._each(lambda values: values.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in memory that a GPU can read by itself; a data loader calls this."""
        return self._each(lambda values: values.pin_memory())

    def _each(self, change: Callable[[Any], Any]) -> Batch:
        changed: dict[str, Any] = {
            name: change(value)
            for name, value in vars(self).items()
            if isinstance(value, Tensor | Graph)
        }
        return replace(self, **changed)


def collate(
    examples: Sequence[Example], angles: bool = True, backend: Backend | None = None
) -> Batch:
    """One batch of several crystals.

    Args:
        examples: Crystals with graph, text or both.
        angles: Whether the batch gets the line graph.
        backend: What passes messages; None for DGL where it is installed.
    """
    target = torch.tensor([example.target for example in examples], dtype=torch.float32)
    text, mask, has_text = side_by_side_texts(examples)
    rows = [example.descriptors for example in examples if example.descriptors is not None]
    descriptors = torch.from_numpy(np.stack(rows)) if rows else None
    ids = [example.id for example in examples]
    graphs = [example.graph for example in examples if example.graph is not None]
    of_texts: dict[str, Any] = {
        "text": text,
        "target": target,
        "ids": ids,
        "text_mask": mask,
        "descriptors": descriptors,
        "has_text": has_text,
    }
    if not graphs:
        return Batch(**no_graph(), **of_texts)
    whole = side_by_side([laid_open(graph, angles) for graph in graphs])
    counts = [whole.atom_counts, whole.bond_counts, whole.angle_counts]
    of_atoms, of_bonds, of_angles = (_float(c) if whole.is_folded else None for c in counts)
    bonds = (_int(whole.src), _int(whole.dst), whole.n_atoms)
    angles_of = (_int(whole.before), _int(whole.after), whole.n_bonds)
    return Batch(
        graph=Graph(*bonds, of_atoms, of_bonds, backend),
        line_graph=Graph(*angles_of, of_bonds, of_angles, backend),
        atomic_numbers=_int(whole.atomic_numbers),
        lengths=torch.from_numpy(whole.lengths),
        cosines=torch.from_numpy(whole.cosines),
        n_atoms=torch.tensor([graph.n_atoms for graph in graphs]),
        most_atoms=max(graph.n_atoms for graph in graphs),
        **of_texts,
    )


def no_graph(device: torch.device | None = None) -> dict[str, Any]:
    """The fields of a batch that are of graphs, where the model reads none."""
    no_values = torch.zeros(0, device=device)
    no_numbers = no_values.long()
    empty = Graph(no_numbers, no_numbers, 0, backend="torch")
    return {
        "graph": empty,
        "line_graph": empty,
        "atomic_numbers": no_numbers,
        "lengths": no_values,
        "cosines": no_values,
        "n_atoms": no_numbers,
    }


def side_by_side_texts(
    examples: Sequence[Example],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The texts of a batch, where they have tokens, and which crystals have one.

    Vectors are stacked, tokens padded with zeros; zeros stand for a text that is missing.
    """
    there = [example.text is not None for example in examples]
    has_text = None if all(there) else torch.tensor(there)
    if not any(there):
        return torch.zeros(len(examples), 0), None, has_text
    one = next(example.text for example in examples if example.text is not None)
    nothing = np.zeros_like(one) if one.ndim == 1 else one[:0]
    texts = [nothing if example.text is None else example.text for example in examples]
    if one.ndim == 1:
        return torch.from_numpy(np.stack(texts)), None, has_text
    lengths = torch.tensor([len(text) for text in texts])
    padded = pad_sequence([torch.tensor(text).float() for text in texts], batch_first=True)
    return padded, torch.arange(padded.shape[1]) < lengths[:, None], has_text


def laid_open(graph: CrystalGraph | QuotientGraph, angles: bool) -> QuotientGraph:
    """The graph by classes of atoms, bonds and angles, the last only if they are asked for."""
    if isinstance(graph, CrystalGraph):
        return unfolded(graph, angles)
    return graph if angles else without_angles(graph)


def _int(numbers: np.ndarray) -> Tensor:
    return torch.from_numpy(numbers.astype(np.int64))


def _float(numbers: np.ndarray) -> Tensor:
    return torch.from_numpy(numbers.astype(np.float32))


def within_angles(examples: Sequence[Example], max_angles: int | None) -> list[list[Example]]:
    """The examples in order, in parts of at most `max_angles` bond angles; a single crystal may
    have more."""
    n_angles = [
        example.graph.n_angles if example.graph is not None and max_angles else 0
        for example in examples
    ]
    return [list(examples[part]) for part in parts_within(n_angles, max_angles)]


def parts_within(sizes: Sequence[int], most: int | None) -> list[slice]:
    """Parts, in order, of at most so much together; a single one may be larger. None: one part."""
    starts: list[int] = []
    left = 0
    for number, size in enumerate(sizes):
        if not starts or (most is not None and size > left):
            starts.append(number)
            left = most or 0
        left -= size
    return [slice(*pair) for pair in pairwise([*starts, len(sizes)])]
