"""Neighbours in, order parameters of every site and of the structure out.

Stands in for `robocrys.condense.fingerprint`, which computes the same 61 numbers of each site
twice: for the geometry of the sites and for the fingerprint of the structure.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from matminer.featurizers.site import CrystalNNFingerprint

from curate.fast.neighbors import Neighbors
from curate.fast.order_parameters import Angles, order_parameter


@lru_cache(maxsize=1)
def motifs() -> tuple[tuple[int, str, dict], ...]:
    """The library's features in order: coordination number, "wt" or motif, parameters."""
    featurizer = CrystalNNFingerprint.from_preset("ops", cation_anion=False)
    return tuple(
        (cn, "wt", {}) if op == "wt" else (cn, op._types[0], op._params[0] or {})
        for cn in range(1, 25)
        for op in featurizer.ops[cn]
    )


@lru_cache(maxsize=1)
def labels() -> tuple[str, ...]:
    """The features' names: "wt CN_1", "sgl_bd CN_1", …"""
    return tuple(CrystalNNFingerprint.from_preset("ops", cation_anion=False).feature_labels())


def site_fingerprint(neighbors: Neighbors) -> np.ndarray:
    """The features of one site (61,)."""
    weights = neighbors.cn_weights
    longest = max((cn for cn, weight in weights.items() if weight != 0 and cn <= 12), default=0)
    angles = Angles(neighbors.vector[:longest])
    values = []
    for cn, motif, parameters in motifs():
        weight = weights.get(cn, 0)
        if motif == "wt" or weight == 0:
            values.append(weight)
        else:
            values.append(weight * order_parameter(motif, parameters, angles.first(cn)))
    return np.array(values, float)


def structure_fingerprint(site_fingerprints: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each feature over the sites (n, 61), interleaved (122,)."""
    return np.stack([site_fingerprints.mean(axis=0), site_fingerprints.std(axis=0)], axis=1).ravel()
