"""Neighbours in, order parameters of every site and of the structure out.

Stands in for `robocrys.condense.fingerprint`, which computes the same 61 numbers of each site
twice: for the geometry of the sites and for the fingerprint of the structure.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from matminer.featurizers.site import CrystalNNFingerprint
from pymatgen.core import Structure

from curate.describe.fast.neighbors import Neighbors
from curate.describe.fast.order_parameters import TWO_POLES, Angles, order_parameter, uncertainty

STEPPED = TWO_POLES | {"bcc", "cuboct_max", "pent_plan_max"}  # motifs that rounding may move
EQUAL = 1e-6  # difference of weights that come in either order
NOISE = 1e-4  # of a feature; ten times finer than what makes sites differ


@lru_cache(maxsize=1)
def featurizer() -> CrystalNNFingerprint:
    """The library's own, with the settings Robocrystallographer gives it."""
    return CrystalNNFingerprint.from_preset("ops", cation_anion=False)


@lru_cache(maxsize=1)
def motifs() -> tuple[tuple[int, str, dict], ...]:
    """The library's features in order: coordination number, "wt" or motif, parameters."""
    return tuple(
        (cn, "wt", {}) if op == "wt" else (cn, op._types[0], op._params[0] or {})
        for cn in range(1, 25)
        for op in featurizer().ops[cn]
    )


@lru_cache(maxsize=1)
def labels() -> tuple[str, ...]:
    """The features' names: "wt CN_1", "sgl_bd CN_1", …"""
    return tuple(featurizer().feature_labels())


def site_fingerprint(neighbors: Neighbors) -> tuple[np.ndarray, bool]:
    """The features of one site (61,), and whether rounding decides one of them."""
    weights = neighbors.cn_weights
    longest = max((cn for cn, weight in weights.items() if weight != 0 and cn <= 12), default=0)
    angles = Angles(neighbors.vector[:longest])
    steps = np.diff(neighbors.weight[:longest], prepend=neighbors.weight[:1])
    groups = np.cumsum(steps < -EQUAL)
    values, uncertain = [], False
    for cn, motif, parameters in motifs():
        weight = weights.get(cn, 0)
        if motif == "wt" or weight == 0:
            values.append(weight)
            continue
        first = angles.first(cn)
        values.append(weight * order_parameter(motif, parameters, first))
        if motif in STEPPED:
            spread = uncertainty(motif, parameters, first, groups[:cn])
            uncertain = uncertain or weight * spread > NOISE
    return np.array(values, float), uncertain


def stock_site_fingerprint(structure: Structure, site: int) -> np.ndarray:
    """The features as the library computes them, with its own rounding."""
    return np.array([value or 0.0 for value in featurizer().featurize(structure, site)], float)


def structure_fingerprint(site_fingerprints: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each feature over the sites (n, 61), interleaved (122,)."""
    return np.stack([site_fingerprints.mean(axis=0), site_fingerprints.std(axis=0)], axis=1).ravel()
