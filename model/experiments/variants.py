"""The rows of an experiment's table: which models are trained and compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from curate.describe.text_views import VIEWS
from model.config import CONTROLS, ExperimentConfig, TextInput
from model.model_folder import ModelFolder


@dataclass(frozen=True)
class Variant:
    """One row of an experiment's table: what is trained, apart from target and seed."""

    encoder: str
    modality: str = "both"
    text: TextInput = "description"
    train_fraction: float = 1.0

    @property
    def name(self) -> str:
        """As in `graph`, `both`, `both, shuffled`."""
        told = self.modality if self.text == "description" else f"{self.modality}, {self.text}"
        return told

    @property
    def slug(self) -> str:
        """Of folder names."""
        network = "" if self.modality == "text" else f"-{self.encoder}"
        text = "" if self.text == "description" else f"-{self.text}"
        share = "" if self.train_fraction == 1 else f"-{self.train_fraction:g}"
        return f"{self.modality}{network}{text}{share}"


def variants(config: ExperimentConfig) -> list[Variant]:
    """The rows of the table; each has its graph-only counterpart among them."""
    own = config.network.encoder
    graph, both = Variant(own, "graph"), Variant(own)
    match config.kind:
        case "modality":
            controls = [replace(both, text=control) for control in CONTROLS]
            return [graph, Variant(own, "text"), both, *controls]
        case "encoder":
            return [Variant(name, seen) for name in config.encoders for seen in ("graph", "both")]
        case "text":
            return [graph, both, *(replace(both, text=part) for part in VIEWS)]
        case "low-data":
            shares = sorted(config.fractions)
            return [replace(v, train_fraction=share) for share in shares for v in (graph, both)]


def counterpart(variant: Variant) -> Variant:
    """The graph-only model that a model is compared with."""
    return replace(variant, modality="graph", text="description")


def test_rows(folder: Path) -> dict[str, tuple[float, float]]:
    """Target and prediction of each test crystal of a trained model."""
    return {
        row["id"]: (float(row["target"]), float(row["prediction"]))
        for row in ModelFolder(folder).predictions
        if row["split"] == "test"
    }
