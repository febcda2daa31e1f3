"""Structure record in, crystal graph out, as flat arrays; and its line graph, rebuilt when needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.record import StructureRecord
from model.config import GraphConfig
from model.graphs.elements import atomic_numbers

SHELL_TOLERANCE = 1e-6  # relative; distances closer than this belong to one shell
SAME_PLACE = 0.15  # Å; nearer atoms are one atom written twice and not a bond
SAME_SITE = 1e-3  # Å; how well a translation must map atoms onto atoms
PERIODIC = np.ones(3, np.int64)


@dataclass(frozen=True)
class CrystalGraph:
    """Atoms joined by bonds, each bond in both directions, sorted by the atom it points to."""

    atomic_numbers: np.ndarray  # (n_atoms,) uint8
    tails: np.ndarray  # (n_bonds,) int32, atom a bond starts from
    heads: np.ndarray  # (n_bonds,) int32, atom it points to
    vectors: np.ndarray  # (n_bonds, 3) float32, Å, from tail to head
    # whether a bond of an atom with its own image is followed by itself in the line graph
    follows_itself: bool = True

    @property
    def n_atoms(self) -> int:
        return len(self.atomic_numbers)

    @property
    def n_bonds(self) -> int:
        return len(self.heads)

    @property
    def n_angles(self) -> int:
        """Edges of the line graph, counted without building it."""
        leaving = np.bincount(self.tails, minlength=self.n_atoms)
        arriving = np.bincount(self.heads, minlength=self.n_atoms)
        dropped = 0 if self.follows_itself else np.count_nonzero(self.tails == self.heads)
        return int(leaving @ arriving) - int(dropped)


def build_graph(record: StructureRecord, config: GraphConfig | None = None) -> CrystalGraph:
    """The crystal graph of a record: k nearest neighbours, last shell whole, periodic images."""
    config = config or GraphConfig()
    numbers = atomic_numbers(record.species_at_sites)
    lattice = np.array(record.lattice_vectors, np.float64)
    positions = np.array(record.cartesian_site_positions, np.float64)
    if config.self_bonds:
        numbers, positions, lattice = primitive(numbers, positions, lattice)
    first, second, images = neighbor_shells(positions, lattice, config)
    if config.self_bonds:
        atoms = np.repeat(np.arange(len(numbers)), 3)
        first, second = np.concatenate((first, atoms)), np.concatenate((second, atoms))
        images = np.concatenate((images, np.tile(np.eye(3, dtype=np.int64), (len(numbers), 1))))
    first, second, images = one_bond_each(first, second, images, not config.exact_shell)
    vectors = positions[second] - positions[first] + images @ lattice
    tails, heads = np.concatenate((first, second)), np.concatenate((second, first))
    order = np.argsort(heads, kind="stable")
    return CrystalGraph(
        atomic_numbers=numbers,
        tails=tails[order].astype(np.int32),
        heads=heads[order].astype(np.int32),
        vectors=np.concatenate((vectors, -vectors))[order].astype(np.float32),
        follows_itself=not config.exact_shell,
    )


def primitive(
    numbers: np.ndarray, positions: np.ndarray, lattice: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same crystal by its smallest cell, rows the three shortest translations; Å.

    Lengths of the self-bonds would else depend on the cell it came in.
    """
    import spglib

    places = np.linalg.solve(lattice.T, positions.T).T
    cell = (lattice.tolist(), places.tolist(), numbers.tolist())
    small = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=SAME_SITE)
    small = small or cell  # spglib finds no symmetry at all
    lattice = np.array(small[0], np.float64)
    shortest = spglib.niggli_reduce(lattice.tolist())
    positions = np.array(small[1], np.float64) @ lattice
    reduced = lattice if shortest is None else np.array(shortest, np.float64)
    return np.array(small[2], np.uint8), positions, reduced


def neighbor_shells(
    positions: np.ndarray, lattice: np.ndarray, config: GraphConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each atom's nearest neighbours as (atom, neighbour, image of the neighbour's cell).

    The shell of the k-th neighbour is kept whole: cutting equal distances apart would let the order
    of the atoms, or the last bits of a float, decide which bonds exist.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    tolerance = 0.0 if config.exact_shell else SHELL_TOLERANCE
    radius = config.cutoff_angstrom
    while True:
        atoms, neighbors, images, distances = find_points_in_spheres(
            positions, positions, r=radius, pbc=PERIODIC, lattice=lattice, tol=1e-8
        )
        if config.exact_shell:
            distances = released_distances(positions, lattice, atoms, neighbors, images)
        apart = distances > SAME_PLACE
        atoms, neighbors = atoms[apart], neighbors[apart]
        images, distances = images[apart], distances[apart]
        counts = np.bincount(atoms, minlength=len(positions))
        if counts.min() >= config.max_neighbors:
            nearest_first = np.lexsort((distances, atoms))
            starts = np.cumsum(counts) - counts
            kth = distances[nearest_first][starts + config.max_neighbors - 1]
            reach = kth * (1 + tolerance)
            if reach.max() <= radius:
                break
        radius *= 2
    keep = distances <= reach[atoms]
    return atoms[keep], neighbors[keep], np.rint(images[keep]).astype(np.int64)


def released_distances(
    positions: np.ndarray,
    lattice: np.ndarray,
    atoms: np.ndarray,
    neighbors: np.ndarray,
    images: np.ndarray,
) -> np.ndarray:
    """Distances to the last bit of the released code's: each cell's shift by its own product."""
    cells, cell = np.unique(images, axis=0, return_inverse=True)
    shifts = np.array([np.dot(image, lattice) for image in cells])
    difference = (shifts[cell.ravel()] + positions[neighbors]) - positions[atoms]
    return np.sum(difference**2, axis=-1) ** 0.5


def one_bond_each(
    first: np.ndarray, second: np.ndarray, images: np.ndarray, merge_self_bonds: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each bond once, however many of its ends chose it: lower atom first, seen from its cell.

    A bond of an atom with its own image is found as +R and as -R. These are one bond, as they are
    in a larger cell; the released code keeps both.
    """
    backward = second < first
    if merge_self_bonds:
        sign = (np.sign(images) @ np.array([9, 3, 1])) < 0
        backward |= (second == first) & sign
    low, high = np.where(backward, second, first), np.where(backward, first, second)
    signed = np.where(backward[:, None], -images, images)
    reach = 2 * np.abs(signed).max(initial=0) + 1  # one whole number for each bond, to sort by
    cell = (signed + reach // 2) @ np.array([reach * reach, reach, 1])
    _, once = np.unique((low * (high.max() + 1) + high) * reach**3 + cell, return_index=True)
    return low[once], high[once], signed[once]


def line_graph(
    tails: np.ndarray, heads: np.ndarray, n_atoms: int, follows_itself: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of bonds (from, to), the first ending where the second starts; sorted by the second.

    A bond and its reverse are a pair. Bonds must be sorted by head; several crystals may be laid one
    after another.
    """
    arriving = np.bincount(heads, minlength=n_atoms)
    starts = np.cumsum(arriving) - arriving
    n_before = arriving[tails]  # bonds that end where this one starts
    to_bond = np.repeat(np.arange(len(tails)), n_before)
    within = np.arange(len(to_bond)) - np.repeat(np.cumsum(n_before) - n_before, n_before)
    from_bond = starts[tails][to_bond] + within
    if not follows_itself:
        other = from_bond != to_bond
        from_bond, to_bond = from_bond[other], to_bond[other]
    return from_bond, to_bond


def bond_cosines(vectors: np.ndarray, from_bond: np.ndarray, to_bond: np.ndarray) -> np.ndarray:
    """(n_angles,) float32 cosine of the angle at the atom two bonds share."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = -np.einsum("ij,ij->i", unit[from_bond], unit[to_bond])
    return np.clip(cosines, -1, 1).astype(np.float32)


def concatenate(graphs: Sequence[CrystalGraph]) -> CrystalGraph:
    """One graph of several crystals side by side, atoms and bonds numbered on."""
    if len({graph.follows_itself for graph in graphs}) > 1:
        raise ValueError("graphs of different rules can't be joined")
    n_atoms = np.array([graph.n_atoms for graph in graphs])
    n_bonds = np.array([graph.n_bonds for graph in graphs])
    shift = np.repeat(np.cumsum(n_atoms) - n_atoms, n_bonds).astype(np.int32)
    return CrystalGraph(
        atomic_numbers=np.concatenate([graph.atomic_numbers for graph in graphs]),
        tails=np.concatenate([graph.tails for graph in graphs]) + shift,
        heads=np.concatenate([graph.heads for graph in graphs]) + shift,
        vectors=np.concatenate([graph.vectors for graph in graphs]),
        follows_itself=graphs[0].follows_itself,
    )
