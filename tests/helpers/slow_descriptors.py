"""Descriptors that are kept on disk; in a module of their own, so that worker processes can import them."""

import numpy as np

from curate.errors import InputError
from model.descriptors.descriptor import Descriptor


class Counting(Descriptor):
    """Counts atoms, writes down each call, and can't do silicon."""

    potential = "none"
    names = ("atoms", "kinds")

    def __init__(self, log):
        self.log = log

    def compute(self, material):
        species = material.record.species_at_sites
        with self.log.open("a") as file:
            file.write(f"{material.record.material_id}\n")
        if set(species) == {"Si"}:
            raise ValueError("no silicon here")
        return np.array([len(species), len(set(species))], float)


class Lacking(Descriptor):
    potential = "none"
    names = ("nothing",)

    def compute(self, material):
        raise InputError("descriptors from a potential need sevenn")
