"""Quotients of crystal graphs: one of each kind of atom, bond and angle, with its count.

Message passing gives equal features to atoms, bonds and angles that it can't tell apart, so one of
each is enough; docs/quotient.md shows that the network's output stays the same. For atoms the idea
is that of Ruff et al., Digital Discovery 3, 594 (2024).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from model.graphs.color_refinement import Colors, classes_of, mixed, refined, same_values
from model.graphs.crystal_graph import CrystalGraph, bond_cosines, concatenate, line_graph

ANGLES_AT_ONCE = 200_000


@dataclass(frozen=True)
class QuotientGraph:
    """Classes of atoms, bonds and angles; bonds sorted by dst, angles by the bond they end on.

    A count is the number of members in the crystal. Every atom of the class `dst[i]` has
    `bond_counts[i] / atom_counts[dst[i]]` bonds of class i pointing to it; so for angles.
    """

    atomic_numbers: np.ndarray  # (n_atoms,) uint8
    atom_counts: np.ndarray  # (n_atoms,) int32
    src: np.ndarray  # (n_bonds,) int32, class of the atom a bond starts from
    dst: np.ndarray  # (n_bonds,) int32, class of the atom it points to
    lengths: np.ndarray  # (n_bonds,) float32, Å, mean of the class
    bond_counts: np.ndarray  # (n_bonds,) int32
    before: np.ndarray  # (n_angles,) int32, class of the bond an angle starts from
    after: np.ndarray  # (n_angles,) int32, class of the bond it ends on
    cosines: np.ndarray  # (n_angles,) float32, mean of the class
    angle_counts: np.ndarray  # (n_angles,) int32

    @property
    def n_atoms(self) -> int:
        """Classes of atoms."""
        return len(self.atomic_numbers)

    @property
    def n_bonds(self) -> int:
        """Classes of bonds."""
        return len(self.dst)

    @property
    def n_angles(self) -> int:
        """Classes of angles."""
        return len(self.after)

    @property
    def is_folded(self) -> bool:
        """Whether a class has several members."""
        counts = (self.atom_counts, self.bond_counts, self.angle_counts)
        return any((count > 1).any() for count in counts)


def unfolded(graph: CrystalGraph, angles: bool = True) -> QuotientGraph:
    """A crystal graph with its line graph as the quotient in which every class has one member."""
    before = after = np.zeros(0, np.int32)
    if angles:
        before, after = line_graph(graph.src, graph.dst, graph.n_atoms, graph.follows_itself)
    ones = np.ones(max(len(after), graph.n_bonds, graph.n_atoms), np.int32)
    return QuotientGraph(
        atomic_numbers=graph.atomic_numbers,
        atom_counts=ones[: graph.n_atoms],
        src=graph.src,
        dst=graph.dst,
        lengths=np.linalg.norm(graph.vectors, axis=1),
        bond_counts=ones[: graph.n_bonds],
        before=before.astype(np.int32),
        after=after.astype(np.int32),
        cosines=bond_cosines(graph.vectors, before, after),
        angle_counts=ones[: len(after)],
    )


def without_angles(graph: QuotientGraph) -> QuotientGraph:
    """The same atoms and bonds, for encoders that read no line graph."""
    none = np.zeros(0, np.int32)
    no_cosines = np.zeros(0, np.float32)
    return replace(graph, before=none, after=none, cosines=no_cosines, angle_counts=none)


def quotients(graphs: Iterable[CrystalGraph]) -> Iterator[QuotientGraph | CrystalGraph]:
    """The quotient of each graph, in order; a crystal without symmetry stays the graph it is."""
    some: list[CrystalGraph] = []
    n_angles = 0
    for graph in graphs:
        some.append(graph)
        n_angles += graph.n_angles
        if n_angles >= ANGLES_AT_ONCE:
            yield from _quotients(some)
            some, n_angles = [], 0
    if some:
        yield from _quotients(some)


def _quotients(graphs: list[CrystalGraph]) -> Iterator[QuotientGraph | CrystalGraph]:
    whole = concatenate(graphs)
    crystal = np.repeat(np.arange(len(graphs)), [graph.n_atoms for graph in graphs])
    before, after = line_graph(whole.src, whole.dst, whole.n_atoms, whole.follows_itself)
    vectors = whole.vectors.astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = bond_cosines(vectors, before, after)
    crystal_of_bond = crystal[whole.dst]
    initial = Colors(
        mixed(whole.atomic_numbers + 256 * crystal),
        mixed(same_values(lengths, crystal_of_bond)),
        mixed(same_values(cosines, crystal_of_bond[after])),
    )
    colors = refined(initial, whole, before, after)
    atom, bond, angle = (classes_of(c) for c in (colors.atoms, colors.bonds, colors.angles))
    joined = QuotientGraph(
        atomic_numbers=whole.atomic_numbers[atom.first],
        atom_counts=atom.counts,
        src=atom.of[whole.src[bond.first]],
        dst=atom.of[whole.dst[bond.first]],
        lengths=bond.mean(lengths),
        bond_counts=bond.counts,
        before=bond.of[before[angle.first]],
        after=bond.of[after[angle.first]],
        cosines=angle.mean(cosines),
        angle_counts=angle.counts,
    )
    atom_ends = np.searchsorted(crystal[atom.first], np.arange(len(graphs) + 1))
    bond_ends = np.searchsorted(joined.dst, atom_ends)
    angle_ends = np.searchsorted(joined.after, bond_ends)
    ranges = (pairwise(ends.tolist()) for ends in (atom_ends, bond_ends, angle_ends))
    for graph, *ends in zip(graphs, *ranges, strict=True):
        one = cut_out(joined, *(slice(*pair) for pair in ends))
        yield graph if one.n_angles == graph.n_angles and one.n_atoms == graph.n_atoms else one


def cut_out(joined: QuotientGraph, atoms: slice, bonds: slice, angles: slice) -> QuotientGraph:
    """One crystal of several side by side."""
    first_atom, first_bond = np.int32(atoms.start), np.int32(bonds.start)
    return QuotientGraph(
        atomic_numbers=joined.atomic_numbers[atoms],
        atom_counts=joined.atom_counts[atoms],
        src=joined.src[bonds] - first_atom,
        dst=joined.dst[bonds] - first_atom,
        lengths=joined.lengths[bonds],
        bond_counts=joined.bond_counts[bonds],
        before=joined.before[angles] - first_bond,
        after=joined.after[angles] - first_bond,
        cosines=joined.cosines[angles],
        angle_counts=joined.angle_counts[angles],
    )


def side_by_side(graphs: Sequence[QuotientGraph]) -> QuotientGraph:
    """One graph of several crystals, atoms and bonds numbered on."""
    arrays = {
        field.name: np.concatenate([getattr(graph, field.name) for graph in graphs])
        for field in fields(QuotientGraph)
    }
    n_atoms, n_bonds, n_angles = (
        np.array([getattr(graph, name) for graph in graphs])
        for name in ("n_atoms", "n_bonds", "n_angles")
    )
    atoms_before = (np.cumsum(n_atoms) - n_atoms).astype(np.int32)
    bonds_before = (np.cumsum(n_bonds) - n_bonds).astype(np.int32)
    for name in ("src", "dst"):
        arrays[name] = arrays[name] + np.repeat(atoms_before, n_bonds)
    for name in ("before", "after"):
        arrays[name] = arrays[name] + np.repeat(bonds_before, n_angles)
    return QuotientGraph(**arrays)
