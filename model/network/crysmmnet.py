"""CrysMMNet: one property for each crystal of a batch, from its graph and its text.

Das et al., "CrysMMNet: Multimodal Representation for Crystal Property Prediction", UAI 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from model.encoder_settings import VERSION
from model.model_folder import NETWORK, WEIGHTS, ModelFolder
from model.network.batch import Batch
from model.network.encoders import encoder_class, encoder_settings, refuse_readout
from model.network.encoders.graph_encoder import GraphEncoder
from model.network.fusion import Seen, fusion_class
from model.network.readout import AtomsAndBondsReadout, Readout

LARGEST_SIZE, MOST_LAYERS = 20_000, 1000  # of a network; a damaged file may state any


@dataclass(frozen=True)
class CrysMMNetConfig:
    """What is needed to build the network; the defaults are NetworkConfig's."""

    modality: Modality = "both"
    text_width: int = 768  # of the text embeddings
    descriptor_widths: Sequence[int] = ()  # numbers of each descriptor, beside graph and text
    encoder: str = NetworkConfig.encoder
    encoder_settings: dict[str, Any] | None = None  # all sizes of the graph network
    projection_width: int = NetworkConfig.projection_width
    readout: ReadoutName = NetworkConfig.readout
    fusion: FusionName = NetworkConfig.fusion
    modality_dropout: float = NetworkConfig.modality_dropout
    dropout: float = NetworkConfig.dropout

    @classmethod
    def from_settings(
        cls,
        network: NetworkConfig,
        modality: Modality,
        text_width: int,
        descriptor_widths: Sequence[int] = (),
    ) -> CrysMMNetConfig:
        """The configuration of a training.

        Args:
            network: The graph network, its sizes, and how its view is joined with the others.
            modality: What the model sees of a crystal.
            text_width: Numbers of a text's embedding, or of each of its tokens'.
            descriptor_widths: Numbers of each descriptor.
        """
        return cls(
            modality=modality,
            text_width=text_width,
            descriptor_widths=list(descriptor_widths),
            encoder=network.encoder,
            encoder_settings=dict(sorted(encoder_settings(network).items())),
            projection_width=network.projection_width,
            readout=network.readout,
            fusion=network.fusion,
            modality_dropout=network.modality_dropout,
            dropout=network.dropout,
        )

    @classmethod
    def load(cls, folder: Path) -> CrysMMNetConfig:
        """The configuration of a model folder; keys that transformers wrote beside ours are passed over."""
        stored = dict(ModelFolder(folder).network)
        sizes = stored.get("encoder_settings")
        settings = encoder_class(stored.get("encoder", cls.encoder)).settings
        if sizes is not None and VERSION in {field.name for field in fields(settings)}:
            stored["encoder_settings"] = {VERSION: 1, **sizes}  # from before there were others
        return cls(
            **{field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        )

    def save(self, folder: Path) -> None:
        """Write config.json, with the keys by which others recognise a model."""
        named = {"architectures": ["CrysMMNet"], "model_type": "crysmmnet"}
        write_json(folder / NETWORK, {**named, **asdict(self)})


def check_sizes(sizes: Mapping[str, Any]) -> None:
    """ValueError where a size of a network is negative or beyond what any would have."""
    for name, size in sizes.items():
        most = MOST_LAYERS if name.endswith("layers") else LARGEST_SIZE
        if isinstance(size, int) and not 0 <= size <= most:
            raise ValueError(f"{name} is {size}")


class CrysMMNet(nn.Module):
    """Projections of crystal and text, their fusion, and a head that predicts the property."""

    def __init__(self, config: CrysMMNetConfig) -> None:
        super().__init__()
        self.settings = config  # not `config`, which transformers' Trainer would write into
        common = config.projection_width
        self.sees_graph = config.modality in ("both", "graph")
        self.sees_text = config.modality in ("both", "text")
        self.sees_descriptors = len(config.descriptor_widths) > 0
        if config.readout == "published" and (config.modality != "graph" or self.sees_descriptors):
            raise InputError("the published readout is of a graph alone, with nothing joined to it")
        fusion = fusion_class(config.fusion, config.modality)
        if self.sees_graph:
            encoder = encoder_class(config.encoder)
            self.graph_encoder = encoder(encoder.settings(**(config.encoder_settings or {})))
            self.readout = readout_of(self.graph_encoder, config)
            if config.readout == "published":
                common = self.readout.width  # its own head reads the readout itself
                self.graph_projection: nn.Module = nn.Identity()
            else:
                self.graph_projection = Projection(self.readout.width, common, config.dropout)
            if fusion.reads_atoms:  # without dropout: atoms of a class must stay equal
                self.atom_projection = Projection(self.graph_encoder.width, common, 0.0)
        if self.sees_text:
            self.text_projection = Projection(config.text_width, common, config.dropout)
        if self.sees_descriptors:
            self.descriptor_projections = nn.ModuleList(
                Projection(width, common, config.dropout) for width in config.descriptor_widths
            )
        n_vectors = self.sees_graph + self.sees_text + len(config.descriptor_widths)
        self.can_lack_text = config.modality_dropout > 0 and self.sees_text and n_vectors > 1
        if self.can_lack_text:
            self.no_text = nn.Parameter(torch.zeros(common))  # stands for a text that is missing
        self.fusion = fusion(common, n_vectors)
        self.head: nn.Module
        if self.sees_graph and config.readout == "published":
            self.head = self.graph_encoder.published_head()
        else:
            self.head = nn.Sequential(
                nn.Linear(self.fusion.width, common), nn.ReLU(), nn.Linear(common, 1)
            )

    def forward(self, batch: Batch) -> Tensor:
        """(n_crystals,), also when there is one: the target as it was standardised."""
        return self.head(self.fused(batch)).squeeze(1)

    def fused(self, batch: Batch) -> Tensor:
        """(n_crystals, fusion.width): what the head reads of each crystal."""
        graph = atoms = atoms_of = text = mask = None
        descriptors: Sequence[Tensor] = ()
        if self.sees_graph:
            features = self.graph_encoder(batch)
            graph = self.graph_projection(self.readout(features))  # (n_crystals, projection_width)
            if self.fusion.reads_atoms:
                atoms, atoms_of = self.atom_projection(features.atoms), features.atoms_of
        if self.sees_text:
            text, mask = self.projected_text(batch)
        if self.sees_descriptors:
            descriptors = self.projected_descriptors(batch)
        return self.fusion(Seen(graph, text, descriptors, atoms, atoms_of, mask))

    def projected_descriptors(self, batch: Batch) -> list[Tensor]:
        """(n_crystals, projection_width) of each descriptor."""
        assert batch.descriptors is not None
        parts = batch.descriptors.split(list(self.settings.descriptor_widths), dim=1)
        return [
            project(part) for project, part in zip(self.descriptor_projections, parts, strict=True)
        ]

    def projected_text(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(n_crystals, [n_tokens,] projection_width) of the texts, and where they have tokens.

        A crystal without a text, or one that loses it while learning, has `no_text` for its only token.
        Raises InputError where a text is missing and the model has not learned what that means.
        """
        text, mask, n = batch.text, batch.text_mask, len(batch.text)
        if self.fusion.reads_tokens and mask is None:  # a vector is a text of one token
            text, mask = text[:, None], text.new_ones(n, 1, dtype=torch.bool)
        lacking = None if batch.has_text is None else ~batch.has_text
        if self.training and self.can_lack_text:
            lost = torch.rand(n, device=text.device) < self.settings.modality_dropout
            lacking = lost if lacking is None else lacking | lost
        if lacking is None:
            return self.text_projection(text), mask
        if not self.can_lack_text:
            raise InputError(
                "a crystal has no text, and the model was trained with one for each: train with "
                "--modality-dropout"
            )
        if text.shape[-1]:
            projected = self.text_projection(text)
        else:  # no crystal of the batch has one
            projected = self.no_text.expand(*text.shape[:-1], -1)
        lacks = lacking.view(-1, *[1] * (projected.ndim - 1))
        projected = torch.where(lacks, self.no_text.to(projected.dtype), projected)
        if mask is not None:
            first = torch.arange(mask.shape[1], device=mask.device) == 0
            mask = torch.where(lacking[:, None], first, mask)
        return projected, mask

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
        try:
            config = CrysMMNetConfig.load(folder)
            check_sizes({**asdict(config), **(config.encoder_settings or {})})
            with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
                model = cls(config)
        except InputError:
            raise
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise InputError(
                f"{folder / NETWORK} describes no network ({first_line(error)}); copy or train the model "
                "anew"
            ) from error
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
    for name, module in model.graph_encoder.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise InputError(
                f"{type(model.graph_encoder).__name__}.{name} draws random numbers for each atom, so "
                "that atoms of a class would differ: use --graph full"
            )


def readout_of(encoder: GraphEncoder, config: CrysMMNetConfig) -> Readout:
    """The readout that the configuration names.

    Raises InputError where it reads bonds and the encoder updates none.
    """
    refuse_readout(config.encoder, config.readout)
    match config.readout:
        case "encoder":
            return encoder.readout
        case "atoms+bonds":
            return AtomsAndBondsReadout(encoder.width)
        case "published":
            return encoder.published_readout()


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
