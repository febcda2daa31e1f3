"""CrysMMNet: one property for each crystal of a batch, from its graph and its text.

Das et al., "CrysMMNet: Multimodal Representation for Crystal Property Prediction", UAI 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PretrainedConfig, PreTrainedModel

from curate.errors import InputError
from model.config import FusionName, Modality, NetworkConfig
from model.network.batch import Batch
from model.network.encoders import encoder_class, encoder_settings
from model.network.fusion import fusion_class


class CrysMMNetConfig(PretrainedConfig):
    """What is needed to build the network; the defaults are NetworkConfig's."""

    model_type = "crysmmnet"

    modality: Modality = "both"
    text_width: int = 768  # of the text embeddings
    encoder: str = NetworkConfig.encoder
    encoder_settings: dict[str, int] | None = None  # all sizes of the graph network
    projection_width: int = NetworkConfig.projection_width
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
            encoder_settings=encoder_settings(network),
            projection_width=network.projection_width,
            fusion=network.fusion,
            dropout=network.dropout,
        )


class CrysMMNet(PreTrainedModel):
    """Projections of crystal and text, their fusion, and a head that predicts the property."""

    config_class = CrysMMNetConfig
    main_input_name = "batch"

    def __init__(self, config: CrysMMNetConfig) -> None:
        super().__init__(config)
        common = config.projection_width
        self.sees_graph = config.modality in ("both", "graph")
        self.sees_text = config.modality in ("both", "text")
        fusion = fusion_class(config.fusion, config.modality)
        if self.sees_graph:
            encoder = encoder_class(config.encoder)
            self.graph_encoder = encoder(encoder.settings(**(config.encoder_settings or {})))
            chosen = self.graph_encoder if fusion.reads_atoms else self.graph_encoder.readout
            self.graph_projection = Projection(chosen.width, common, config.dropout)
        if self.sees_text:
            self.text_projection = Projection(config.text_width, common, config.dropout)
        self.fusion = fusion(common, self.sees_graph + self.sees_text)
        self.head = nn.Sequential(
            nn.Linear(self.fusion.width, common), nn.ReLU(), nn.Linear(common, 1)
        )
        self.post_init()

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
            graph = features.atoms if reads_atoms else self.graph_encoder.readout(features)
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

    @classmethod
    def from_pretrained(cls, *args, **kwargs) -> CrysMMNet:
        """Weights from safetensors only: a pickled checkpoint may hold code and is never opened."""
        return super().from_pretrained(*args, **{**kwargs, "use_safetensors": True})

    def _init_weights(self, module: nn.Module) -> None:
        """Each layer keeps torch's own initialisation, as released."""


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
