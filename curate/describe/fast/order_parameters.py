"""Likeness of a site's neighbours to structural motifs; stands in for `LocalStructOrderParams`.

The library loops over all triples of neighbours once for each motif, building small arrays in the
innermost loop. Here the angles of all triples are computed once, for the longest neighbour list,
and each motif is the library's own formula on whole arrays. The bond orientational parameters q2,
q4 and q6 follow from the angles between neighbours by the addition theorem of the spherical
harmonics. Sums run in another order, which moves the last digits of a float.
"""

from __future__ import annotations

import math
from copy import copy

import numpy as np

from curate.describe.fast import rows

PI = math.pi
EDGE = 1e-6  # rad; an angle this close to a step may lie on either side
PYRAMIDS = {"T", "tri_pyr", "sq_pyr", "pent_pyr", "hex_pyr"}
TWO_POLES = {
    "see_saw_rect",
    "tri_bipyr",
    "sq_bipyr",
    "pent_bipyr",
    "hex_bipyr",
    "oct_max",
    "sq_plan_max",
    "hex_plan_max",
}
LEGENDRE = {
    "q2": lambda x: (3 * x**2 - 1) / 2,
    "q4": lambda x: (35 * x**4 - 30 * x**2 + 3) / 8,
    "q6": lambda x: (231 * x**6 - 315 * x**4 + 105 * x**2 - 5) / 16,
}


class Angles:
    """The angles among the neighbours of one site, for lists of n and fewer neighbours."""

    def __init__(self, vectors: np.ndarray):
        self.n = len(vectors)
        self.distance = rows.norm(vectors)  # (n,) Å
        unit = vectors / self.distance[:, None]
        cosine = rows.dot(unit[:, None], unit)
        self.cosine = np.clip(cosine, -1, 1)
        self.theta = rows.arccos(self.cosine)  # (n, n) between neighbours j and k
        along = cosine / rows.dot(unit, unit)[:, None]
        across = unit - along[:, :, None] * unit[:, None]  # k's part normal to j
        length = rows.norm(across)
        self.aligned = length < 1e-12  # (n, n) k lies on the axis through j
        across /= np.where(self.aligned, np.inf, length)[:, :, None]
        # (n, n, n) between the planes j-k and j-m
        self.phi = np.arccos(np.clip(rows.dot(across[:, :, None], across[:, None]), -1, 1))
        self._first: dict[int, First] = {}

    def first(self, n: int) -> First:
        """The angles among the first n neighbours."""
        if n not in self._first:
            self._first[n] = First(self, n)
        return self._first[n]


class First:
    """Views of the angles of the first n neighbours, and which triples (j, k, m) count."""

    def __init__(self, angles: Angles, n: int):
        self.n = n
        self.theta, self.phi = angles.theta[:n, :n], angles.phi[:n, :n, :n]
        self.cosine = angles.cosine[:n, :n]
        self.distance = np.sort(angles.distance[:n])
        self.pair = ~np.eye(n, dtype=bool)  # j and k differ
        plane = self.pair & ~angles.aligned[:n, :n]
        other = self.pair[None] & self.pair[:, None]  # m is neither k nor j
        self.third = plane[:, :, None] & other  # j-k spans a plane
        self.fourth = self.third & plane[:, None]  # and so does j-m


def order_parameter(motif: str, p: dict, first: First) -> float:
    """Likeness of the first n neighbours to a motif with the library's parameters p."""
    n, theta = first.n, first.theta
    if motif == "sgl_bd":
        return 1.0 if n == 1 else float(1 - first.distance[0] / first.distance[1])
    if motif in LEGENDRE:
        return math.sqrt(max(float(LEGENDRE[motif](first.cosine).mean()), 0.0))
    if n < 2:
        return 0.0
    if motif == "bent":
        return float(_gauss(p["IGW_TA"] * (theta / PI - p["TA"]))[first.pair].mean())
    if motif == "bcc":
        return _body_centered(p, first)
    score, count = _profile(motif, p, first)
    mean = np.divide(score, count, out=np.zeros_like(score), where=count > 1e-12)
    return float(mean[first.pair].max())


def uncertainty(motif: str, p: dict, first: First, groups: np.ndarray) -> float:
    """How far rounding can move the likeness, where neighbours of a group (n,) come in any order.

    The formulas have steps (a neighbour counts as the opposite pole from 135° on), and symmetry puts
    angles exactly on them, where the last digits of a float decide. And of each pair the library
    takes only the earlier neighbour as the pole of bcc, so that motif depends on their order.
    """
    theta, phi = first.theta, first.phi
    if motif == "bcc" and first.n > 3:
        pairs = _body_centered_pairs(p, first)
        exchanged = np.abs(pairs - pairs.T) * (groups[:, None] == groups)
        flipped = 2 * np.abs(pairs) * (np.abs(theta - PI / 2) < EDGE)
        return float(np.triu(exchanged + flipped, 1).sum() + _step(motif, p, first, theta))
    if motif == "see_saw_rect" and (np.abs(phi - 0.75 * PI) < EDGE).any():
        return 1.0
    return _step(motif, p, first, theta)


def _step(motif: str, p: dict, first: First, theta: np.ndarray) -> float:
    """The height of the steps that angles lie on."""
    edges = [p["min_SPP"]] if "min_SPP" in p else []
    if motif == "cuboct_max":
        edges += [p[2], p[4]]
    if motif == "pent_plan_max":
        edges = [p["TA"] * PI]
    if not any((np.abs(theta - edge) < EDGE).any() for edge in edges):
        return 0.0
    below, above = copy(first), copy(first)
    below.theta, above.theta = theta - EDGE, theta + EDGE
    return abs(order_parameter(motif, p, above) - order_parameter(motif, p, below))


def _profile(motif: str, p: dict, first: First) -> tuple[np.ndarray, np.ndarray]:
    """Sum of contributions and their number for each pole j and meridian k, (n, n) each."""
    theta, phi, third, fourth = first.theta, first.phi, first.third, first.fourth
    if motif in {"tri_plan_max", "tet_max"}:
        ring = _gauss(p["IGW_TA"] * (theta / PI - p["TA"]))
        return ring + _around(ring, _azimuth(p, phi), fourth), 1.0 + fourth.sum(axis=2)
    if motif in PYRAMIDS:
        ring = _gauss(p["IGW_EP"] * (theta / PI - 0.5))
        return ring + _around(ring, _azimuth(p, phi), fourth), 1.0 + fourth.sum(axis=2)
    if motif == "pent_plan_max":
        target = np.where(theta <= p["TA"] * PI, 0.4, 0.8)
        ring = _gauss(p["IGW_TA"] * (theta / PI - target))
        return ring + _around(ring, np.cos(phi) ** 2, fourth), 1.0 + fourth.sum(axis=2)
    if motif in TWO_POLES:
        north = theta < p["min_SPP"]
        if motif == "hex_plan_max":
            ring = _gauss(p["IGW_TA"] * (np.abs(theta / PI - 0.5) - p["TA"]))
        else:
            ring = _gauss(p["IGW_EP"] * (theta / PI - 0.5))
        pole = third & ~north[:, None]
        ringed = fourth & north[:, None] & north[:, :, None]
        if motif == "see_saw_rect":
            ringed = ringed & (phi < 0.75 * PI)
        at_pole = _gauss(p["IGW_SPP"] * (theta / PI - 1))
        score = ring * north + _around(at_pole, 1.0, pole)
        score += _around(ring, _azimuth(p, phi), ringed)
        return score, north + pole.sum(axis=2) + ringed.sum(axis=2)
    if motif == "cuboct_max":
        return _cuboctahedron(p, first)
    raise KeyError(f"no order parameter {motif!r}")


def _cuboctahedron(p: dict, first: First) -> tuple[np.ndarray, np.ndarray]:
    theta, phi = first.theta, first.phi
    pole = theta >= p["min_SPP"]
    belt = (p[4] < theta) & (theta < p[2])
    open_ = first.fourth & ~pole[:, None] & belt[:, :, None]
    equator = open_ & belt[:, None]
    above, below = open_ & (theta < p[4])[:, None], open_ & (theta > p[2])[:, None]
    tilted = _gauss(0.0556 * (np.cos(phi - 0.5 * PI) - 0.81649658))
    score = p["w_SPP"] * _gauss(p["IGW_SPP"] * (theta / PI - 1)) * pole
    score += _around(_gauss(p[5] * (theta / PI - 0.5)), np.cos(phi) ** 2, equator)
    score += _around(_gauss(p[6] * (theta / PI - 1 / 3)), tilted, above)
    score += _around(_gauss(p[6] * (theta / PI - 2 / 3)), tilted, below)
    return score, p["w_SPP"] * pole + sum(x.sum(axis=2) for x in (equator, above, below))


def _body_centered(p: dict, first: First) -> float:
    if first.n <= 3:
        return 0.0
    return float(np.triu(_body_centered_pairs(p, first)).sum())


def _body_centered_pairs(p: dict, first: First) -> np.ndarray:
    """Share of each pair of pole and meridian in the likeness to bcc, (n, n)."""
    n, theta, phi = first.n, first.theta, first.phi
    pole = theta >= p["min_SPP"]
    at_pole = p["w_SPP"] * _gauss(p["IGW_SPP"] * (theta / PI - 1))
    tilt = (theta - PI / 2) / math.asin(1 / 3)
    ring = tilt * np.exp(-0.5 * tilt * tilt) / math.exp(-0.5)
    side = np.where(theta > PI / 2, 1, -1)[:, :, None] * np.cos(3 * phi)
    around = _around(ring, side, first.fourth & ~pole[:, :, None])
    return (at_pole * pole + around) / (0.5 * n * (6 + (n - 2) * (n - 3)))


def _gauss(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x * x)


def _azimuth(p: dict, phi: np.ndarray) -> np.ndarray:
    return np.cos(p["fac_AA"] * phi) ** p["exp_cos_AA"]


def _around(polar: np.ndarray, azimuthal: np.ndarray | float, counted: np.ndarray) -> np.ndarray:
    """Sum over m of polar[j, m] azimuthal[j, k, m] where counted."""
    return (polar[:, None] * azimuthal * counted).sum(axis=2)
