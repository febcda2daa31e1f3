"""Features of a site to the library's last digit, for the few sites where rounding decides.

Likeness to the motif bcc depends on which of two equally near neighbours comes first, and the library
orders neighbours by weights that are equal but for rounding. So here the weights come about as they do
in `VoronoiNN`: from the tessellation of all points in the sphere, added up in its order.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy.spatial import Voronoi

from curate.describe.fast import rows
from curate.describe.fast.fingerprints import likeness_feature
from curate.describe.fast.neighbors import (
    Chemistry,
    Neighbors,
    Sphere,
    Surroundings,
    closed_cell,
    weighed,
)
from curate.describe.fast.reduction import Cell
from curate.describe.fast.voronoi import Faces


def with_stock_rounding(
    cell: Cell, chemistry: Chemistry, site: int, features: list[int]
) -> list[float]:
    """These features of a site, likenesses to motifs, as the library computes them for this site."""
    neighbors = _neighbors(cell, chemistry, site)
    return [likeness_feature(number, neighbors) for number in features]


def _neighbors(cell: Cell, chemistry: Chemistry, site: int) -> Neighbors:
    """The neighbours of a site, equally near ones in the library's order."""
    matrix, center = cell.lattice.matrix, cell.position(site)

    def voronoi_cell(points: Sphere) -> Surroundings | None:
        position = rows.times(points.frac, matrix)
        faces = library_faces(position)
        if faces is None:
            return None
        kept = faces.point
        vector = position[kept] - center
        return Surroundings(faces, points.index[kept], points.image[kept], vector)

    return weighed(chemistry, site, closed_cell(cell, site, voronoi_cell))


def library_faces(points: np.ndarray) -> Faces | None:
    """Faces of the cell of the first of the points (n, 3), in the library's order and to its last
    digit; None where the cell is open."""
    tessellation = Voronoi(points)
    ridges = np.flatnonzero((tessellation.ridge_points == 0).any(axis=1))
    outlines = [tessellation.ridge_vertices[ridge] for ridge in ridges]
    if any(-1 in outline for outline in outlines):
        return None
    point = tessellation.ridge_points[ridges].sum(axis=1)  # the other end: this one is 0
    # Each face is cut into triangles that have its first vertex in common.
    face = np.repeat(np.arange(len(outlines)), [len(outline) - 2 for outline in outlines])
    corners = [(outline[0], *pair) for outline in outlines for pair in pairwise(outline[1:])]
    a, b, c = tessellation.vertices[np.array(corners).T]
    n, center = len(outlines), points[0]
    solid_angle = np.bincount(face, _solid_angles(a - center, b - center, c - center), n)
    volume = np.bincount(face, np.abs(rows.dot(center - c, rows.cross(a - c, b - c))) / 6, n)
    area = 3 * volume / (rows.norm(center - points[point]) / 2)
    seen = solid_angle > 0
    return Faces(point[seen], solid_angle[seen], area[seen])


def _solid_angles(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Of triangles with the corners a, b and c (n, 3), as `solid_angle` in pymatgen adds them."""
    la, lb, lc = rows.norm(a), rows.norm(b), rows.norm(c)
    triple = np.abs(rows.dot(a, rows.cross(b, c)))
    rest = la * lb * lc + lc * rows.dot(a, b) + lb * rows.dot(a, c) + la * rows.dot(b, c)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.arctan(triple / rest)
    flat = np.where(triple > 0, math.pi / 2, -math.pi / 2)
    half = np.where(rest == 0, flat, half)
    return np.where(half > 0, half, half + math.pi) * 2
