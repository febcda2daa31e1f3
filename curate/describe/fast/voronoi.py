"""Faces of the Voronoi cell of a site among the points around it; stands in for `VoronoiNN`.

The library tessellates every point within the cutoff with qhull and keeps the one cell around the
centre. That cell alone is the polar body of the convex hull of the inverted points 2 p / |p|², so
one small hull gives all its vertices, and each edge of the hull one edge of the cell. Solid angle
and area of a face are the sums over its edges of the triangles from the foot of the perpendicular.
The cell is the same; only the order of summation differs (last digits of a float).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from curate.describe.fast import rows

NEAREST = 48  # points tried first; enough for all but very open cells
INFINITE = 1e-8  # 1/Å; a cell reaching further than the inverse of this is open


@dataclass(frozen=True)
class Faces:
    """Faces of one cell: which point each belongs to, solid angle (sr) and area (Å²)."""

    point: np.ndarray  # (m,) index into the points given
    solid_angle: np.ndarray  # (m,)
    area: np.ndarray  # (m,)


def voronoi_faces(points: np.ndarray, distances: np.ndarray) -> Faces | None:
    """Faces of the cell of the origin among points (n, 3), nearest first; None where it is open."""
    if len(points) > NEAREST + 8:
        near = _cell(points[:NEAREST])
        # Complete once every vertex is nearer than half the way to the nearest point left out.
        if near is not None and 2 * near[1] < distances[NEAREST] - 1e-6:
            return near[0]
    whole = _cell(points)
    return None if whole is None else whole[0]


def _cell(points: np.ndarray) -> tuple[Faces, float] | None:
    """The faces and the distance (Å) of the farthest vertex."""
    if len(points) < 4:
        return None
    inverted = 2 * points / (points * points).sum(axis=1)[:, None]
    try:
        hull = ConvexHull(inverted)
    except QhullError:
        return None
    normals, offsets = hull.equations[:, :3], -hull.equations[:, 3]
    if offsets.min() < INFINITE:
        return None
    vertices = normals / offsets[:, None]  # (facets of the hull, 3)

    # Each edge of the hull, once: between facets f and g, along points i and j.
    corner = np.array([[1, 2], [2, 0], [0, 1]])
    f = np.repeat(np.arange(len(vertices)), 3)
    g = hull.neighbors.ravel()
    ends = hull.simplices[:, corner].reshape(-1, 2)
    once = f < g
    f, g, ends = f[once], g[once], ends[once]
    i = np.concatenate([ends[:, 0], ends[:, 1]])
    j = np.concatenate([ends[:, 1], ends[:, 0]])
    a, b = np.tile(vertices[f], (2, 1)), np.tile(vertices[g], (2, 1))
    foot = points[i] / 2
    sign = np.where((foot * inverted[j]).sum(axis=1) < 1, 1.0, -1.0)

    area = sign * np.linalg.norm(rows.cross(a - foot, b - foot), axis=1) / 2
    la, lb, lf = (np.sqrt((x * x).sum(axis=1)) for x in (a, b, foot))
    determinant = np.abs((foot * rows.cross(a, b)).sum(axis=1))
    rest = (
        lf * la * lb
        + lb * (foot * a).sum(axis=1)
        + la * (foot * b).sum(axis=1)
        + lf * (a * b).sum(axis=1)
    )
    angle = sign * 2 * np.arctan2(determinant, rest)
    n = len(points)
    angle, area = np.bincount(i, angle, n), np.bincount(i, area, n)
    seen = np.flatnonzero((angle > 1e-10) & (area > 1e-10))
    reach = float(np.sqrt((vertices * vertices).sum(axis=1).max()))
    return Faces(seen, angle[seen], area[seen]), reach
