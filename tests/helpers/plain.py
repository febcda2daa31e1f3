"""The crystal graph and CrysMMNet written down plainly, loop by loop, to compare the package with."""

import itertools
import math

import numpy as np


def plain_bonds(record, max_neighbors=12, reach=3):
    """Set of (atom, neighbour, image) of the k nearest neighbours, last shell whole, both directions."""
    lattice = np.array(record.lattice_vectors)
    positions = np.array(record.cartesian_site_positions)
    chosen = set()
    for i, here in enumerate(positions):
        found = []
        for image in itertools.product(range(-reach, reach + 1), repeat=3):
            for j, there in enumerate(positions):
                distance = np.linalg.norm(there + image @ lattice - here)
                if distance > 0.15:
                    found.append((distance, j, image))
        found.sort()
        shell = found[max_neighbors - 1][0] * (1 + 1e-6)
        for distance, j, image in found:
            if distance <= shell:
                chosen.add((i, j, image))
                chosen.add((j, i, tuple(-x for x in image)))
    return chosen


def plain_crysmmnet(weights, numbers, src, dst, vectors, text, n_alignn, n_gcn):
    """The network's output for one crystal from its state dict, in float64 numpy, in eval mode."""
    w = {name: value.numpy().astype(np.float64) for name, value in weights.items()}

    def linear(name, x):
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    def batch_norm(name, x):
        spread = np.sqrt(w[f"{name}.running_var"] + 1e-5)
        scaled = (x - w[f"{name}.running_mean"]) / spread
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def layer(name, x):
        return silu(batch_norm(f"{name}.bn", linear(f"{name}.linear", x)))

    def convolution(name, edges, x, y):
        m = [
            linear(f"{name}.src_gate", x[i])
            + linear(f"{name}.dst_gate", x[j])
            + linear(f"{name}.edge_gate", y[e])
            for e, (i, j) in enumerate(edges)
        ]
        new_x = []
        for node in range(len(x)):
            above, below = np.zeros_like(x[node]), np.zeros_like(x[node])
            for e, (i, j) in enumerate(edges):
                if j == node:
                    gate = sigmoid(m[e])
                    above += gate * linear(f"{name}.dst_update", x[i])
                    below += gate
            h = linear(f"{name}.src_update", x[node]) + above / (below + 1e-6)
            new_x.append(x[node] + silu(batch_norm(f"{name}.bn_nodes", h)))
        new_y = [y[e] + silu(batch_norm(f"{name}.bn_edges", m[e])) for e in range(len(edges))]
        return new_x, new_y

    def projection(name, x):
        projected = linear(f"{name}.projection", x)
        h = linear(f"{name}.linear", gelu(projected)) + projected
        h = (h - h.mean()) / np.sqrt(h.var() + 1e-5)
        return h * w[f"{name}.norm.weight"] + w[f"{name}.norm.bias"]

    bonds = list(zip(src.tolist(), dst.tolist(), strict=True))
    angles = [
        (a, b) for a in range(len(bonds)) for b in range(len(bonds)) if bonds[a][1] == bonds[b][0]
    ]
    e = "graph_encoder"
    x = [layer(f"{e}.atom_embedding", w[f"{e}.atom_features.features"][z]) for z in numbers]
    y = []
    for vector in vectors.astype(np.float64):
        distance = math.sqrt((vector**2).sum())
        bins = np.exp(-radial(distance, 0, 8, len(w[f"{e}.bond_embedding.0.centers"])))
        y.append(layer(f"{e}.bond_embedding.2", layer(f"{e}.bond_embedding.1", bins)))
    z = []
    for a, b in angles:
        first, second = vectors[a].astype(np.float64), vectors[b].astype(np.float64)
        cosine = -(first @ second) / np.linalg.norm(first) / np.linalg.norm(second)
        cosine = min(1.0, max(-1.0, cosine))
        bins = np.exp(-radial(cosine, -1, 1, len(w[f"{e}.angle_embedding.0.centers"])))
        z.append(layer(f"{e}.angle_embedding.2", layer(f"{e}.angle_embedding.1", bins)))
    for k in range(n_alignn):
        x, m = convolution(f"{e}.alignn_layers.{k}.node_update", bonds, x, y)
        y, z = convolution(f"{e}.alignn_layers.{k}.edge_update", angles, m, z)
    for k in range(n_gcn):
        x, y = convolution(f"{e}.gcn_layers.{k}", bonds, x, y)
    crystal = sum(x) / len(x)
    fused = np.concatenate(
        [projection("graph_projection", crystal), projection("text_projection", text)]
    )
    return linear("head.2", np.maximum(linear("head.0", fused), 0)).item()


def radial(value, low, high, bins):
    """Exponents of the radial functions: inverse spacing times squared distance to each centre."""
    centers = np.linspace(low, high, bins)
    return (value - centers) ** 2 / (centers[1] - centers[0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    return x * 0.5 * (1 + np.array([math.erf(value / math.sqrt(2)) for value in x]))
