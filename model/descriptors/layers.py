"""The energy that holds the layers of a crystal together, by a potential and a dispersion correction.

Of a crystal it is what taking apart costs; of a layer alone in its cell, what stacking it upon itself gains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.descriptors.cell import primitive
from model.descriptors.descriptor import Described, Descriptor
from model.descriptors.elements import elemental

POTENTIAL = "7net-0"
OPENED = 12.0  # Å put between two halves
ALONE = 6.0  # Å; a slab so empty has a layer alone in its cell
LEAST_GAP = 1.0  # Å; thinner slabs are no place to take a crystal apart
MOST_CUTS = 5  # the thickest empty slabs along an axis
WEAK = 1.5  # cuts along an axis count while they cost at most so many times the weakest
SHIFTS = ((0, 0), (1 / 3, 2 / 3), (2 / 3, 1 / 3), (0.5, 0.5), (0.5, 0), (0, 0.5))
CLOSEST = 0.95  # of the sum of two covalent radii, between atoms of two layers
MOST_GAINED = 3_000.0  # meV per atom; more is no bond but a hole in the potential
COARSE, FINE = 0.6, (-0.3, 0.3, -0.15, 0.15)  # Å between the distances that are tried
FURTHEST = 4.6  # Å between two layers
MEV = 1000.0


@dataclass(frozen=True)
class Cut:
    """One place to take the cell apart; energies in meV per atom, positive where it costs."""

    axis: int
    gap: float  # Å
    area: float  # Å²
    bonding: float  # by the potential
    dispersion: float

    @property
    def total(self) -> float:
        return self.bonding + self.dispersion


class Layers(Descriptor):
    """Energy between layers in meV per atom, of the axis along which they hold together least."""

    potential = POTENTIAL
    names = (
        *("bonding", "dispersion", "together", "together per area", "gap", "cuts", "area per atom"),
        *("second axis", "third axis", "is stacked"),
    )

    def compute(self, material: Described) -> np.ndarray:
        """(10,) numbers; meV per atom, meV/Å², Å, Å²."""
        matrix, positions, numbers, _ = primitive(material.record)
        layer = Cell(matrix, positions, numbers)
        axis, gap = layer.widest()
        if gap >= ALONE:
            cut = layer.stacked(axis)
            axes = [[cut]] if cut is not None else []
        else:
            axes = [cuts for axis in range(3) if (cuts := layer.weak_cuts(axis))]
        if not axes:
            return np.full(len(self.names), np.nan)
        axes.sort(key=lambda cuts: sum(cut.total for cut in cuts))
        sums = [sum(cut.total for cut in cuts) for cuts in axes] + [np.nan, np.nan]
        best, n = axes[0], len(numbers)
        weakest = min(best, key=lambda cut: cut.total)
        return np.array(
            [
                sum(cut.bonding for cut in best),
                sum(cut.dispersion for cut in best),
                sums[0],
                weakest.total * n / weakest.area,
                weakest.gap,
                len(best),
                weakest.area / n,
                sums[1],
                sums[2],
                float(gap >= ALONE),
            ]
        )


class Cell:
    """A cell whose parts are moved against each other; lengths in Å.

    Args:
        matrix: (3, 3) cell vectors.
        positions: (n, 3).
        numbers: (n,) atomic numbers.
    """

    def __init__(self, matrix: np.ndarray, positions: np.ndarray, numbers: np.ndarray) -> None:
        self.matrix, self.numbers = matrix, numbers
        self.fractional = positions @ np.linalg.inv(matrix) % 1

    def normal(self, axis: int) -> tuple[np.ndarray, float, float]:
        """Unit normal of the two other cell vectors towards this one, their area, the cell's height."""
        normal = np.cross(self.matrix[axis - 2], self.matrix[axis - 1])
        area = float(np.linalg.norm(normal))
        normal = normal / area * np.sign(normal @ self.matrix[axis])
        return normal, area, float(normal @ self.matrix[axis])

    def gaps(self, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) fractional heights of the atoms in order, and the empty height in Å above each."""
        heights = np.sort(self.fractional[:, axis])
        return heights, np.diff(np.append(heights, heights[0] + 1)) * self.normal(axis)[2]

    def widest(self) -> tuple[int, float]:
        """The axis with the thickest empty slab, and its thickness."""
        return max(
            ((axis, float(self.gaps(axis)[1].max())) for axis in range(3)), key=lambda x: x[1]
        )

    def energies(self, matrix: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """(2,) of the potential and of dispersion, in meV per atom."""
        from model.descriptors.sevennet import dispersion, energy_and_forces

        energy, _ = energy_and_forces(POTENTIAL, matrix, positions, self.numbers)
        both = np.array([energy, dispersion(matrix, positions, self.numbers)])
        return both / len(self.numbers) * MEV

    def weak_cuts(self, axis: int) -> list[Cut]:
        """The places along an axis where taking apart costs about the least."""
        normal, area, _ = self.normal(axis)
        heights, gaps = self.gaps(axis)
        chosen = [n for n in np.argsort(-gaps)[:MOST_CUTS] if gaps[n] >= LEAST_GAP]
        if not chosen:
            return []
        positions = self.fractional @ self.matrix
        whole = self.energies(self.matrix, positions)
        opened = self.matrix.copy()
        opened[axis] += OPENED * normal
        cuts = []
        for n in chosen:
            above = self.fractional[:, axis] > heights[n] + 1e-6
            apart = self.energies(opened, positions + np.outer(above * OPENED, normal)) - whole
            cuts.append(Cut(axis, float(gaps[n]), area, float(apart[0]), float(apart[1])))
        least = min(cut.total for cut in cuts)
        return [cut for cut in cuts if cut.total <= max(WEAK * least, least)]

    def stacked(self, axis: int) -> Cut | None:
        """The best way to lay the cell's only layer upon itself; None where none is without a clash."""
        normal, area, height = self.normal(axis)
        heights, gaps = self.gaps(axis)
        bottom = heights[(int(gaps.argmax()) + 1) % len(heights)]
        fractional = self.fractional.copy()
        fractional[:, axis] = (fractional[:, axis] - bottom + 1e-9) % 1
        positions = fractional @ self.matrix
        thickness = float(height - gaps.max())
        alone = self.matrix.copy()
        alone[axis] = (thickness + OPENED) * normal
        reference = self.energies(alone, positions)

        def gained(shift: np.ndarray, distance: float) -> Cut | None:
            matrix = self.matrix.copy()
            matrix[axis] = (thickness + distance) * normal + shift
            if self.closest(matrix, positions, axis) < CLOSEST:
                return None
            gain = reference - self.energies(matrix, positions)
            if gain.sum() > MOST_GAINED:
                return None
            return Cut(axis, distance, area, float(gain[0]), float(gain[1]))

        best, best_shift = None, np.zeros(3)
        for one, other in SHIFTS:
            shift = one * self.matrix[axis - 2] + other * self.matrix[axis - 1]
            found = self.approach(gained, shift, thickness)
            if found is not None and (best is None or found.total > best.total):
                best, best_shift = found, shift
        if best is None:
            return None
        near = [gained(best_shift, best.gap + step) for step in FINE]
        return max([best, *(cut for cut in near if cut is not None)], key=lambda cut: cut.total)

    def approach(self, gained, shift: np.ndarray, thickness: float) -> Cut | None:
        """The best of the coarse distances, from the closest without a clash until it is passed."""
        best = None
        for distance in np.arange(-1.0 if thickness > 1 else 1.2, FURTHEST, COARSE):
            cut = gained(shift, float(distance))
            if cut is None:
                continue
            if best is None or cut.total > best.total:
                best = cut
            elif distance > best.gap + COARSE + 0.1:
                break
        return best

    def closest(self, matrix: np.ndarray, positions: np.ndarray, axis: int) -> float:
        """Least distance between an atom and one of the next layer over the sum of their radii."""
        radii = elemental("CovalentRadius")[self.numbers] / 100  # tabulated in pm
        reach = radii[:, None] + radii[None]
        between = positions[None] - positions[:, None] + matrix[axis]
        images = (
            one * matrix[axis - 2] + other * matrix[axis - 1]
            for one in (-1, 0, 1)
            for other in (-1, 0, 1)
        )
        return min(
            float((np.linalg.norm(between + image, axis=-1) / reach).min()) for image in images
        )
