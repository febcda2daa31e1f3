"""Statistics of elemental properties over a formula, as the descriptors of Magpie.

Ward et al., npj Comput. Mater. 2, 16028 (2016); the numbers are those of matminer's preset `magpie`.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from model.descriptors.descriptor import Described, Descriptor
from model.descriptors.elements import atomic_numbers, elemental

PROPERTIES = (
    *("Number", "MendeleevNumber", "AtomicWeight", "MeltingT", "Column", "Row", "CovalentRadius"),
    *("Electronegativity", "NsValence", "NpValence", "NdValence", "NfValence", "NValence"),
    *("NsUnfilled", "NpUnfilled", "NdUnfilled", "NfUnfilled", "NUnfilled", "GSvolume_pa"),
    *("GSbandgap", "GSmagmom", "SpaceGroupNumber"),
)
STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")


class Magpie(Descriptor):
    """Six statistics of 22 properties of the elements, weighted by their fractions."""

    names = tuple(f"{statistic} {name}" for name in PROPERTIES for statistic in STATISTICS)

    def compute(self, material: Described) -> np.ndarray:
        """(132,) numbers; the mode is the least value among the most frequent elements."""
        counts = Counter(material.record.species_at_sites)
        fractions = np.array(list(counts.values()), float) / counts.total()
        numbers = [atomic_numbers()[symbol] for symbol in counts]
        values = np.stack([elemental(name)[numbers] for name in PROPERTIES])  # (22, n_elements)
        mean = values @ fractions
        deviation = np.abs(values - mean[:, None]) @ fractions
        mode = values[:, np.isclose(fractions, fractions.max())].min(1)
        least, most = values.min(1), values.max(1)
        return np.stack((least, most, most - least, mean, deviation, mode), axis=1).ravel()
