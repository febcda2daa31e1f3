"""The crystal graph against textbook coordination, plain loops, and the released code's rules."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from plain import plain_bonds
from pymatgen.core import Lattice, Structure
from small import reordered, rotated, shifted, supercell

from curate import StructureRecord
from curate.sources.sample import Sample
from model.config import GraphConfig
from model.graphs.crystal_graph import (
    Cell,
    bond_cosines,
    build_graph,
    concatenate,
    line_graph,
    neighbor_shells,
    unique_bonds,
)
from model.graphs.elements import atomic_numbers

WAYS = {"rotated": rotated, "shifted": shifted, "reordered": reordered}


@pytest.fixture(scope="module")
def sample():
    return list(Sample().records())[:40]


@pytest.fixture(scope="module")
def copper():
    """fcc, a = 3.615 Å, one atom: every bond joins the atom to its own image."""
    cell = Structure(
        Lattice.cubic(3.615), ["Cu"] * 4, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    )
    return StructureRecord.from_pymatgen(cell.get_primitive_structure(), "copper")


def lengths(graph):
    return np.linalg.norm(graph.vectors.astype(float), axis=1)


def fingerprint(graph):
    """What must not change: bonds by elements and length, angles by cosine, per atom."""
    before, after = line_graph(graph.src, graph.dst, graph.n_atoms, graph.follows_itself)
    numbers = graph.atomic_numbers
    bonds = Counter(
        zip(
            numbers[graph.src].tolist(),
            numbers[graph.dst].tolist(),
            lengths(graph).round(3).tolist(),
            strict=True,
        )
    )
    angles = Counter((bond_cosines(graph.vectors, before, after).round(2) + 0.0).tolist())
    n = graph.n_atoms
    return {key: count / n for key, count in bonds.items()}, {
        key: count / n for key, count in angles.items()
    }


def test_silicon_has_four_equal_bonds(silicon):
    graph = build_graph(silicon, GraphConfig(max_neighbors=4))
    assert np.bincount(graph.dst).tolist() == [4, 4]
    assert lengths(graph) == pytest.approx([2.352] * 8, abs=1e-3)


def test_silicon_keeps_the_shell_of_its_twelfth_neighbour_whole(silicon):
    graph = build_graph(silicon)
    assert Counter(lengths(graph).round(3).tolist()) == {2.352: 8, 3.840: 24}  # 4 + 12 an atom


def test_angles_of_silicon_are_tetrahedral(silicon):
    graph = build_graph(silicon, GraphConfig(max_neighbors=4))
    before, after = line_graph(graph.src, graph.dst, graph.n_atoms)
    cosines = Counter(bond_cosines(graph.vectors, before, after).astype(float).round(3).tolist())
    assert cosines == {1.0: 8, -0.333: 24}  # back along the bond, and 109.47°


def test_rock_salt_has_six_bonds_of_half_the_cell(rock_salt):
    graph = build_graph(rock_salt, GraphConfig(max_neighbors=6))
    assert np.bincount(graph.dst).tolist() == [6] * 8
    assert lengths(graph) == pytest.approx([2.820] * 48, abs=1e-3)


def test_bonds_are_those_of_plain_loops(crystals):
    for record in crystals.values():
        graph = build_graph(record)
        expected = plain_bonds(record)
        assert graph.n_bonds == len(expected)
        bonds = Counter(zip(graph.src.tolist(), graph.dst.tolist(), strict=True))
        assert bonds == Counter((i, j) for i, j, _ in expected)
        lattice, places = (
            np.array(record.lattice_vectors),
            np.array(record.cartesian_site_positions),
        )
        ends = [places[j] + image @ lattice - places[i] for i, j, image in expected]
        assert sorted(lengths(graph)) == pytest.approx(
            sorted(np.linalg.norm(ends, axis=1)), abs=1e-5
        )


@pytest.mark.parametrize("way", WAYS)
def test_graph_does_not_depend_on_how_the_crystal_is_written(sample, way):
    for record in sample:
        plain, other = build_graph(record), build_graph(WAYS[way](record))
        assert (plain.n_bonds, plain.n_angles) == (other.n_bonds, other.n_angles), (
            record.material_id
        )
        assert np.sort(lengths(plain)) == pytest.approx(np.sort(lengths(other)), abs=1e-4)


def test_graph_of_a_supercell_is_the_same_graph_several_times(sample, copper, silicon, rock_salt):
    for record in (copper, silicon, rock_salt, *sample[:10]):
        for times in ((2, 1, 1), (1, 2, 2)):
            bonds, angles = fingerprint(build_graph(supercell(record, times)))
            assert (bonds, angles) == fingerprint(build_graph(record)), record.material_id


def test_cutoff_grows_where_an_atom_has_too_few_neighbours():
    lonely = StructureRecord(
        "lonely", ((9.0, 0, 0), (0, 9.0, 0), (0, 0, 9.0)), ("He",), ((0, 0, 0),)
    )
    graph = build_graph(lonely)
    assert sorted(set(lengths(graph).round(3).tolist())) == [9.0, 12.728]  # 6 + 12 images
    assert graph.n_bonds == 18


def rounded(record, digits=5):
    """As a CIF with that many digits after the point has it."""
    cell = Lattice(record.lattice_vectors)
    short = Lattice.from_parameters(*(round(value, digits) for value in cell.parameters))
    fractions = np.round(cell.get_fractional_coords(record.cartesian_site_positions), digits)
    positions = short.get_cartesian_coords(fractions).tolist()
    return replace(
        record,
        lattice_vectors=tuple(map(tuple, short.matrix.tolist())),
        cartesian_site_positions=tuple(map(tuple, positions)),
    )


def test_five_digits_of_a_cif_change_no_bond_and_with_a_millionth_they_do():
    records = list(Sample().records())[:120]
    cut = {
        tolerance: [
            record.material_id
            for record in records
            if build_graph(record, GraphConfig(shell_tolerance=tolerance)).n_bonds
            != build_graph(rounded(record), GraphConfig(shell_tolerance=tolerance)).n_bonds
        ]
        for tolerance in (1e-3, 1e-6)
    }
    assert GraphConfig().shell_tolerance == 1e-3 and not cut[1e-3]
    assert len(cut[1e-6]) > 3


@pytest.mark.dgl
def test_exact_shell_gives_the_released_edges_to_the_last_one(sample):
    """jarvis-tools holds the loops that the released code copied."""
    from jarvis.core.atoms import Atoms
    from jarvis.core.graphs import nearest_neighbor_edges

    fewer = 0
    for record in sample:
        atoms = Atoms(
            lattice_mat=np.array(record.lattice_vectors),
            coords=np.array(record.cartesian_site_positions),
            elements=list(record.species_at_sites),
            cartesian=True,
        )
        edges = nearest_neighbor_edges(atoms, cutoff=8, max_neighbors=12, use_canonize=True)
        released = {
            (int(i), int(j), *map(int, image))
            for (i, j), images in edges.items()
            for image in images
        }
        cell = Cell(
            atomic_numbers(record.species_at_sites),
            np.array(record.cartesian_site_positions),
            np.array(record.lattice_vectors),
        )
        rules = GraphConfig(exact_shell=True)
        assert pairs(neighbor_shells(cell, rules)) == released, record.material_id
        assert build_graph(record, rules).n_bonds == 2 * len(released)
        whole = pairs(neighbor_shells(cell, GraphConfig()))
        assert released <= whole, record.material_id
        fewer += len(released) < len(whole)
    assert fewer > 0  # shells that the last bits of a float cut


def pairs(shells):
    bonds = unique_bonds(shells, merge_self_bonds=False)
    found = np.column_stack((bonds.first, bonds.second, bonds.images)).tolist()
    assert len(set(map(tuple, found))) == len(found)
    return set(map(tuple, found))


@pytest.mark.dgl
def test_line_graph_is_dgls(sample):
    import dgl

    for record in sample[:10]:
        graph = build_graph(record, GraphConfig(exact_shell=True))
        bonds = dgl.graph((torch.from_numpy(graph.src), torch.from_numpy(graph.dst)))
        released = {tuple(pair) for pair in torch.stack(bonds.line_graph().edges(), 1).tolist()}
        before, after = line_graph(graph.src, graph.dst, graph.n_atoms, follows_itself=False)
        assert set(zip(before.tolist(), after.tolist(), strict=True)) == released
        assert len(before) == len(released) == graph.n_angles
        assert (np.diff(after) >= 0).all()


def test_side_by_side_graphs_keep_their_own_line_graphs(silicon, mos2):
    graphs = [build_graph(silicon), build_graph(mos2)]
    joined = concatenate(graphs)
    before, after = line_graph(joined.src, joined.dst, joined.n_atoms)
    assert joined.n_atoms == 2 + 6
    assert len(before) == sum(graph.n_angles for graph in graphs)
    assert ((before < graphs[0].n_bonds) == (after < graphs[0].n_bonds)).all()


def test_an_element_without_features_is_named(silicon):
    with pytest.raises(ValueError, match="'Lr'"):
        build_graph(replace(silicon, species_at_sites=("Lr", "Si")))


def test_flat_arrays_are_small(sample):
    graphs = [build_graph(record) for record in sample]
    n_bytes = sum(
        array.nbytes for g in graphs for array in (g.atomic_numbers, g.src, g.dst, g.vectors)
    )
    assert n_bytes == sum(g.n_atoms + 20 * g.n_bonds for g in graphs)
