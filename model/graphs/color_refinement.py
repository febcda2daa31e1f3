"""Colour refinement: which atoms, bonds and angles message passing can't tell apart.

The coarsest equitable partition, found by hashing each colour with the multiset of the colours
around it until no class splits any more (Weisfeiler and Leman, 1968).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.graphs.crystal_graph import CrystalGraph

TOLERANCE = 1e-5  # Å, and of a cosine: sorted values with smaller steps between them are one value
WIDEST = 1e-4  # Å, and of a cosine: values further apart are never one, however small the steps

U64 = np.uint64
GOLDEN = U64(0x9E3779B97F4A7C15)


def same_values(values: np.ndarray, crystal: np.ndarray) -> np.ndarray:
    """(n,) numbers that are equal for values of one crystal that are one value; see TOLERANCE and WIDEST.

    Rounding would part two values that differ by noise where a rounding boundary lies between them.
    """
    span = np.ptp(values) + 1 if len(values) else 1.0
    keys = values + span * crystal
    order = np.argsort(keys)
    ordered = keys[order]
    starts = np.diff(ordered, prepend=-np.inf) > TOLERANCE
    chain = np.cumsum(starts) - 1
    piece = ((ordered - ordered[starts][chain]) / WIDEST).astype(np.int64)
    new = starts | (np.diff(piece, prepend=0) != 0)
    numbers = np.empty(len(values), np.int64)
    numbers[order] = np.cumsum(new)
    return numbers


@dataclass(frozen=True)
class Colors:
    """64-bit hashes; atoms (bonds, angles) of one colour are not told apart."""

    atoms: np.ndarray  # (n_atoms,) uint64
    bonds: np.ndarray  # (n_bonds,) uint64
    angles: np.ndarray  # (n_angles,) uint64


def refined(initial: Colors, graph: CrystalGraph, before: np.ndarray, after: np.ndarray) -> Colors:
    """Refine colours until none tells two atoms, bonds or angles of a colour apart.

    The colour of a multiset is the sum of its members' hashes.

    Args:
        initial: Colours by element, length and cosine.
        graph: The bonds, sorted by dst.
        before: (n_angles,) the bond that each angle starts from.
        after: (n_angles,) the bond that it ends on, ascending.

    Returns:
        The colours of the coarsest equitable partition.
    """
    atoms, bonds, cosines = initial.atoms, initial.bonds, initial.angles
    n_classes = (0, 0)
    while True:
        bonds = mixed(bonds + GOLDEN * atoms[graph.src] + mixed(atoms[graph.dst]))
        bonds = mixed(bonds ^ _sums(cosines + mixed(bonds)[before], after, len(bonds)))
        atoms = mixed(atoms ^ _sums(bonds, graph.dst, len(atoms)))
        found = len(np.unique(atoms)), len(np.unique(bonds))
        if found == n_classes:
            break
        n_classes = found
    return Colors(atoms, bonds, mixed(cosines + mixed(bonds)[before]) + GOLDEN * bonds[after])


def _sums(colours: np.ndarray, owners: np.ndarray, n: int) -> np.ndarray:
    """(n,) colours of the multisets of colours by owner; sorted by owner."""
    totals = np.zeros(n, U64)
    if len(owners):
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        totals[owners[starts]] = np.add.reduceat(mixed(colours), starts)
    return mixed(totals)


def mixed(numbers: np.ndarray) -> np.ndarray:
    """(n,) uint64 hashes: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = numbers.astype(U64) + GOLDEN
    x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
    return x ^ (x >> U64(31))


@dataclass(frozen=True)
class Classes:
    """Members by class; classes are numbered by their first members."""

    first: np.ndarray  # (n_classes,) first member
    of: np.ndarray  # (n,) int32 class of each member
    counts: np.ndarray  # (n_classes,) int32

    def mean(self, values: np.ndarray) -> np.ndarray:
        """(n_classes,) float32 means of the members' values."""
        totals = np.bincount(self.of, values, minlength=len(self.counts))
        return (totals / self.counts).astype(np.float32)


def classes_of(colours: np.ndarray) -> Classes:
    """Equal colours, one class."""
    _, first, inverse, counts = np.unique(
        colours, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    return Classes(first[order], rank[inverse], counts[order].astype(np.int32))
