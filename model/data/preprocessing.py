"""Scales of target and descriptors, rules of the graph, recipe of the text, saved beside the weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from curate.errors import InputError, first_line
from curate.files import write_json
from curate.properties import UNITS
from model.config import GraphConfig, Modality, TextInput
from model.data.descriptor_scale import DescriptorScale
from model.model_folder import PREPROCESSING, ModelFolder

if TYPE_CHECKING:
    import pyarrow as pa

MOST_NEIGHBORS, LONGEST_CUTOFF = 10_000, 1000.0  # Å; beyond these no graph would be done
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The scales of target and descriptors, the rules of the graph, and the recipe of the text."""

    target: str  # by the source's own name
    unit: str  # of the target and of every prediction
    log10: bool  # whether log10 of the target is learned
    mean: float  # of the training targets, after log10
    std: float
    guess: float  # their mean in the property's own unit: what MAD is measured with
    modality: Modality
    graph: GraphConfig
    text: TextInput  # what stood for the text
    text_encoder: str | None  # name or folder; None where the model reads no text
    text_revision: str | None  # commit on the Hub
    text_recipe: dict[str, str | int] | None  # all that changes an embedding besides the text
    description_origins: list[str]  # who wrote the training texts
    descriptors: DescriptorScale | None = None  # None where the model reads none
    # of the training crystals, sorted; empty in folders of earlier versions, where they are not known
    elements: list[str] = field(default_factory=list)

    @classmethod
    def plain(cls, graph: GraphConfig) -> Preprocessing:
        """That of targets without name or unit that are learned as they are, beside texts that are numbers
        already: for measurements of a network."""
        return cls(
            target="",
            unit="",
            log10=False,
            mean=0.0,
            std=1.0,
            guess=0.0,
            modality="both",
            graph=graph,
            text="description",
            text_encoder=None,
            text_revision=None,
            text_recipe=None,
            description_origins=[],
        )

    @property
    def learned_unit(self) -> str:
        """The unit of the error by which validation chooses."""
        return f"log10({self.unit})" if self.log10 else self.unit

    def standardise(self, values: ArrayLike) -> np.ndarray:
        """(n,) values in the property's own unit, as the network learns them."""
        learned = np.log10(values) if self.log10 else np.asarray(values, float)
        return (learned - self.mean) / self.std

    def restore(self, outputs: ArrayLike) -> np.ndarray:
        """(n,) outputs of the network, in the property's own unit: 10**x where log10 was learned."""
        learned = np.asarray(outputs, float) * self.std + self.mean
        return 10.0**learned if self.log10 else learned

    def restore_spread(self, spreads: ArrayLike, values: ArrayLike) -> np.ndarray:
        """(n,) standard deviations of outputs, in the unit of the (n,) predictions that they belong to;
        where log10 is learned, by the slope there."""
        learned = np.asarray(spreads, float) * self.std
        return learned * np.log(10) * np.asarray(values, float) if self.log10 else learned

    def save(self, folder: ModelFolder) -> None:
        """Write it beside the weights."""
        write_json(folder.path / PREPROCESSING, asdict(self))

    @classmethod
    def load(cls, folder: ModelFolder) -> Preprocessing:
        """That of a model folder; InputError where it has none, or one that no training wrote."""
        stored = folder.read(PREPROCESSING)
        try:
            found = cls.recorded(stored)
            wrong = found.wrong
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            wrong = first_line(error)
        if wrong:
            raise InputError(
                f"{folder.path / PREPROCESSING} is not as a training writes it ({wrong}); copy or train "
                "the model anew"
            )
        return found

    @property
    def wrong(self) -> str | None:
        """The first value that no training writes; None where all are right."""
        graph = self.graph
        rules = {
            "mean": is_finite(self.mean),
            "std": is_finite(self.std) and self.std > 0,
            "guess": is_finite(self.guess),
            "log10": isinstance(self.log10, bool),
            "unit": isinstance(self.unit, str),
            "modality": self.modality in get_args(Modality),
            "graph": graph.graph in ("quotient", "full"),
            "max_neighbors": type(graph.max_neighbors) is int
            and 0 < graph.max_neighbors <= MOST_NEIGHBORS,
            "cutoff_angstrom": is_finite(graph.cutoff_angstrom)
            and 0 < graph.cutoff_angstrom <= LONGEST_CUTOFF,
            "exact_shell": isinstance(graph.exact_shell, bool),
            "self_bonds": isinstance(graph.self_bonds, bool),
        }
        return next((name for name, is_right in rules.items() if not is_right), None)

    @classmethod
    def recorded(cls, stored: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `asdict` made a record of."""
        scale = stored.get("descriptors")
        descriptors = None if scale is None else DescriptorScale(**scale)
        graph = GraphConfig.recorded(stored["graph"])
        return cls(**{**stored, "graph": graph, "descriptors": descriptors})

    @classmethod
    def load_for_prediction(cls, folder: ModelFolder) -> Preprocessing:
        """That of a model for new crystals; InputError where it read something else than descriptions."""
        found = cls.load(folder)
        if found.modality != "graph" and found.text != "description":
            raise InputError(
                f"{folder.path} was trained for an experiment, on {found.text!r} instead of "
                "descriptions, and predicts nothing new"
            )
        return found


def is_finite(value: object) -> bool:
    """Whether a value of JSON is a number, and finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def scale_of(values: ArrayLike, log10: bool) -> tuple[float, float]:
    """Mean and standard deviation of the training targets, after log10 where that is learned."""
    learned = np.log10(values) if log10 else np.asarray(values, float)
    with np.errstate(over="ignore"):  # the caller says so
        return float(learned.mean()), float(learned.std()) or 1.0


def unit(target: str, schema: pa.Schema) -> str:
    """The unit of a property: as the dataset states it, else as it is known; `unknown` with a warning.

    Args:
        target: Column of the property.
        schema: The dataset's columns; Parquet files written by `curate` carry units in their metadata.
    """
    stated = (schema.field(target).metadata or {}).get(b"unit") if target in schema.names else None
    if found := stated.decode() if stated else UNITS.get(target):
        return found
    log.warning(
        "no unit is known for %s: `curate build … --units %s=UNIT` gives it one", target, target
    )
    return "unknown"
