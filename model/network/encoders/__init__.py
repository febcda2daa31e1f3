"""Batch of crystal graphs in, one vector a crystal out: one graph network a file.

An encoder says by class attributes what it wants of a graph: `reads_angles` (the line graph) and
`self_bonds` (bonds of each atom to its own images). It passes messages through `message_passing` only,
so that it works on quotient graphs, where a row stands for a class of equal atoms or bonds.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from curate.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from model.config import NetworkConfig
    from model.network.batch import Batch

CLASSES = {
    "alignn": "ALIGNNEncoder",
    "cgcnn": "CGCNNEncoder",
    "schnet": "SchNetEncoder",
    "megnet": "MEGNetEncoder",
    "gatgnn": "GATGNNEncoder",
    "matformer": "MatformerEncoder",
    "cogn": "CoGNEncoder",
}
NOT_THE_ENCODERS = ("encoder", "projection_width", "dropout")


class GraphEncoder(Protocol):
    """What every encoder offers."""

    settings: ClassVar[type]  # dataclass of its sizes; the defaults are the published ones
    reference: ClassVar[str]
    reads_angles: ClassVar[bool]
    self_bonds: ClassVar[bool]
    out_width: int

    def __call__(self, batch: Batch) -> Tensor:
        """(n_crystals, out_width)"""


def encoder_class(name: str) -> type[Any]:
    """The encoder of this name; imports torch and DGL."""
    return getattr(import_module(f"model.network.encoders.{name}"), CLASSES[name])


def encoder_settings(network: NetworkConfig) -> dict[str, Any]:
    """All sizes of the chosen encoder: those given, else the published ones.

    Raises InputError where a size is given that the encoder does not have.
    """
    settings = encoder_class(network.encoder).settings
    known = {field.name for field in fields(settings)}
    given = {
        name: value
        for name, value in asdict(network).items()
        if name not in NOT_THE_ENCODERS and value is not None
    }
    if strange := sorted(given.keys() - known):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in strange)
        raise InputError(
            f"{flags} has no meaning for --encoder {network.encoder}, which takes "
            + ", ".join(f"--{name.replace('_', '-')}" for name in sorted(known))
        )
    return asdict(settings(**given))
