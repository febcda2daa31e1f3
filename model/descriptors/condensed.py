"""Robocrystallographer's condensed structure as numbers: what the text says, before it is put into words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from curate.errors import InputError, first_line
from model.descriptors.descriptor import Described, Descriptor
from model.descriptors.elements import atomic_numbers, elemental

GEOMETRIES = (  # first words that match name the class of a site's surroundings
    *("linear", "bent", "T-shaped", "trigonal planar", "trigonal non-coplanar", "square co-planar"),
    *("rectangular see-saw-like", "see-saw-like", "tetrahedral", "trigonal pyramidal"),
    *("square pyramidal", "trigonal bipyramidal", "octahedral", "pentagonal pyramidal"),
    *("pentagonal bipyramidal", "hexagonal bipyramidal", "body-centered cubic", "cuboctahedral"),
    *("coordinate", "single-bond", "water-like"),
)
SHARED = ("corner", "edge", "face")
SPREAD = ("mean", "deviation", "least", "greatest")


class Condensed(Descriptor):
    """Components, coordination, bonds, angles and connected polyhedra; a mean counts each atom once."""

    reads_condensed = True
    names = (
        *(
            "dimensionality",
            "components",
            "kinds of components",
            "least component",
            "greatest component",
        ),
        *("known mineral", "distance to the mineral", "inequivalent sites", "intercalants"),
        *(f"{spread} coordination" for spread in SPREAD),
        *(f"{spread} likeness" for spread in SPREAD),
        *(f"share of {name} sites" for name in GEOMETRIES),
        *(f"{name}-sharing neighbours" for name in SHARED),
        *(f"{spread} bond length" for spread in SPREAD),
        *(f"{spread} relative bond length" for spread in SPREAD),
        *(f"{spread} difference of electronegativity" for spread in SPREAD),
        *(f"{spread} angle of {name}-sharing neighbours" for name in SHARED for spread in SPREAD),
    )

    def compute(self, material: Described) -> np.ndarray:
        """(65,) numbers; lengths in Å, angles in degrees; all NaN where there is no condensed structure."""
        if material.condensed is None:
            return np.full(len(self.names), np.nan)
        try:
            return self.numbers(json.loads(material.condensed))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"{material.record.material_id}: its condensed structure can't be read "
                f"({first_line(error)}); build the dataset anew"
            ) from error

    def numbers(self, condensed: Mapping[str, Any]) -> np.ndarray:
        """(65,) numbers of a condensed structure, in the order of the names."""
        sites = condensed["sites"]
        weights = multiplicities(condensed)
        coordination = [(len(site["nn"]), weights[key]) for key, site in sites.items()]
        likeness = [(site["geometry"]["likeness"], weights[key]) for key, site in sites.items()]
        lengths, relative, polarity = bonds(condensed, weights)
        return np.array(
            [
                *overall(condensed),
                *spread(coordination),
                *spread(likeness),
                *geometries(sites, weights),
                *shared_neighbors(sites, weights),
                *spread(lengths),
                *spread(relative),
                *spread(polarity),
                *(number for kind in SHARED for number in spread(angles(condensed, weights, kind))),
            ],
            float,
        )


def multiplicities(condensed: Mapping[str, Any]) -> dict[str, float]:
    """How many atoms each inequivalent site stands for, by its key."""
    counts: Counter[str] = Counter()
    for component in condensed["component_makeup"]:
        counts.update(map(str, condensed["components"][str(component)]["sites"]))
    return {key: float(counts[key] or 1) for key in condensed["sites"]}


def overall(condensed: Mapping[str, Any]) -> list[float]:
    """Dimensions, components, mineral and inequivalent sites."""
    components = list(condensed["components"].values())
    dimensions = [component["dimensionality"] for component in components]
    mineral = condensed["mineral"]
    known = mineral.get("type") is not None
    distance = mineral.get("distance", -1)
    layers = condensed.get("vdw_heterostructure_info") or {}
    return [
        condensed["dimensionality"],
        len(condensed["component_makeup"]),
        len({component["formula"] for component in components}),
        min(dimensions),
        max(dimensions),
        float(known),
        distance if known and distance >= 0 else (0.0 if known else np.nan),
        len(condensed["sites"]),
        len(layers.get("intercalant_formulas", ())),
    ]


def spread(values: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Mean, standard deviation, least and greatest of (value, weight); NaN of none."""
    pairs = np.array([pair for pair in values if pair[0] is not None], float).reshape(-1, 2)
    if not len(pairs):
        return (np.nan,) * 4
    numbers, weights = pairs.T
    mean = np.average(numbers, weights=weights)
    deviation = np.sqrt(np.average((numbers - mean) ** 2, weights=weights))
    return float(mean), float(deviation), float(numbers.min()), float(numbers.max())


def geometries(sites: Mapping[str, Any], weights: Mapping[str, float]) -> list[float]:
    """Share of the atoms in each class of GEOMETRIES."""
    shares = dict.fromkeys(GEOMETRIES, 0.0)
    for key, site in sites.items():
        name = next((name for name in GEOMETRIES if name in site["geometry"]["type"]), None)
        if name is not None:
            shares[name] += weights[key]
    total = sum(weights.values())
    return [share / total for share in shares.values()]


def shared_neighbors(sites: Mapping[str, Any], weights: Mapping[str, float]) -> list[float]:
    """Next nearest neighbours of an atom across a shared corner, edge and face, in the mean."""
    total = sum(weights.values())
    return [
        sum(weights[key] * len(site["nnn"].get(kind, ())) for key, site in sites.items()) / total
        for kind in SHARED
    ]


def bonds(condensed: Mapping[str, Any], weights: Mapping[str, float]) -> tuple[list, list, list]:
    """Length in Å, length over the sum of covalent radii, and difference of electronegativity (Pauling) of
    every bond, each with its weight."""
    numbers = {
        key: atomic_numbers()[site["element"].rstrip("+-0123456789")]
        for key, site in condensed["sites"].items()
    }
    radii, electronegativity = elemental("CovalentRadius") / 100, elemental("Electronegativity")
    lengths, relative, polarity = [], [], []
    for one, others in condensed["distances"].items():
        for other, distances in others.items():
            reach = radii[numbers[one]] + radii[numbers[other]]
            difference = abs(electronegativity[numbers[one]] - electronegativity[numbers[other]])
            for distance in distances:
                lengths.append((distance, weights[one]))
                relative.append((distance / reach, weights[one]))
                polarity.append((difference, weights[one]))
    return lengths, relative, polarity


def angles(
    condensed: Mapping[str, Any], weights: Mapping[str, float], kind: str
) -> list[tuple[float, float]]:
    """The angles across shared corners, edges or faces in degrees, each with its weight."""
    return [
        (angle, weights[one])
        for one, others in condensed["angles"].items()
        for kinds in others.values()
        for angle in kinds.get(kind, ())
    ]
