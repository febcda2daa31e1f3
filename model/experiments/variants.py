"""The rows of an experiment's table: which models are trained and compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from curate.describe.text_views import VIEWS
from model.config import CONTROLS, ExperimentConfig, TextInput
from model.model_folder import ModelFolder

COMPOSITION = "composition"  # modality of the baseline, which no network is trained for
TREES = "extra trees"


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
        if self.modality == COMPOSITION:
            return f"composition, {TREES}"
        told = self.modality if self.text == "description" else f"{self.modality}, {self.text}"
        return told

    @property
    def slug(self) -> str:
        """Of folder names."""
        network = "" if self.modality in ("text", COMPOSITION) else f"-{self.encoder}"
        text = "" if self.text == "description" else f"-{self.text}"
        share = "" if self.train_fraction == 1 else f"-{self.train_fraction:g}-of-labels"
        return f"{self.modality}{network}{text}{share}"


def variants(config: ExperimentConfig) -> list[Variant]:
    """The networks of the table; each has its graph-only counterpart among them."""
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


def baselines(config: ExperimentConfig) -> list[Variant]:
    """What is computed from the composition alone, one for each share of the training crystals."""
    shares = sorted({variant.train_fraction for variant in variants(config)})
    return [Variant(TREES, COMPOSITION, train_fraction=share) for share in shares]


def table_rows(config: ExperimentConfig) -> list[Variant]:
    """The rows of the table: the baseline before the networks of the same share."""
    networks = variants(config)
    return [
        row
        for baseline in baselines(config)
        for row in (
            baseline,
            *(v for v in networks if v.train_fraction == baseline.train_fraction),
        )
    ]


def comparisons(config: ExperimentConfig) -> list[tuple[Variant, Variant]]:
    """Which model is compared with which, the one that it should better first.

    Each model with the graph alone; for the question `modality` also the description with what stands in
    its place. These are all differences that a report shows of a target.
    """
    own = Variant(config.network.encoder)
    pairs = [(counterpart(v), v) for v in variants(config) if v.modality != "graph"]
    if config.kind != "encoder":  # there every network is another graph
        alone = counterpart(own)
        shares = [(replace(alone, train_fraction=b.train_fraction), b) for b in baselines(config)]
        pairs = [*shares, *pairs]
    if config.kind == "modality":
        pairs += [(replace(own, text=control), own) for control in CONTROLS]
        pairs += [(baseline, own) for baseline in baselines(config)]
    return pairs


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
