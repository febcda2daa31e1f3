"""CrysMMNet: one property for each crystal of a batch, from its graph and its text.

Das et al., "CrysMMNet: Multimodal Representation for Crystal Property Prediction", UAI 2023.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from curate.errors import InputError, first_line
from curate.files import write_json
from model.config import FusionName, Modality, NetworkConfig, ReadoutName
from model.model_folder import NETWORK, WEIGHTS, ModelFolder
from model.network.batch import Batch
from model.network.encoders import encoder_class, encoder_settings, refuse_readout
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.fusion import fusion_class
from model.network.readout import AtomsAndBondsReadout, Readout


@dataclass(frozen=True)
class CrysMMNetConfig:
    """What is needed to build the network; the defaults are NetworkConfig's."""

    modality: Modality = "both"
    text_width: int = 768  # of the text embeddings
    encoder: str = NetworkConfig.encoder
    encoder_settings: dict[str, Any] | None = None  # all sizes of the graph network
    projection_width: int = NetworkConfig.projection_width
    readout: ReadoutName = NetworkConfig.readout
    fusion: FusionName = NetworkConfig.fusion
    dropout: float = NetworkConfig.dropout

    @classmethod
    def from_settings(
        cls, network: NetworkConfig, modality: Modality, text_width: int
    ) -> CrysMMNetConfig:
        return cls(
            modality=modality,
            text_width=text_width,
            encoder=network.encoder,
            encoder_settings=dict(sorted(encoder_settings(network).items())),
            projection_width=network.projection_width,
            readout=network.readout,
            fusion=network.fusion,
            dropout=network.dropout,
        )

    @classmethod
    def load(cls, folder: Path) -> CrysMMNetConfig:
        """The configuration of a model folder; keys that transformers wrote beside ours are passed over."""
        stored = ModelFolder(folder).network
        return cls(
            **{field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        )

    def save(self, folder: Path) -> None:
        """Write config.json, with the keys by which others recognise a model."""
        named = {"architectures": ["CrysMMNet"], "model_type": "crysmmnet"}
        write_json(folder / NETWORK, {**named, **asdict(self)})


class CrysMMNet(nn.Module):
    """Projections of crystal and text, their fusion, and a head that predicts the property."""

    def __init__(self, config: CrysMMNetConfig) -> None:
        super().__init__()
        self.settings = config  # not `config`, which transformers' Trainer would write into
        common = config.projection_width
        self.sees_graph = config.modality in ("both", "graph")
        self.sees_text = config.modality in ("both", "text")
        fusion = fusion_class(config.fusion, config.modality)
        if self.sees_graph:
            encoder = encoder_class(config.encoder)
            self.graph_encoder = encoder(encoder.settings(**(config.encoder_settings or {})))
            self.readout = readout_of(self.graph_encoder, config)
            chosen = self.graph_encoder if fusion.reads_atoms else self.readout
            self.graph_projection = Projection(chosen.width, common, config.dropout)
        if self.sees_text:
            self.text_projection = Projection(config.text_width, common, config.dropout)
        self.fusion = fusion(common, self.sees_graph + self.sees_text)
        self.head = nn.Sequential(
            nn.Linear(self.fusion.width, common), nn.ReLU(), nn.Linear(common, 1)
        )

    def forward(self, batch: Batch) -> Tensor:
        """(n_crystals,), also when there is one: the target as it was standardised."""
        return self.head(self.fused(batch)).squeeze(1)

    def fused(self, batch: Batch) -> Tensor:
        """(n_crystals, fusion.width): what the head reads of each crystal."""
        graph = text = atoms_of = mask = None
        if self.sees_graph:
            features = self.graph_encoder(batch)
            atoms_of = features.atoms_of
            reads_atoms = self.fusion.reads_atoms
            graph = features.atoms if reads_atoms else self.readout(features)
            graph = self.graph_projection(graph)  # (n_atoms or n_crystals, projection_width)
        if self.sees_text:
            text, mask = batch.text, batch.text_mask
            if self.fusion.reads_tokens and mask is None:  # a vector is a text of one token
                text, mask = text[:, None], text.new_ones(len(text), 1, dtype=torch.bool)
            text = self.text_projection(text)  # (n_crystals, [n_tokens,] projection_width)
        return self.fusion(graph, text, atoms_of, mask)

    @property
    def reads_angles(self) -> bool:
        """Whether batches need their line graph."""
        return self.sees_graph and self.graph_encoder.reads_angles

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @classmethod
    def from_pretrained(cls, place: str | Path, revision: str | None = None) -> CrysMMNet:
        """A trained network, in eval mode.

        Args:
            place: A model folder, or OWNER/NAME on the Hub.
            revision: Commit or tag on the Hub.

        Raises:
            InputError: There are no weights in safetensors, or they do not fit the configuration. Weights
                in other formats may hold code and are never opened.
        """
        folder = ModelFolder.find(place, revision).path
        if not (folder / WEIGHTS).is_file():
            raise InputError(
                f"{folder} has no {WEIGHTS}; weights in other formats may hold code and are refused"
            )
        with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
            model = cls(CrysMMNetConfig.load(folder))
        try:
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (SafetensorError, RuntimeError) as error:
            raise InputError(
                f"{folder / WEIGHTS} is not the network that {NETWORK} describes "
                f"({first_line(error)}); copy or train the model anew"
            ) from error
        return model.eval()

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        self.settings.save(folder)
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def refuse_randomness(model: CrysMMNet) -> None:
    """InputError where dropout acts on single atoms: equal atoms would no longer stay equal."""
    on_atoms: dict[nn.Module, str] = {model.graph_encoder: "--graph full"}
    if model.fusion.reads_atoms:
        on_atoms[model.graph_projection] = "--graph full or --dropout 0"
    for part, instead in on_atoms.items():
        for name, module in part.named_modules():
            if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
                raise InputError(
                    f"{type(part).__name__}.{name} draws random numbers for each atom, so that atoms "
                    f"of a class would differ: use {instead}"
                )


def readout_of(encoder: GraphEncoder, config: CrysMMNetConfig) -> Readout:
    """The readout that the configuration names.

    Raises InputError where it reads bonds and the encoder updates none.
    """
    refuse_readout(config.encoder, config.readout)
    return encoder.readout if config.readout == "encoder" else AtomsAndBondsReadout(encoder.width)


class Projection(nn.Module):
    """Linear, GELU, linear, dropout, residual, layer norm."""

    def __init__(self, width_in: int, width_out: int, dropout: float) -> None:
        super().__init__()
        self.projection = nn.Linear(width_in, width_out)
        self.linear = nn.Linear(width_out, width_out)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width_out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width_in) to (..., width_out)"""
        projected = self.projection(x)
        return self.norm(self.dropout(self.linear(F.gelu(projected))) + projected)
