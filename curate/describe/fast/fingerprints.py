"""Order parameters of every site, and the fingerprint of the structure.

Stands in for `robocrys.condense.fingerprint`, which computes the same 61 numbers of each site
twice: for the geometry of the sites and for the fingerprint of the structure. The library's numbers are
those of matminer's `CrystalNNFingerprint`, which is a loop over pymatgen's `LocalStructOrderParams`.
"""

from __future__ import annotations

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
    """The features of each coordination number."""
    found: dict[int, list[int]] = {}
    for number, (cn, *_) in enumerate(features()):
        found.setdefault(cn, []).append(number)
    return found


@lru_cache(maxsize=1)
def labels() -> tuple[str, ...]:
    """The features' names: "wt CN_1", "sgl_bd CN_1", …"""
    return tuple(f"{name} CN_{cn}" for cn, name, _ in features())


def site_fingerprint(neighbors: Neighbors) -> tuple[np.ndarray, list[int]]:
    """The features of one site (61,), and the numbers of those that rounding decides."""
    angles = neighbor_angles(neighbors)
    steps = np.diff(neighbors.weight[: angles.n], prepend=neighbors.weight[:1])
    groups = np.cumsum(steps < -EQUAL)
    values = np.zeros(len(features()))
    uncertain: list[int] = []
    for cn, weight in neighbors.cn_weights.items():
        if cn == 0 or weight == 0:
            continue
        for number in _numbers()[cn]:
            values[number] = feature(number, neighbors, angles)
            _, motif, parameters = motifs()[number]
            if motif in STEPPED:
                spread = uncertainty(motif, parameters, angles.first(cn), groups[:cn])
                if weight * spread > NOISE:
                    uncertain.append(number)
    return values, uncertain


def neighbor_angles(neighbors: Neighbors) -> Angles:
    """The angles among as many neighbours as any motif has."""
    weights = neighbors.cn_weights
    longest = max((cn for cn, weight in weights.items() if weight != 0 and cn in MOTIFS), default=0)
    return Angles(neighbors.vector[:longest])


def feature(number: int, neighbors: Neighbors, angles: Angles) -> float:
    """One feature: the weight of its coordination number, times the likeness to its motif."""
    cn, motif, parameters = motifs()[number]
    weight = neighbors.cn_weights.get(cn, 0)
    if motif == "wt" or weight == 0:
        return weight
    return weight * order_parameter(motif, parameters, angles.first(cn))


def structure_fingerprint(site_fingerprints: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each feature over the sites (n, 61), interleaved (122,)."""
    return np.stack([site_fingerprints.mean(axis=0), site_fingerprints.std(axis=0)], axis=1).ravel()
