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
from functools import cached_property

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
    """The angles among the n neighbours of each of s sites, and which triples (j, k, m) count."""

    def __init__(self, vectors: np.ndarray):
        """From the vectors to the neighbours (s, n, 3), in Å."""
        self.n = n = vectors.shape[1]
        distance = rows.norm(vectors)
        self.distance = np.sort(distance, axis=1)  # (s, n) Å
        self._unit = unit = vectors / distance[:, :, None]
        self._cosine = rows.dot(unit[:, :, None], unit[:, None])
        self.cosine = np.clip(self._cosine, -1, 1)
        self.theta = rows.arccos(self.cosine)  # (s, n, n) between neighbours j and k
        self.pair = ~np.eye(n, dtype=bool)  # (n, n) j and k differ

    @cached_property
    def phi(self) -> np.ndarray:
        """Between the planes j-k and j-m (s, n, n, n)."""
        cosine = rows.dot(self._across[:, :, :, None], self._across[:, :, None])
        return np.arccos(np.clip(cosine, -1, 1))

    @cached_property
    def third(self) -> np.ndarray:
        """Whether j-k spans a plane, and m is neither of them (s, n, n, n)."""
        return self._plane[..., None] & (self.pair[None] & self.pair[:, None])

    @cached_property
    def fourth(self) -> np.ndarray:
        """And whether j-m spans one."""
        return self.third & self._plane[:, :, None]

    @cached_property
    def _plane(self) -> np.ndarray:
        return self.pair & (self._across != 0).any(axis=3)

    @cached_property
    def _across(self) -> np.ndarray:
        """The direction of k's part normal to j (s, n, n, 3), 0 where k lies on the axis through j."""
        unit = self._unit
        along = self._cosine / rows.dot(unit, unit)[:, :, None]
        across = unit[:, None] - along[..., None] * unit[:, :, None]
        length = rows.norm(across)
        return across / np.where(length < 1e-12, np.inf, length)[..., None]


def order_parameter(motif: str, p: dict, angles: Angles) -> np.ndarray:
    """Likeness of each site's neighbours to a motif with the library's parameters p, (s,)."""
    n, theta = angles.n, angles.theta
    if motif == "sgl_bd":
        distance = angles.distance
        return np.ones(len(distance)) if n == 1 else 1 - distance[:, 0] / distance[:, 1]
    if motif in LEGENDRE:
        return np.sqrt(np.maximum(LEGENDRE[motif](angles.cosine).mean(axis=(1, 2)), 0.0))
    if n < 2:
        return np.zeros(len(theta))
    if motif == "bent":
        return _gauss(p["IGW_TA"] * (theta / PI - p["TA"]))[:, angles.pair].mean(axis=1)
    if motif == "bcc":
        return _body_centered(p, angles)
    score, count = _profile(motif, p, angles)
    mean = np.divide(score, count, out=np.zeros_like(score), where=count > 1e-12)
    return mean[:, angles.pair].max(axis=1)


def uncertainty(motif: str, p: dict, angles: Angles, groups: np.ndarray) -> np.ndarray:
    """How far rounding can move each likeness (s,), neighbours of a group (s, n) coming in any order.

    The formulas have steps (a neighbour counts as the opposite pole from 135° on), and symmetry puts
    angles exactly on them, where the last digits of a float decide. And of each pair the library
    takes only the earlier neighbour as the pole of bcc, so that motif depends on their order.
    """
    step = _step(motif, p, angles)
    if motif == "bcc" and angles.n > 3:
        pairs = _body_centered_pairs(p, angles)
        alike = groups[:, :, None] == groups[:, None]
        exchanged = np.abs(pairs - pairs.transpose(0, 2, 1)) * alike
        flipped = 2 * np.abs(pairs) * (np.abs(angles.theta - PI / 2) < EDGE)
        return np.triu(exchanged + flipped, 1).sum(axis=(1, 2)) + step
    if motif == "see_saw_rect":
        return np.where((np.abs(angles.phi - 0.75 * PI) < EDGE).any(axis=(1, 2, 3)), 1.0, step)
    return step


def _step(motif: str, p: dict, angles: Angles) -> np.ndarray:
    """The height of the steps that angles lie on, (s,)."""
    edges = [p["min_SPP"]] if "min_SPP" in p else []
    if motif == "cuboct_max":
        edges += [p[2], p[4]]
    if motif == "pent_plan_max":
        edges = [p["TA"] * PI]
    theta = angles.theta
    near = np.zeros(len(theta), bool)
    for edge in edges:
        near |= (np.abs(theta - edge) < EDGE).any(axis=(1, 2))
    if not near.any():
        return np.zeros(len(theta))
    below, above = copy(angles), copy(angles)
    below.theta, above.theta = theta - EDGE, theta + EDGE
    height = np.abs(order_parameter(motif, p, above) - order_parameter(motif, p, below))
    return np.where(near, height, 0.0)


def _profile(motif: str, p: dict, angles: Angles) -> tuple[np.ndarray, np.ndarray]:
    """Sum of contributions and their number for each pole j and meridian k, (s, n, n) each."""
    theta, phi, third, fourth = angles.theta, angles.phi, angles.third, angles.fourth
    if motif in {"tri_plan_max", "tet_max"}:
        ring = _gauss(p["IGW_TA"] * (theta / PI - p["TA"]))
        return ring + _around(ring, _azimuth(p, phi), fourth), 1.0 + fourth.sum(axis=3)
    if motif in PYRAMIDS:
        ring = _gauss(p["IGW_EP"] * (theta / PI - 0.5))
        return ring + _around(ring, _azimuth(p, phi), fourth), 1.0 + fourth.sum(axis=3)
    if motif == "pent_plan_max":
        target = np.where(theta <= p["TA"] * PI, 0.4, 0.8)
        ring = _gauss(p["IGW_TA"] * (theta / PI - target))
        return ring + _around(ring, np.cos(phi) ** 2, fourth), 1.0 + fourth.sum(axis=3)
    if motif in TWO_POLES:
        north = theta < p["min_SPP"]
        if motif == "hex_plan_max":
            ring = _gauss(p["IGW_TA"] * (np.abs(theta / PI - 0.5) - p["TA"]))
        else:
            ring = _gauss(p["IGW_EP"] * (theta / PI - 0.5))
        pole = third & ~_of_third(north)
        ringed = fourth & _of_third(north) & north[..., None]
        if motif == "see_saw_rect":
            ringed = ringed & (phi < 0.75 * PI)
        at_pole = _gauss(p["IGW_SPP"] * (theta / PI - 1))
        score = ring * north + _around(at_pole, 1.0, pole)
        score += _around(ring, _azimuth(p, phi), ringed)
        return score, north + pole.sum(axis=3) + ringed.sum(axis=3)
    if motif == "cuboct_max":
        return _cuboctahedron(p, angles)
    raise KeyError(f"no order parameter {motif!r}")


def _cuboctahedron(p: dict, angles: Angles) -> tuple[np.ndarray, np.ndarray]:
    theta, phi = angles.theta, angles.phi
    pole = theta >= p["min_SPP"]
    belt = (p[4] < theta) & (theta < p[2])
    open_ = angles.fourth & ~_of_third(pole) & belt[..., None]
    equator = open_ & _of_third(belt)
    above, below = open_ & _of_third(theta < p[4]), open_ & _of_third(theta > p[2])
    tilted = _gauss(0.0556 * (np.cos(phi - 0.5 * PI) - 0.81649658))
    score = p["w_SPP"] * _gauss(p["IGW_SPP"] * (theta / PI - 1)) * pole
    score += _around(_gauss(p[5] * (theta / PI - 0.5)), np.cos(phi) ** 2, equator)
    score += _around(_gauss(p[6] * (theta / PI - 1 / 3)), tilted, above)
    score += _around(_gauss(p[6] * (theta / PI - 2 / 3)), tilted, below)
    return score, p["w_SPP"] * pole + sum(x.sum(axis=3) for x in (equator, above, below))


def _body_centered(p: dict, angles: Angles) -> np.ndarray:
    if angles.n <= 3:
        return np.zeros(len(angles.theta))
    return np.triu(_body_centered_pairs(p, angles)).sum(axis=(1, 2))


def _body_centered_pairs(p: dict, angles: Angles) -> np.ndarray:
    """Share of each pair of pole and meridian in the likeness to bcc, (s, n, n)."""
    n, theta, phi = angles.n, angles.theta, angles.phi
    pole = theta >= p["min_SPP"]
    at_pole = p["w_SPP"] * _gauss(p["IGW_SPP"] * (theta / PI - 1))
    tilt = (theta - PI / 2) / math.asin(1 / 3)
    ring = tilt * np.exp(-0.5 * tilt * tilt) / math.exp(-0.5)
    side = np.where(theta > PI / 2, 1, -1)[..., None] * np.cos(3 * phi)
    around = _around(ring, side, angles.fourth & ~pole[..., None])
    return (at_pole * pole + around) / (0.5 * n * (6 + (n - 2) * (n - 3)))


def _gauss(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x * x)


def _azimuth(p: dict, phi: np.ndarray) -> np.ndarray:
    return np.cos(p["fac_AA"] * phi) ** p["exp_cos_AA"]


def _around(polar: np.ndarray, azimuthal: np.ndarray | float, counted: np.ndarray) -> np.ndarray:
    """Sum over m of polar[j, m] azimuthal[j, k, m] where counted, at each site."""
    return (_of_third(polar) * azimuthal * counted).sum(axis=3)


def _of_third(of_pair: np.ndarray) -> np.ndarray:
    """What is known of the pairs j-k (s, n, n), of j and m for triples (j, k, m)."""
    return of_pair[:, :, None]
