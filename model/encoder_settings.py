"""Sizes of every graph network; their defaults are the published ones. No heavy imports.

A class here makes an encoder known: its name is a choice of --encoder, its fields are flags, and the
network itself stands in `model/network/encoders/NAME.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

SIZES = {  # the flags, and what they mean
    "width": "Features of an atom.",
    "layers": "Rounds of message passing, of all but ALIGNN.",
    "alignn_layers": "ALIGNN's updates of the crystal graph and the line graph in turn.",
    "gcn_layers": "ALIGNN's updates of the crystal graph alone, after those.",
    "distance_bins": "Radial functions that describe a bond length.",
    "angle_bins": "ALIGNN's functions between -1 and 1 that describe the cosine of a bond angle.",
    "embedding_width": "ALIGNN's width between those functions and the features.",
}
VERSION = "encoder_version"  # which of its networks a name stands for
ENCODERS: dict[str, type[Any]] = {}  # settings by the name of the encoder


def encoder(name: str) -> Callable[[type], type]:
    """Register the settings of an encoder under its name; every size needs a line in SIZES.

    A field `encoder_version` is no flag: it is recorded, and models without it have the first version.
    """

    def register(settings: type) -> type:
        if unknown := {field.name for field in fields(settings)} - SIZES.keys() - {VERSION}:
            raise TypeError(f"{settings.__name__}: SIZES does not explain {', '.join(unknown)}")
        ENCODERS[name] = settings
        return settings

    return register


@encoder("alignn")
@dataclass(frozen=True)
class ALIGNNSettings:
    """The defaults are CrysMMNet's."""

    width: int = 256  # of atoms, bonds and angles
    alignn_layers: int = 4
    gcn_layers: int = 4
    distance_bins: int = 80
    angle_bins: int = 40
    embedding_width: int = 64


@encoder("cgcnn")
@dataclass(frozen=True)
class CGCNNSettings:
    """The defaults are the paper's."""

    width: int = 64
    layers: int = 3
    distance_bins: int = 41  # every 0.2 Å from 0 to 8 Å


@encoder("schnet")
@dataclass(frozen=True)
class SchNetSettings:
    """The network and its sizes are those of the widely used implementation in PyTorch Geometric."""

    width: int = 128
    layers: int = 6
    distance_bins: int = 50
    encoder_version: int = (
        2  # 1: the paper's figure, a second activation in the filters and no cosine
    )


@encoder("megnet")
@dataclass(frozen=True)
class MEGNetSettings:
    """The defaults are the paper's."""

    width: int = 32  # of atoms, bonds and state; inner layers have twice as many
    layers: int = 3
    distance_bins: int = 100  # from 0 to 5 Å


@encoder("gatgnn")
@dataclass(frozen=True)
class GATGNNSettings:
    """The defaults are those of the released code."""

    width: int = 64
    layers: int = 3
    distance_bins: int = 41  # every 0.2 Å from 0 to 8 Å


@encoder("matformer")
@dataclass(frozen=True)
class MatformerSettings:
    """The defaults are those of the released code."""

    width: int = 128
    layers: int = 5
    distance_bins: int = 128


@encoder("cogn")
@dataclass(frozen=True)
class CoGNSettings:
    """The defaults are the paper's."""

    width: int = 128
    layers: int = 5
    distance_bins: int = 32  # every 0.25 Å up to 8 Å
    encoder_version: int = 2  # 1: each block hands its bonds on, and the functions are narrower
