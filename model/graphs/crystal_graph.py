"""Crystal graphs as flat arrays, built from structure records; and line graphs, built when needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.record import StructureRecord
from model.config import GraphConfig
from model.graphs.elements import atomic_numbers

SAME_PLACE = 0.15  # Å; nearer atoms are one atom written twice and not a bond
SAME_SITE = 1e-3  # Å; how well a translation must map atoms onto atoms
SAME_CELL = 1e-3  # Å²; how far squares of lengths may differ where a cell is reduced
RIGHT_ANGLE = 0.01  # cosine; an angle with a smaller one is right
PERIODIC = np.ones(3, np.int64)


@dataclass(frozen=True)
class CrystalGraph:
    """Atoms joined by bonds, each bond in both directions, sorted by the atom it points to."""

    atomic_numbers: np.ndarray  # (n_atoms,) uint8
    src: np.ndarray  # (n_bonds,) int32, atom a bond starts from
    dst: np.ndarray  # (n_bonds,) int32, atom it points to
    vectors: np.ndarray  # (n_bonds, 3) float32, Å, from src to dst
    # whether a bond from an atom to its own image gets a self-loop in the line graph
    follows_itself: bool = True

    @property
    def n_atoms(self) -> int:
        """In the cell."""
        return len(self.atomic_numbers)

    @property
    def n_bonds(self) -> int:
        """Each bond counted in both directions."""
        return len(self.dst)

    @property
    def n_angles(self) -> int:
        """Edges of the line graph, counted without building it."""
        leaving = np.bincount(self.src, minlength=self.n_atoms)
        arriving = np.bincount(self.dst, minlength=self.n_atoms)
        dropped = 0 if self.follows_itself else np.count_nonzero(self.src == self.dst)
        return int(leaving @ arriving) - int(dropped)


@dataclass(frozen=True)
class Cell:
    """A crystal by one of its cells."""

    numbers: np.ndarray  # (n_atoms,) uint8 atomic numbers
    positions: np.ndarray  # (n_atoms, 3) Å, cartesian
    lattice: np.ndarray  # (3, 3) Å, rows are the translations


@dataclass(frozen=True)
class Bonds:
    """Pairs of atoms: `first` in the cell itself, `second` in the cell that `images` translates to."""

    first: np.ndarray  # (n,) atom
    second: np.ndarray  # (n,) atom
    images: np.ndarray  # (n, 3) int64, whole translations

    def vectors(self, cell: Cell) -> np.ndarray:
        """(n, 3) Å, from the first atom to the second."""
        positions = cell.positions
        return positions[self.second] - positions[self.first] + self.images @ cell.lattice

    def with_self_bonds(self, n_atoms: int, translations: np.ndarray) -> Bonds:
        """These, and a bond of each atom to its images along the translations, (n, 3) whole numbers."""
        atoms = np.repeat(np.arange(n_atoms), len(translations))
        return Bonds(
            np.concatenate((self.first, atoms)),
            np.concatenate((self.second, atoms)),
            np.concatenate((self.images, np.tile(translations, (n_atoms, 1)))),
        )


def build_graph(record: StructureRecord, config: GraphConfig | None = None) -> CrystalGraph:
    """Bond each atom of a crystal to its nearest neighbours, periodic images included.

    Args:
        record: The crystal.
        config: Number of neighbours, first search radius and rules; the defaults if None.

    Returns:
        Atoms and bonds, each bond in both directions; vectors in Å.

    Raises:
        ValueError: An element has no atom features.
    """
    config = config or GraphConfig()
    cell = Cell(
        atomic_numbers(record.species_at_sites),
        np.array(record.cartesian_site_positions, np.float64),
        np.array(record.lattice_vectors, np.float64),
    )
    if config.self_bonds:
        cell = primitive(cell, SAME_CELL if config.self_bond_translations == 6 else 1e-5)
    shells = neighbor_shells(cell, config)
    if config.self_bonds:
        translations = np.eye(3, dtype=np.int64)
        if config.self_bond_translations == 6:
            translations = with_sums(cell.lattice)
        shells = shells.with_self_bonds(len(cell.numbers), translations)
    bonds = unique_bonds(shells, merge_self_bonds=not config.exact_shell)
    vectors = bonds.vectors(cell)
    src = np.concatenate((bonds.first, bonds.second))
    dst = np.concatenate((bonds.second, bonds.first))
    order = np.argsort(dst, kind="stable")
    return CrystalGraph(
        atomic_numbers=cell.numbers,
        src=src[order].astype(np.int32),
        dst=dst[order].astype(np.int32),
        vectors=np.concatenate((vectors, -vectors))[order].astype(np.float32),
        follows_itself=not config.exact_shell,
    )


def primitive(cell: Cell, tolerance: float) -> Cell:
    """The same crystal by its smallest cell, whose rows are its three shortest translations.

    Lengths of the self-bonds would else depend on the cell it came in. Squares of lengths (Å²) that
    differ by less than the tolerance are equal.
    """
    import spglib

    lattice = cell.lattice
    places = np.linalg.solve(lattice.T, cell.positions.T).T
    given = (lattice.tolist(), places.tolist(), cell.numbers.tolist())
    small = spglib.standardize_cell(given, to_primitive=True, no_idealize=True, symprec=SAME_SITE)
    small = small or given  # spglib finds no symmetry at all
    lattice = np.array(small[0], np.float64)
    shortest = spglib.niggli_reduce(lattice.tolist(), eps=tolerance)
    positions = np.array(small[1], np.float64) @ lattice
    reduced = lattice if shortest is None else np.array(shortest, np.float64)
    return Cell(np.array(small[2], np.uint8), positions, reduced)


def with_sums(lattice: np.ndarray) -> np.ndarray:
    """(6, 3) a, b, c of a reduced cell, and a + b, a + c, b + c, in whole numbers of its rows.

    Which of b and -b is meant is Niggli's choice: all angles acute, or none. Where an angle is right to
    within RIGHT_ANGLE none is acute, so that the last digits of the cell decide nothing.
    """
    unit = lattice / np.linalg.norm(lattice, axis=1, keepdims=True)
    cosines = unit @ unit.T
    ways = np.array([(1, 1, 1), (1, -1, 1), (1, 1, -1), (1, -1, -1)])
    pairs = ([0, 0, 1], [1, 2, 2])
    found = ways[:, pairs[0]] * ways[:, pairs[1]] * cosines[pairs]  # (4, 3)
    acute = (found > RIGHT_ANGLE).all(1)
    way = ways[acute.argmax() if acute.any() else found.sum(1).argmin()]
    return np.vstack((np.eye(3, dtype=np.int64), np.eye(3, dtype=np.int64)[pairs, :].sum(0))) * way


def neighbor_shells(cell: Cell, config: GraphConfig) -> Bonds:
    """Each atom with its nearest neighbours: a pair is there once for each end that chose it.

    The shell of the k-th neighbour is kept whole: cutting equal distances apart would let the order
    of the atoms, or the last bits of a float, decide which bonds exist.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    positions, lattice = cell.positions, cell.lattice
    tolerance = 0.0 if config.exact_shell else config.shell_tolerance
    radius = config.cutoff_angstrom
    while True:
        atoms, neighbors, images, distances = find_points_in_spheres(
            positions, positions, r=radius, pbc=PERIODIC, lattice=lattice, tol=1e-8
        )
        if config.exact_shell:
            distances = released_distances(cell, Bonds(atoms, neighbors, images))
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
    return Bonds(atoms[keep], neighbors[keep], np.rint(images[keep]).astype(np.int64))


def released_distances(cell: Cell, bonds: Bonds) -> np.ndarray:
    """(n,) Å, equal to the released code's to the last bit: each cell's shift by its own product."""
    cells, number = np.unique(bonds.images, axis=0, return_inverse=True)
    shifts = np.array([np.dot(image, cell.lattice) for image in cells])
    shifted = shifts[number.ravel()] + cell.positions[bonds.second]
    difference = shifted - cell.positions[bonds.first]
    return np.sum(difference**2, axis=-1) ** 0.5


def unique_bonds(bonds: Bonds, merge_self_bonds: bool) -> Bonds:
    """Unique undirected bonds: lower atom first, seen from its cell.

    A bond of an atom with its own image is found as +R and as -R. These are one bond, as they are
    in a larger cell; the released code keeps both.
    """
    first, second, images = bonds.first, bonds.second, bonds.images
    backward = second < first
    if merge_self_bonds:
        sign = (np.sign(images) @ np.array([9, 3, 1])) < 0
        backward |= (second == first) & sign
    low, high = np.where(backward, second, first), np.where(backward, first, second)
    signed = np.where(backward[:, None], -images, images)
    reach = 2 * np.abs(signed).max(initial=0) + 1  # one whole number for each bond, to sort by
    cell = (signed + reach // 2) @ np.array([reach * reach, reach, 1])
    _, once = np.unique((low * (high.max() + 1) + high) * reach**3 + cell, return_index=True)
    return Bonds(low[once], high[once], signed[once])


def line_graph(
    src: np.ndarray, dst: np.ndarray, n_atoms: int, follows_itself: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of bonds (from, to), the first ending where the second starts; sorted by the second.

    A bond and its reverse are a pair. Bonds must be sorted by dst; several crystals may be laid one
    after another.
    """
    arriving = np.bincount(dst, minlength=n_atoms)
    starts = np.cumsum(arriving) - arriving
    n_before = arriving[src]  # bonds that end where this one starts
    to_bond = np.repeat(np.arange(len(src)), n_before)
    within = np.arange(len(to_bond)) - np.repeat(np.cumsum(n_before) - n_before, n_before)
    from_bond = starts[src][to_bond] + within
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
        src=np.concatenate([graph.src for graph in graphs]) + shift,
        dst=np.concatenate([graph.dst for graph in graphs]) + shift,
        vectors=np.concatenate([graph.vectors for graph in graphs]),
        follows_itself=graphs[0].follows_itself,
    )
