"""Settings of a training that were chosen and change nothing, so that the command can say so."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.config import BenchmarkConfig, GraphConfig, TrainConfig, flag
from model.encoder_settings import SIZES
from model.network.encoders import encoder_class
from model.network.fusion import FUSIONS, fusion_class

OF_TEXT = ("text_encoder", "text_pooling", "tune_text")
OF_GRAPH = ("encoder", *SIZES, "readout", "max_angles", *asdict(GraphConfig()))
READ_BY_BENCHMARK = ("data", "target", "out", "split", "folds", "cache", "descriptors")


def unused_settings(config: TrainConfig) -> list[str]:
    """One sentence for each reason why settings that differ from their defaults change nothing.

    Args:
        config: The settings of one training.

    Returns:
        Sentences as "--fusion cross-attention has no effect with --modality graph"; none where every
        setting counts.
    """
    chosen = differing(config)
    unused: dict[str, list[str]] = {}
    for reason, names in reasons(config).items():
        if found := [name for name in names if name in chosen]:
            unused[reason] = [written(name, chosen.pop(name)) for name in found]
    return [
        f"{', '.join(flags)} {'has' if len(flags) == 1 else 'have'} no effect {reason}"
        for reason, flags in unused.items()
    ]


def reasons(config: TrainConfig) -> dict[str, tuple[str, ...]]:
    """The settings that change nothing beside the others, by the reason; whether they were chosen or not."""
    modality = config.modality
    found: dict[str, tuple[str, ...]] = {}
    fusion = config.network.fusion
    joined = () if fusion_class(fusion, modality) is FUSIONS[fusion] else ("fusion",)
    if modality == "graph":
        of_text = ("text", *OF_TEXT, "tune_epochs", "modality_dropout")
        found["with --modality graph"] = (*joined, *of_text)
    elif config.text == "spacegroup":
        found["with --text spacegroup"] = (*OF_TEXT, "tune_epochs")
    if modality == "text":
        found["with --modality text"] = (*joined, *OF_GRAPH)
    elif not encoder_class(config.network.encoder).reads_angles:
        found[f"with --encoder {config.network.encoder}, which reads no angles"] = ("max_angles",)
    if modality == "text" and not config.descriptors:
        found["where the text is all that the model sees"] = ("modality_dropout",)
    if config.tune_text == "no":
        found["without --tune-text"] = ("tune_epochs",)
    if config.train_fraction == 1:
        found["without --train-fraction"] = ("equal_updates", "fraction_of_labels")
    if config.graph.exact_shell:
        found["with --exact-shell"] = ("shell_tolerance",)
    if not (config.graph.self_bonds or encoder_class(config.network.encoder).self_bonds):
        found["without --self-bonds"] = ("self_bond_translations",)
    return found


def unused_of_benchmark(config: BenchmarkConfig) -> list[str]:
    """One sentence with the settings of networks that differ from their defaults, where none is trained."""
    if config.networks:
        return []
    chosen = differing(config)
    of_networks = flat(TrainConfig(data=config.data, out=Path(), target=config.target))
    found = [name for name in of_networks if name in chosen and name not in READ_BY_BENCHMARK]
    if not found:
        return []
    flags = ", ".join(written(name, chosen[name]) for name in found)
    return [f"{flags} {'has' if len(found) == 1 else 'have'} no effect without --networks"]


def differing(config: TrainConfig | BenchmarkConfig) -> dict[str, Any]:
    """The settings that differ from their defaults, by name, those of graph and network among them."""
    default = flat(type(config)(data=config.data, out=Path(), target=config.target))
    return {name: value for name, value in flat(config).items() if value != default[name]}


def flat(config: TrainConfig | BenchmarkConfig) -> dict[str, Any]:
    """All settings by the names of their flags."""
    settings = asdict(config)
    return settings | settings.pop("graph") | settings.pop("network")


def written(name: str, value: Any) -> str:
    """A setting and its value as they are written on the command line."""
    return flag(name) if isinstance(value, bool) else f"{flag(name)} {value}"
