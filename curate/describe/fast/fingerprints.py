"""Order parameters of every site, and the fingerprint of the structure.

Stands in for `robocrys.condense.fingerprint`, which computes the same 61 numbers of each site
twice: for the geometry of the sites and for the fingerprint of the structure. The library's numbers are
those of matminer's `CrystalNNFingerprint`, which is a loop over pymatgen's `LocalStructOrderParams`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from pymatgen.core.local_env import CN_OPT_PARAMS, LocalStructOrderParams

from curate.describe.fast.neighbors import Neighbors
from curate.describe.fast.order_parameters import TWO_POLES, Angles, order_parameter, uncertainty

STEPPED = TWO_POLES | {"bcc", "cuboct_max", "pent_plan_max"}  # motifs that rounding may move
EQUAL = 1e-6  # difference of weights that come in either order
NOISE = 1e-4  # of a feature; ten times finer than what makes sites differ

# Motifs by coordination number: the preset "ops" of matminer 0.10.1 (BSD licence),
# matminer/featurizers/site/fingerprint.py, load_cn_target_motif_op.
MOTIFS = {
    1: ("sgl_bd",),
    2: ("L-shaped", "water-like", "bent 120 degrees", "bent 150 degrees", "linear"),
    3: ("trigonal planar", "trigonal non-coplanar", "T-shaped"),
    4: (
        "square co-planar",
        "tetrahedral",
        "rectangular see-saw-like",
        "see-saw-like",
        "trigonal pyramidal",
    ),
    5: ("pentagonal planar", "square pyramidal", "trigonal bipyramidal"),
    6: ("hexagonal planar", "octahedral", "pentagonal pyramidal"),
    7: ("hexagonal pyramidal", "pentagonal bipyramidal"),
    8: ("body-centered cubic", "hexagonal bipyramidal"),
    9: ("q2", "q4", "q6"),
    10: ("q2", "q4", "q6"),
    11: ("q2", "q4", "q6"),
    12: ("cuboctahedral", "q2", "q4", "q6"),
}
LARGEST_CN = 24


@lru_cache(maxsize=1)
def features() -> tuple[tuple[int, str, LocalStructOrderParams | None], ...]:
    """The library's features in order: coordination number, name, and what computes the likeness to
    the motif; None for the weight of the coordination number itself, whose name is "wt"."""
    found: list[tuple[int, str, LocalStructOrderParams | None]] = []
    for cn in range(1, LARGEST_CN + 1):
        found.append((cn, "wt", None))
        for name in MOTIFS.get(cn, ()):
            entry: Any = CN_OPT_PARAMS.get(cn, {}).get(name, (name,))
            motif, parameters = entry[0], entry[1] if len(entry) > 1 else None
            found.append((cn, name, LocalStructOrderParams([motif], parameters=[parameters])))
    return tuple(found)


@lru_cache(maxsize=1)
def motifs() -> tuple[tuple[int, str, dict], ...]:
    """Of each feature: coordination number, "wt" or pymatgen's name of the motif, its parameters."""
    return tuple(
        (cn, "wt", {}) if op is None else (cn, op._types[0], op._params[0] or {})
        for cn, _, op in features()
    )


@lru_cache(maxsize=1)
def _numbers() -> dict[int, list[int]]:
    """The features of each coordination number, its weight first."""
    found: dict[int, list[int]] = {}
    for number, (cn, *_) in enumerate(features()):
        found.setdefault(cn, []).append(number)
    return found


@lru_cache(maxsize=1)
def labels() -> tuple[str, ...]:
    """The features' names: "wt CN_1", "sgl_bd CN_1", …"""
    return tuple(f"{name} CN_{cn}" for cn, name, _ in features())


def site_fingerprints(neighbors: Sequence[Neighbors]) -> tuple[np.ndarray, list[list[int]]]:
    """The features of each site (s, 61), and the numbers of those that rounding decides."""
    values = np.zeros((len(neighbors), len(features())))
    uncertain: list[list[int]] = [[] for _ in neighbors]
    for cn, numbers in _numbers().items():
        sites = [site for site, found in enumerate(neighbors) if found.cn_weights.get(cn, 0)]
        if not sites:
            continue
        weights = np.array([neighbors[site].cn_weights[cn] for site in sites])
        values[sites, numbers[0]] = weights
        if cn not in MOTIFS:
            continue
        angles = Angles(np.stack([neighbors[site].vector[:cn] for site in sites]))
        groups = np.stack([_groups(neighbors[site].weight[:cn]) for site in sites])
        for number in numbers[1:]:
            _, motif, parameters = motifs()[number]
            values[sites, number] = weights * order_parameter(motif, parameters, angles)
            if motif in STEPPED:
                spread = uncertainty(motif, parameters, angles, groups)
                for place in np.flatnonzero(weights * spread > NOISE):
                    uncertain[sites[place]].append(number)
    return values, uncertain


def likeness_feature(number: int, neighbors: Neighbors) -> float:
    """One feature of a site that is no weight: that of the motif's size times the likeness to it."""
    cn, motif, parameters = motifs()[number]
    weight = neighbors.cn_weights.get(cn, 0)
    if weight == 0:
        return 0.0
    return weight * order_parameter(motif, parameters, Angles(neighbors.vector[None, :cn]))[0]


def _groups(weights: np.ndarray) -> np.ndarray:
    """Numbers that are the same for neighbours of equal weight (n,), which come in any order."""
    return np.cumsum(np.diff(weights, prepend=weights[:1]) < -EQUAL)


def structure_fingerprint(site_fingerprints: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each feature over the sites (n, 61), interleaved (122,)."""
    return np.stack([site_fingerprints.mean(axis=0), site_fingerprints.std(axis=0)], axis=1).ravel()
