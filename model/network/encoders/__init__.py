"""Graph networks, one a file, by name; see `graph_encoder` for what each of them offers."""

from __future__ import annotations

from dataclasses import asdict, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from model.config import flag
from model.encoder_settings import ENCODERS, SIZES, VERSION

if TYPE_CHECKING:
    from model.config import NetworkConfig, ReadoutName
    from model.network.encoders.graph_encoder import GraphEncoder


def encoder_class(name: str) -> type[GraphEncoder]:
    """The encoder of this name; imports torch. InputError where there is none."""
    from model.network.encoders.graph_encoder import GraphEncoder

    if name not in ENCODERS:
        raise InputError(f"no encoder {name!r}; known: {', '.join(ENCODERS)}")
    import_module(f"model.network.encoders.{name}")
    settings = ENCODERS[name]
    return next(kind for kind in GraphEncoder.__subclasses__() if kind.settings is settings)


def refuse_readout(encoder: str, readout: ReadoutName) -> None:
    """InputError where the readout reads bonds and the encoder of this name updates none."""
    if readout == "atoms+bonds" and not encoder_class(encoder).updates_bonds:
        able = ", ".join(name for name in ENCODERS if encoder_class(name).updates_bonds)
        raise InputError(
            f"--readout {readout} reads bonds, and --encoder {encoder} updates none; these do: {able}"
        )


def encoder_settings(network: NetworkConfig) -> dict[str, Any]:
    """All sizes of the chosen encoder: those given, else the published ones.

    Raises InputError where a size is given that the encoder does not have.
    """
    settings = ENCODERS[network.encoder]
    known = {field.name for field in fields(settings)} - {VERSION}
    given = {name: getattr(network, name) for name in SIZES}
    given = {name: value for name, value in given.items() if value is not None}
    if strange := sorted(given.keys() - known):
        flags = ", ".join(map(flag, strange))
        raise InputError(
            f"{flags} has no meaning for --encoder {network.encoder}, which takes "
            + ", ".join(map(flag, sorted(known)))
        )
    return asdict(settings(**given))
