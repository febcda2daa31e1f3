"""Every choice of a graph, a network and a training, each default written once. No heavy imports."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional

from curate.errors import InputError

Modality = Literal["both", "graph", "text"]


def default_cache() -> Path:
    """Where text embeddings and graphs are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "crysmmnet"


@dataclass(frozen=True)
class GraphConfig:
    """Which atoms are bonded, and whether symmetry is used."""

    graph: Literal["quotient", "full"] = "quotient"
    """One of each kind of atom, bond and angle with its count, or all of them: the same function,
    and the quotient is several times faster."""
    max_neighbors: int = 12
    """Nearest neighbours an atom is bonded to; the shell of the last one is kept whole."""
    cutoff_angstrom: float = 8.0
    """Radius searched for them, grown where an atom has fewer."""
    exact_shell: bool = False
    """Bonds as in the released code: shells cut by the last bits of a float, bonds of an atom with
    its own image counted twice, no such bond followed by itself."""


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network."""

    width: int = 256
    """Features of an atom, a bond and an angle."""
    alignn_layers: int = 4
    """Updates of the crystal graph and the line graph in turn."""
    gcn_layers: int = 4
    """Updates of the crystal graph alone, after those."""
    distance_bins: int = 80
    """Radial functions between 0 and 8 Å that describe a bond length."""
    angle_bins: int = 40
    """Functions between -1 and 1 that describe the cosine of a bond angle."""
    embedding_width: int = 64
    """Width between those functions and the features."""
    projection_width: int = 64
    """Common width of crystal and text before they are joined."""
    dropout: float = 0.1
    """In the projections."""


@dataclass(frozen=True)
class TrainConfig:
    """Train CrysMMNet on one property of a curated dataset.

    The same command continues a training that was interrupted.
    """

    data: str
    """Folder of a run or a dataset, or OWNER/NAME on the Hub."""
    target: str
    """Property to learn, by the source's own name."""
    out: Path
    """Folder of the model, made new; an interrupted training of the same settings continues."""
    modality: Modality = "both"
    """What the model sees of a crystal: graph and text, or one of them."""
    text_encoder: str = "m3rg-iitd/matscibert"
    """Frozen encoder of the descriptions: a name on the Hub, a folder, or `minilm` (extra `demo`)."""
    split: Literal["official", "random"] = "random"
    """The dataset's own column split_<task>, or 80/10/10 drawn with the seed."""
    log_target: bool = False
    """Learn log10 of the target; predictions come back in its own unit."""
    seed: int = 123
    """Of the random split, the initial weights and the order of the crystals."""
    epochs: int = 300
    """Passes over the training crystals."""
    patience: int | None = None
    """Stop after this many epochs without a better validation error."""
    batch_size: int = 64
    """Crystals per update (on each device)."""
    max_angles: int | None = None
    """Bound of memory: a batch with more bond angles is computed in parts whose gradients add up;
    134,000 angles of width 256 take about 5 GiB."""
    accumulate: int = 1
    """Batches per update."""
    learning_rate: float = 1e-3
    """Peak of the one-cycle schedule."""
    weight_decay: float = 1e-5
    """Of AdamW, not on biases and norms."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the forward pass; the lower ones pay on GPUs."""
    tensorboard: bool = False
    """Log to OUT/tensorboard; needs the package tensorboard."""
    cache: Path = field(default_factory=default_cache)
    """Folder where text embeddings and graphs are kept, for other trainings on the same crystals."""
    graph: Annotated[GraphConfig, OmitArgPrefixes] = GraphConfig()
    network: Annotated[NetworkConfig, OmitArgPrefixes] = NetworkConfig()

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "accumulate", "max_angles", "patience", "learning_rate")
        for name in positive:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"--{name.replace('_', '-')} must be positive, not {value}")


@dataclass(frozen=True)
class EvaluateConfig:
    """Compare a model's predictions with the labels of a dataset."""

    model: Positional[Path]
    """Folder of a trained model, or OWNER/NAME on the Hub."""
    data: str
    """Folder of a run or a dataset, or OWNER/NAME on the Hub."""
    batch_size: int = 64
    """Crystals computed at once."""
    out: Path | None = None
    """Also write id, split, target and prediction to this CSV file."""
    cache: Path = field(default_factory=default_cache)
    """Folder where text embeddings are kept."""


@dataclass(frozen=True)
class PushModelConfig:
    """Publish a trained model on the Hugging Face Hub with its card, in one commit.

    The token comes from HF_TOKEN or `hf auth login`. The same command again sends what is missing.
    """

    model: Positional[Path]
    """Folder of a trained model."""
    name: Positional[str]
    """Repository on the Hub, OWNER/NAME; created if it does not exist."""
    private: bool = False
    """Visible to the owner only."""
    tag: str | None = None
    """Name this version, as v1.0, so that others can load exactly it."""
    dry_run: bool = False
    """Print repository, files, sizes and the card; send nothing."""


@dataclass(frozen=True)
class PredictConfig:
    """Predict a property of new crystals; crystals without a text are described first."""

    model: Positional[Path]
    """Folder of a trained model, or OWNER/NAME on the Hub."""
    crystals: Positional[tuple[str, ...]]
    """Structure files (CIF, POSCAR, ...), or one run, dataset folder or OWNER/NAME."""
    out: Path | None = None
    """Also write the predictions to this CSV file."""
    batch_size: int = 64
    """Crystals computed at once."""
    cache: Path = field(default_factory=default_cache)
    """Folder where text embeddings are kept."""
