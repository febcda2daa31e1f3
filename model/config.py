"""Settings of graphs, networks, trainings and commands; each default is written once. No heavy imports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from tyro.conf import OmitArgPrefixes, Positional, arg

from curate.describe.text_views import VIEWS
from curate.errors import InputError
from curate.files import cache_folder
from model.encoder_settings import ENCODERS, SIZES

Modality = Literal["both", "graph", "text"]
FusionName = Literal["concat", "cross-attention"]
LossName = Literal["mse", "l1", "huber"]
PoolingChoice = Literal["cls", "mean", "own"]
TuneText = Literal["no", "lora", "full"]
ReadoutName = Literal["encoder", "atoms+bonds", "published"]
DescriptorName = Literal[
    "composition", "magpie", "cell", "condensed", "energy", "potential", "layers", "vibrations"
]
ExperimentKind = Literal["modality", "encoder", "text", "low-data"]
DRAWN_SPLITS = ("random", "formula", "chemical-system")
CAN_BE_ZERO = ("layers", "alignn_layers", "gcn_layers")  # sizes of which 0 leaves a part out
SEARCH_FILES = (".csv", ".parquet", ".json")
CONTROLS = {  # what stands in place of a description, to see whether its words matter
    "shuffled": "the description of another crystal",
    "constant": "one text for all",
    "spacegroup": "the space group as a one-hot vector, no text",
}
if TYPE_CHECKING:
    EncoderName: TypeAlias = str
    TextInput: TypeAlias = str
else:  # from the tables: what stands there can be chosen
    EncoderName = Literal[tuple(ENCODERS)]
    TextInput = Literal["description", *VIEWS, *CONTROLS]
TEXT_HELP = (
    "Text of a crystal: its description; a part of it ("
    + "; ".join(f"{name}: {view.meaning}" for name, view in VIEWS.items())
    + "); or a control that says nothing about it ("
    + "; ".join(f"{name}: {meaning}" for name, meaning in CONTROLS.items())
    + ")."
)


def flag(name: str) -> str:
    """A setting as it is written on the command line: `--batch-size`."""
    return f"--{name.replace('_', '-')}"


def refuse_nonpositive(name: str, value: float | None) -> None:
    """InputError where a setting that is given is not a positive number."""
    if value is not None and not 0 < value < math.inf:
        raise InputError(f"{flag(name)} must be positive, not {value}")


def refuse_repeated(name: str, values: Sequence[object]) -> None:
    """InputError where a setting of several values has none, or one twice."""
    if not values:
        raise InputError(f"{flag(name)} needs at least one")
    if len(set(values)) < len(values):
        raise InputError(f"{flag(name)} {' '.join(map(str, values))}: one is named twice")


def refuse_folder(out: Path | None) -> None:
    """InputError where the file to write is a folder: said before the work, not after it."""
    if out is not None and out.is_dir():
        raise InputError(f"--out {out} is a folder: name a file in it")


def refuse_seeds(seeds: Sequence[int]) -> None:
    """InputError where trees can't be drawn with a seed."""
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise InputError(f"--seeds must lie between 0 and 2^32 - 1, not {seed}")


def refuse_share(name: str, value: float) -> None:
    """InputError where a setting is not at least 0 and below 1."""
    if not 0 <= value < 1:
        raise InputError(f"{flag(name)} must be at least 0 and below 1, not {value}")


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
    shell_tolerance: float = 1e-3
    """Neighbours whose distances differ by less than this share of them are one shell. A CIF of four
    digits moves distances by some 1e-4 of their length; models of earlier versions have 1e-6."""
    exact_shell: bool = False
    """Bonds as in the released code: shells cut by the last bits of a float, bonds of an atom with
    its own image counted twice, no such bond followed by itself."""
    self_bonds: bool = False
    """Also bond each atom to its own images along the shortest translations of the crystal; Matformer
    always has them."""
    self_bond_translations: Literal[3, 6] = 6
    """How many: the three of the reduced cell, or also the sums of two of them, as Matformer's code has
    it; models of earlier versions have 3."""

    @classmethod
    def recorded(cls, stored: dict[str, Any]) -> GraphConfig:
        """The rules that a folder records; what its version did not know is as that version had it."""
        return cls(**{**BEFORE_RECORDED, **stored})


# Of settings whose default has changed: what held before they were recorded.
BEFORE_RECORDED: dict[str, Any] = {"shell_tolerance": 1e-6, "self_bond_translations": 3}


@dataclass(frozen=True)
class EncoderChoice:
    """Which graph network."""

    encoder: EncoderName = "alignn"
    """Graph network; `crysmmnet encoders` lists them with their sizes."""


if TYPE_CHECKING:
    EncoderSizes = EncoderChoice
else:  # a flag for each size that any of them has
    EncoderSizes = make_dataclass(
        "EncoderSizes",
        [(name, Annotated[int | None, arg(help=meaning)], None) for name, meaning in SIZES.items()],
        bases=(EncoderChoice,),
        frozen=True,
    )


@dataclass(frozen=True)
class NetworkConfig(EncoderSizes):
    """Which graph network, and the sizes; a size that is left out is the published one."""

    projection_width: int = 64
    """Common width of crystal and text before they are joined."""
    readout: ReadoutName = "encoder"
    """From the atoms and bonds to one vector a crystal: as the graph network has it, or the mean of the
    atoms beside that of the bonds, which differs where all neighbours of an atom are alike. `published`: to
    the property, by the layers that the graph network was published with, instead of ours."""
    fusion: FusionName = "concat"
    """How graph, text and descriptors are joined: side by side; weighed number by number and added; or
    side by side, where each atom asks the tokens of the text."""
    modality_dropout: float = 0.0
    """Share of the crystals of a batch that lose their text while learning; above 0 the model also
    predicts without a text."""
    dropout: float = 0.1
    """In the projections."""


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which dataset is read, and what is made of a crystal and its text."""

    data: str
    """Folder of a run or a dataset, or OWNER/NAME on the Hub."""
    text_encoder: str = "m3rg-iitd/matscibert"
    """Encoder of the descriptions: a name on the Hub, a folder, or `minilm` (extra `demo`), frozen; or
    `tfidf`, their words and pairs of words, weighed as in the training texts."""
    text_pooling: PoolingChoice = "cls"
    """Vector of a text: that of [CLS], the mean of its tokens', or whichever of the two the encoder was
    trained with: what its `1_Pooling/config.json` says, [CLS] where it has none."""
    descriptors: tuple[DescriptorName, ...] = ()
    """Numbers of a crystal that need no learning, which the network reads beside graph and text: its
    `composition`, `magpie`'s statistics of its elements, its `cell`, what its `condensed` structure says;
    and what a potential tells (extra `potential`): `energy`, forces and stress, how the `potential` sees
    the atoms, and, in seconds a crystal, the binding of its `layers` and its `vibrations`."""
    split: str = "random"
    """`official`: the dataset's own column split_<task>. `random`: 80/10/10 drawn with the seed. `formula`,
    `chemical-system`: likewise, but crystals of one formula, or of the same elements, stay in one part. Else
    a column of the dataset that says train, val or test."""
    folds: str | None = None
    """Column of the dataset that says which fold a crystal is in: one fold is the test set, and validation is
    a tenth of the others, drawn by `--split random`, `formula` or `chemical-system`."""
    log_target: bool = False
    """Learn log10 of the target; predictions come back in its own unit."""
    cache: Path = field(default_factory=cache_folder)
    """Folder where text embeddings and graphs are kept, for other trainings on the same crystals."""
    graph: Annotated[GraphConfig, OmitArgPrefixes] = GraphConfig()

    def __post_init__(self) -> None:
        if self.text_encoder == "tfidf" and self.text_pooling != "cls":
            raise InputError(
                f"--text-pooling {self.text_pooling} has no meaning for --text-encoder tfidf, which gives "
                "one vector a text"
            )
        refuse_share("shell_tolerance", self.graph.shell_tolerance)
        for name in ("max_neighbors", "cutoff_angstrom"):
            refuse_nonpositive(name, getattr(self.graph, name))
        if len(set(self.descriptors)) < len(self.descriptors):
            raise InputError(f"--descriptors {' '.join(self.descriptors)}: one is named twice")
        if self.folds is not None and self.split not in DRAWN_SPLITS:
            raise InputError(
                f"--split {self.split} has no meaning with --folds, which says what is tested; validation "
                f"is drawn by --split {', '.join(DRAWN_SPLITS)}"
            )


@dataclass(frozen=True, kw_only=True)
class TrainSettings(DataSettings):
    """What a training and a whole experiment of them have in common."""

    tune_text: TuneText = "no"
    """Before its vectors are read, the text encoder learns the target from the training texts alone: `full`,
    all of its weights; `lora`, changes of low rank (extra `lora`), in less memory."""
    tune_epochs: int = 4
    """Passes over the training texts of --tune-text; validation chooses one."""
    epochs: int = 300
    """Passes over the training crystals."""
    patience: int | None = None
    """Stop after this many epochs without a better validation error."""
    batch_size: int = 64
    """Crystals per update (on each device, where `torchrun` starts a process for each)."""
    max_angles: int | None = None
    """Bound of memory: a batch with more bond angles is computed in parts whose gradients add up;
    134,000 angles of width 256 take about 5 GiB."""
    accumulate: int = 1
    """Batches per update."""
    loss: LossName = "mse"
    """Of the standardised target: mean squared error, mean absolute error, or Huber's, squared below one
    standard deviation and absolute above."""
    learning_rate: float = 1e-3
    """Peak of the one-cycle schedule."""
    weight_decay: float = 1e-5
    """Of AdamW, not on biases and norms."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the forward pass; the lower ones pay on GPUs."""
    compile: bool = False
    """Compile the network first, which takes a minute; pays in long trainings on a GPU."""
    tensorboard: bool = False
    """Log to OUT/tensorboard; needs the package tensorboard."""
    network: Annotated[NetworkConfig, OmitArgPrefixes] = NetworkConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tune_text != "no" and self.text_encoder == "tfidf":
            raise InputError("--tune-text: --text-encoder tfidf has no weights to tune")
        for name in ("modality_dropout", "dropout"):
            refuse_share(name, getattr(self.network, name))
        for name in ("projection_width", *SIZES):
            value = getattr(self.network, name)
            if name not in CAN_BE_ZERO or value != 0:
                refuse_nonpositive(name, value)
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"--weight-decay must be at least 0, not {self.weight_decay}")
        positive = (
            "epochs",
            "batch_size",
            "accumulate",
            "max_angles",
            "patience",
            "learning_rate",
            "tune_epochs",
        )
        for name in positive:
            refuse_nonpositive(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class ExampleSettings(DataSettings):
    """What the examples of one training are made of."""

    target: str
    """Property to learn, by the source's own name."""
    modality: Modality = "both"
    """What the model sees of a crystal: graph and text, or one of them."""
    text: Annotated[TextInput, arg(help=TEXT_HELP)] = "description"
    fold: str | None = None
    """Which of --folds is tested, as the column has it."""
    train_fraction: float = 1.0
    """Learn from this share of the training crystals, drawn with the seed; a smaller share is part of
    a larger one."""
    fraction_of_labels: bool = False
    """With --train-fraction: keep the same share of the validation crystals, whose labels are labels too."""
    seed: int = 123
    """Of the random split, the initial weights and the order of the crystals."""
    members: int = 1
    """Networks that are trained on the same split with seeds of their own, SEED, SEED + 1, …: predictions are
    their mean, and where they differ the margin is wider."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.train_fraction <= 1:
            raise InputError(
                f"--train-fraction must be above 0 and at most 1, not {self.train_fraction}"
            )
        if (self.folds is None) != (self.fold is None):
            raise InputError("--folds COLUMN and --fold LABEL, which fold is tested, go together")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainSettings, ExampleSettings):
    """Train CrysMMNet on one property of a curated dataset.

    The same command continues a training that was interrupted. `--preset paper` stands for the settings of
    the paper's released code, `--preset best` for those that paid in our ablation; other flags change them.
    A folder of `crysmmnet prepare` for --data brings the settings it was prepared with: they need not be
    given again, and other ones are refused.
    """

    data: str
    """Folder of a run or a dataset, OWNER/NAME on the Hub, or a folder that `crysmmnet prepare` wrote."""
    out: Path
    """Folder of the model, made new; an interrupted training of the same settings continues."""
    equal_updates: bool = False
    """With --train-fraction: as many updates as the whole training part would take, so more epochs, and as
    much more patience; fewer crystals are then not also less training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.members < 1:
            raise InputError(f"--members must be at least 1, not {self.members}")
        if not -(2**63) <= self.seed <= 2**63 - self.members:
            raise InputError(f"--seed must lie between -2^63 and 2^63, not {self.seed}")
        if self.network.readout == "published" and (self.modality != "graph" or self.descriptors):
            raise InputError(
                "--readout published is the graph network's own way to the property, with nothing joined to "
                "it: add --modality graph, without --descriptors"
            )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(ExampleSettings):
    """Write one folder with everything a training reads: graphs, texts as numbers, targets, split.

    `crysmmnet train --data FOLDER` trains on it where torch, numpy and safetensors are and little else, to
    the same weights as from the dataset itself.
    """

    out: Path
    """Folder to write, made new."""
    encoder: EncoderName = "alignn"
    """Graph network that will be trained, for Matformer's graphs have bonds of their own."""
    fusion: FusionName = "concat"
    """As in a training: `cross-attention` reads tokens of the texts, the others a vector."""

    def training(self) -> TrainConfig:
        """The training that reads these examples, with the defaults of all else."""
        given = {field.name: getattr(self, field.name) for field in fields(ExampleSettings)}
        network = NetworkConfig(encoder=self.encoder, fusion=self.fusion)
        return TrainConfig(**given, out=self.out, network=network)


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(TrainSettings):
    """Answer one of the paper's questions by many trainings: a table, predictions, plots.

    `modality`: does text help, and more than text that says nothing? `encoder`: for which graph
    network? `text`: which part of the text? `low-data`: with how few crystals? The same command goes
    on where it was stopped; several questions in one folder share their trainings.
    """

    kind: Positional[ExperimentKind]
    """The question."""
    targets: tuple[str, ...]
    """Properties to learn."""
    out: Path
    """Folder; the answer goes to OUT/KIND, the trained models to OUT/runs."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One training each; a seed draws the split and the initial weights."""
    encoders: tuple[EncoderName, ...] = tuple(ENCODERS)
    """Graph networks to compare; sizes are given to those that have them (`encoder`)."""
    fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    """Shares of the training crystals (`low-data`)."""
    parallel: int = 1
    """Trainings side by side, each with its share of the processor's threads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("targets", "seeds", "encoders", "fractions"):
            refuse_repeated(name, getattr(self, name))
        refuse_seeds(self.seeds)
        refuse_nonpositive("parallel", self.parallel)


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig(TrainSettings):
    """Score models with and without text on every fold of a benchmark: composition, descriptors, a blend.

    What a fold may learn from is parted again; settings, and shares of the blend, are chosen there. The same
    command goes on where it was stopped.
    """

    target: str
    """Property to learn."""
    out: Path
    """Folder of the answer: report.md, results.json, predictions.csv, what a leaderboard takes."""
    descriptors: tuple[DescriptorName, ...] = ("magpie", "cell", "condensed")
    """Numbers of a crystal; `layers` and `vibrations` are computed with a potential (extra `potential`)."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each parts what may be learned from anew; predictions are the mean."""
    inner_folds: int = 5
    """Parts of what a fold may learn from."""
    networks: bool = False
    """Train the network too, with the settings of a training: graph, both, both with shuffled texts."""
    published: Path | None = None
    """Parquet table of others' predictions (task, model, fold, id, prediction) to stand beside these."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("descriptors", "seeds"):
            refuse_repeated(name, getattr(self, name))
        refuse_seeds(self.seeds)
        if self.inner_folds < 2:
            raise InputError(f"--inner-folds must be at least 2, not {self.inner_folds}")


@dataclass(frozen=True)
class EncodersConfig:
    """List the graph networks: reference, parameters, seconds a crystal on this machine."""

    n: int = 64
    """Crystals of the embedded sample that a training step is timed on."""

    def __post_init__(self) -> None:
        refuse_nonpositive("n", self.n)


@dataclass(frozen=True)
class LeaderboardConfig:
    """Write a model's test predictions as the JARVIS-Leaderboard takes them, checked against its ids."""

    model: Positional[Path]
    """Folder of a trained model."""
    task: str
    """Benchmark, as dft_3d_formation_energy_peratom."""
    out: Path
    """Folder for the csv.zip and metadata.json."""
    method: str = "crysmmnet"
    """Name of the contribution."""
    author_email: str = ""
    """Goes into metadata.json, which the leaderboard asks for."""
    project_url: str = ""
    """Goes into metadata.json."""


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
    cache: Path = field(default_factory=cache_folder)
    """Folder where text embeddings are kept."""

    def __post_init__(self) -> None:
        refuse_nonpositive("batch_size", self.batch_size)
        refuse_folder(self.out)


@dataclass(frozen=True)
class ReportModelConfig:
    """Write a page to look at: training curves, parity, errors by element and crystal system, and
    every crystal with its structure, text and prediction.

    One HTML file that opens from disk, without a network (extra `report`).
    """

    model: Positional[Path]
    """Folder of a trained model, or OWNER/NAME on the Hub."""
    data: str | None = None
    """Folder of the run or dataset it learned from, or OWNER/NAME on the Hub; needed where the model
    learned from a folder."""
    out: Path = Path("report.html")
    """The page."""
    explain: tuple[str, ...] = ()
    """Ids of crystals whose prediction is explained sentence by sentence; loads the text encoder."""
    cache: Path = field(default_factory=cache_folder)
    """Folder where text embeddings are kept."""

    def __post_init__(self) -> None:
        refuse_folder(self.out)


@dataclass(frozen=True)
class AppConfig:
    """Open a page to try a model: drop a CIF, see its description, prediction and similar crystals.

    Runs until it is stopped (extra `app`).
    """

    model: Positional[Path]
    """Folder of a trained model, or OWNER/NAME on the Hub."""
    data: str | None = None
    """Folder of the run or dataset it learned from, or OWNER/NAME on the Hub: for similar crystals."""
    host: str = "127.0.0.1"
    """Address to listen on; others than this machine reach 0.0.0.0."""
    port: int = 7860
    """Port to listen on."""
    cache: Path = field(default_factory=cache_folder)
    """Folder where text embeddings are kept."""

    def __post_init__(self) -> None:
        if not 0 < self.port < 2**16:
            raise InputError(f"--port must lie between 1 and 65535, not {self.port}")


@dataclass(frozen=True)
class PushModelConfig:
    """Publish a trained model on the Hugging Face Hub with its card, or a page to try it, in one commit.

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
    license: str | None = None
    """Licence of the weights (with --space of all that it holds) for the card, as cc-by-4.0."""
    dry_run: bool = False
    """Print repository, files, sizes and the card; send nothing."""
    space: bool = False
    """Push a Space, the page of `crysmmnet app` with the model in it, instead of the model."""
    data: str | None = None
    """What the model learned from, so that the Space shows similar crystals (--space)."""
    cache: Path = field(default_factory=cache_folder)
    """Folder where text embeddings are kept (--space)."""


@dataclass(frozen=True)
class SearchConfig:
    """Find crystals by words: "layered telluride with octahedral metal sites", or like another one.

    Texts are compared by their words (BM25) and by their vectors, and both rankings fused. The first search
    in a dataset makes its index, which is kept.
    """

    data: Positional[str]
    """Folder of a run or a dataset, or OWNER/NAME on the Hub; with --model also structure files."""
    query: Positional[tuple[str, ...]] = ()
    """What the crystals should be like, in words."""
    like: str | None = None
    """Id of a crystal of DATA: find those that are most like it, instead of a question."""
    n: int = 10
    """How many crystals."""
    text_encoder: str | None = None
    """What turns texts into vectors: a name on the Hub, a folder, `minilm` (extra `demo`), `tfidf`; or
    `bm25`, to compare words alone. Without it `tfidf`, which needs no download."""
    model: str | None = None
    """Search graphs instead of texts, so that crystals need none: folder of a trained model that reads
    graphs, or OWNER/NAME on the Hub. The first search must be in the dataset that it learned from: it teaches
    the model to compare graphs with words, which the folder then keeps."""
    out: Path | None = None
    """Also write the crystals to this file, .csv, .parquet or .json."""
    cache: Path = field(default_factory=cache_folder)
    """Folder where indexes and text embeddings are kept."""

    def __post_init__(self) -> None:
        if bool(self.query) == (self.like is not None):
            raise InputError("ask in words or by --like ID: one of the two")
        if self.n < 1:
            raise InputError(f"--n must be positive, not {self.n}")
        refuse_folder(self.out)
        if self.out is not None and self.out.suffix not in SEARCH_FILES:
            raise InputError(f"--out {self.out} must end in {', '.join(SEARCH_FILES)}")


@dataclass(frozen=True)
class PredictConfig:
    """Predict a property of new crystals; crystals without a text are described first."""

    model: Positional[Path]
    """Folder of a trained model, or OWNER/NAME on the Hub."""
    crystals: Positional[tuple[str, ...]]
    """Structure files (CIF, POSCAR, ...), or one run, dataset folder or OWNER/NAME."""
    without_text: bool = False
    """Read no text, nor make one; for models that were trained with --modality-dropout."""
    also: tuple[str, ...] = ()
    """More models, folders or OWNER/NAME: each crystal is read and described once for all of them, and is one
    line of the table."""
    level: float = 0.9
    """Share of new crystals whose property is to lie within the margin of its prediction."""
    out: Path | None = None
    """Also write the predictions, with margins, to this CSV file."""
    batch_size: int = 64
    """Crystals computed at once."""
    cache: Path = field(default_factory=cache_folder)
    """Folder where text embeddings are kept."""

    def __post_init__(self) -> None:
        if not self.crystals:
            raise InputError("name the crystals to predict: structure files, a run or a dataset")
        places = (str(self.model), *self.also)
        if twice := [place for place in self.also if places.count(place) > 1]:
            raise InputError(f"--also {twice[0]}: the model is named twice")
        refuse_nonpositive("batch_size", self.batch_size)
        refuse_folder(self.out)
