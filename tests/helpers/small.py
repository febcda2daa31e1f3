"""Small networks and the same crystal written in other ways."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from model.config import GraphConfig, NetworkConfig
from model.graphs.build import build_graphs
from model.network.batch import Batch, Example, collate
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig

TEXT_WIDTH = 12
NETWORK = NetworkConfig(width=16, alignn_layers=2, gcn_layers=2, embedding_width=8)


def network(modality="both", seed=0, text_width=TEXT_WIDTH, sizes=NETWORK) -> CrysMMNet:
    """CrysMMNet with random weights and batch statistics that are not trivial."""
    torch.manual_seed(seed)
    model = CrysMMNet(CrysMMNetConfig.from_settings(sizes, modality, text_width))
    for name, values in model.named_buffers():
        if name.endswith("running_mean"):
            values.copy_(torch.randn_like(values) / 4)
        elif name.endswith("running_var"):
            values.copy_(1 + torch.rand_like(values))
    return model.eval()


def batch(records, config=None, text_width=TEXT_WIDTH) -> Batch:
    """Records with a text embedding and a target that depend on their id alone."""
    return collate([example(record, config, text_width) for record in records])


def example(record, config=None, text_width=TEXT_WIDTH) -> Example:
    chance = np.random.default_rng(sum(record.material_id.encode()))
    text = chance.standard_normal(text_width).astype(np.float32)
    target = float(chance.standard_normal())
    graph = next(build_graphs([record], config or GraphConfig()))
    return Example(record.material_id, graph, text, target)


def predict(model, records, config=None) -> list[float]:
    with torch.inference_mode():
        return model(batch(records, config)).tolist()


def rotated(record):
    turn = Rotation.from_euler("xyz", [20, 50, 130], degrees=True)
    return _with(record, turn.apply(record.lattice_vectors), turn.apply(positions(record)))


def shifted(record):
    return _with(record, record.lattice_vectors, positions(record) + np.array([0.3, 1.1, -2.7]))


def reordered(record):
    order = np.random.default_rng(3).permutation(record.nsites)
    symbols = tuple(record.species_at_sites[i] for i in order)
    moved = _with(record, record.lattice_vectors, positions(record)[order])
    return replace(moved, species_at_sites=symbols)


def supercell(record, times=(2, 1, 1)):
    from curate import StructureRecord

    cell = record.to_pymatgen()
    cell.make_supercell(times)
    return StructureRecord.from_pymatgen(cell, record.material_id)


def positions(record) -> np.ndarray:
    return np.array(record.cartesian_site_positions)


def _with(record, lattice, positions):
    return replace(
        record,
        lattice_vectors=tuple(map(tuple, np.array(lattice).tolist())),
        cartesian_site_positions=tuple(map(tuple, np.array(positions).tolist())),
    )
