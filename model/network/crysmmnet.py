"""Batch of crystals with their text embeddings in, one property a crystal out: CrysMMNet.

Das et al., "CrysMMNet: Multimodal Representation for Crystal Property Prediction", UAI 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import PretrainedConfig, PreTrainedModel

from curate.errors import InputError
from model.config import Modality, NetworkConfig
from model.network.batch import Batch
from model.network.encoders import encoder_class, encoder_settings


class CrysMMNetConfig(PretrainedConfig):
    """What is needed to build the network; the defaults are NetworkConfig's."""

    model_type = "crysmmnet"

    modality: str = "both"
    text_width: int = 768  # of the text embeddings
    encoder: str = NetworkConfig.encoder
    encoder_settings: dict[str, int] | None = None  # all sizes of the graph network
    projection_width: int = NetworkConfig.projection_width
    dropout: float = NetworkConfig.dropout

    @classmethod
    def of(cls, network: NetworkConfig, modality: Modality, text_width: int) -> CrysMMNetConfig:
        return cls(
            modality=modality,
            text_width=text_width,
            encoder=network.encoder,
            encoder_settings=encoder_settings(network),
            projection_width=network.projection_width,
            dropout=network.dropout,
        )


class CrysMMNet(PreTrainedModel):
    """Projections of crystal and text, joined, and a head that predicts the property."""

    config_class = CrysMMNetConfig
    main_input_name = "batch"

    def __init__(self, config: CrysMMNetConfig) -> None:
        super().__init__(config)
        common = config.projection_width
        if config.modality in ("both", "graph"):
            encoder = encoder_class(config.encoder)
            self.graph_encoder = encoder(encoder.settings(**(config.encoder_settings or {})))
            self.graph_projection = Projection(self.graph_encoder.out_width, common, config.dropout)
        if config.modality in ("both", "text"):
            self.text_projection = Projection(config.text_width, common, config.dropout)
        n_modalities = 2 if config.modality == "both" else 1
        self.head = nn.Sequential(
            nn.Linear(n_modalities * common, common), nn.ReLU(), nn.Linear(common, 1)
        )
        self.post_init()

    def forward(self, batch: Batch) -> Tensor:
        """(n_crystals,), also when there is one: the target as it was standardised."""
        return self.head(self.fused(batch)).squeeze(1)

    def fused(self, batch: Batch) -> Tensor:
        """(n_crystals, 64 for each modality): projections of what is seen, joined; the head reads them."""
        seen = []
        if self.config.modality in ("both", "graph"):
            crystal = self.graph_encoder(batch)  # (n_crystals, out_width)
            seen.append(self.graph_projection(crystal))  # (n_crystals, 64)
        if self.config.modality in ("both", "text"):
            seen.append(self.text_projection(batch.text))  # (n_crystals, 64)
        return torch.cat(seen, dim=1)

    @property
    def reads_angles(self) -> bool:
        """Whether batches need their line graph."""
        return self.config.modality != "text" and self.graph_encoder.reads_angles

    @classmethod
    def from_pretrained(cls, *args, **kwargs) -> CrysMMNet:
        """Weights from safetensors only: a pickled checkpoint may hold code and is never opened."""
        return super().from_pretrained(*args, **{**kwargs, "use_safetensors": True})

    def _init_weights(self, module: nn.Module) -> None:
        """Each layer keeps torch's own initialisation, as released."""


def refuse_randomness(encoder: nn.Module) -> None:
    """InputError where a graph encoder has dropout: equal atoms would no longer stay equal."""
    for name, module in encoder.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise InputError(
                f"{type(encoder).__name__}.{name} draws random numbers for each atom, so that atoms "
                "of a class would differ: use --graph full"
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
        projected = self.projection(x)
        return self.norm(self.dropout(self.linear(F.gelu(projected))) + projected)
