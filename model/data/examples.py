"""What a training reads: the examples of each part, and how they were made. Needs numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from model.config import TrainConfig
from model.data.preprocessing import Preprocessing
from model.network.batch import Example
from model.network.encoders import encoder_class

if TYPE_CHECKING:
    from model.graphs.build import AnyGraph
    from model.text.cache import AnyEncoder, TextEmbeddings


@runtime_checkable
class FittedEncoder(Protocol):
    """A text encoder that was fitted on the training texts, so that it goes into the model's folder."""

    def save(self, path: Path) -> None:
        """Write it to a file."""


@dataclass(frozen=True)
class Prepared:
    """Examples of each part, and how they were made."""

    # train, val, test; leak: predicted and neither learned nor scored
    parts: Mapping[str, Sequence[Example]]
    targets: dict[str, float]  # by id, in the property's own unit
    dropped: dict[str, list[str]]  # ids by reason
    preprocessing: Preprocessing
    encoder: AnyEncoder | FittedEncoder | None = (
        None  # of the texts; None where the model reads none
    )
    ids: Mapping[str, list[str]] = field(default_factory=dict)  # of each part
    texts_sha256: str | None = None  # of what stands for the texts; None where the model reads none

    @property
    def text_width(self) -> int:
        """Of the text embeddings; 0 where the model reads no text."""
        text = self.parts["train"][0].text
        return 0 if text is None else text.shape[-1]

    @property
    def descriptor_widths(self) -> list[int]:
        """Numbers a crystal of each descriptor; empty where the model reads none."""
        scale = self.preprocessing.descriptors
        return [] if scale is None else scale.widths


@dataclass(frozen=True)
class Examples(Sequence[Example]):
    """Examples of a part, each made when it is asked for."""

    ids: list[str]
    graphs: Sequence[AnyGraph | str] | None
    graph_numbers: np.ndarray  # (n,) in graphs
    texts: TextEmbeddings | None  # n_kept
    numbers: np.ndarray  # (n,) in texts, targets and descriptors
    targets: np.ndarray  # (n_kept,) standardised
    descriptors: np.ndarray | None = None  # (n_kept, n_descriptors) standardised

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position):
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        graph: Any = None if self.graphs is None else self.graphs[self.graph_numbers[position]]
        number = self.numbers[position]
        text = None if self.texts is None else self.texts[number]
        descriptors = None if self.descriptors is None else self.descriptors[number]
        target = float(self.targets[number])
        return Example(self.ids[position], graph, text, target, descriptors)


def with_wanted_bonds(config: TrainConfig) -> TrainConfig:
    """The same settings with the self-bonds that the graph network asks for."""
    wanted = config.graph.self_bonds or encoder_class(config.network.encoder).self_bonds
    return replace(config, graph=replace(config.graph, self_bonds=wanted))
