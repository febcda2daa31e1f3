"""The folder of a trained model: the names of its files, whether it is complete, and how to read it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import InputError, first_line
from curate.hub_name import is_hub_name
from model.files import read_csv

NETWORK = "config.json"  # sizes of the network, as transformers writes them
WEIGHTS = "model.safetensors"
PREPROCESSING = "preprocessing.json"  # scale of the target, rules of the graph, recipe of the text
METRICS = "metrics.json"  # written last: where it is, the training is finished
PREDICTIONS = "predictions.csv"  # id, split, target, prediction of every crystal
SPREAD = "spread"  # column of them where there are several networks: their standard deviation
HISTORY = "history.csv"  # one row for each epoch
SETTINGS = "question.json"  # settings and data of the training
TRAINING = "training.json"  # where the data came from, on what machine and how long it trained
TEXT_ENCODER = (
    "text_encoder.safetensors"  # only of an encoder that was fitted on the training texts
)
TUNED_ENCODER = "text_encoder"  # only of an encoder that was tuned: a folder of its own
NEIGHBORHOOD = (
    "neighborhood.safetensors"  # not in folders of earlier versions: what is near training
)
MEMBERS = "members"  # folder of the second network of an ensemble and its others, by their number
MOST_MEMBERS = 1000  # of an ensemble
TRAINING_CRYSTALS = "training_crystals.parquet"  # optional: what similar crystals are found among

FINISHED = (
    NETWORK,
    WEIGHTS,
    PREPROCESSING,
    METRICS,
    PREDICTIONS,
    HISTORY,
    SETTINGS,
    TRAINING,
)
OF_MEMBER = (NETWORK, WEIGHTS, HISTORY, TRAINING)


@dataclass(frozen=True)
class ModelFolder:
    """A folder that a training writes and that predictions, pages and the Hub read."""

    path: Path

    @classmethod
    def find(cls, place: str | Path, revision: str | None = None) -> ModelFolder:
        """The folder of this path, or a copy of a model on the Hub.

        Args:
            place: Path of a folder, or OWNER/NAME on the Hub.
            revision: Commit or tag on the Hub; the newest where it is None.

        Raises:
            InputError: There is no such model on the Hub.
        """
        if Path(place).is_dir() or not is_hub_name(str(place)):
            return cls(Path(place))
        from huggingface_hub import snapshot_download

        try:
            return cls(
                Path(snapshot_download(str(place), revision=revision, ignore_patterns="*.bin"))
            )
        except (OSError, ValueError) as error:
            raise InputError(
                f"no model {str(place)!r} in a folder or on the Hub ({first_line(error)})"
            ) from error

    @property
    def is_finished(self) -> bool:
        """Whether a training wrote the folder to its end."""
        return (self.path / METRICS).is_file()

    @property
    def is_trained(self) -> bool:
        """Whether the folder has a network that was trained to its end."""
        return all(self.has(name) for name in (NETWORK, WEIGHTS, HISTORY))

    def member(self, number: int) -> ModelFolder:
        """The folder of a network of the ensemble, from 1; that of the first is the model's own."""
        return self if number == 1 else ModelFolder(self.path / MEMBERS / str(number))

    @property
    def members(self) -> list[ModelFolder]:
        """The folders of all networks of the ensemble; one in models of earlier versions."""
        n = self.settings.get("members", 1)
        if type(n) is not int or not 1 <= n <= MOST_MEMBERS:
            raise InputError(f"{self.path / SETTINGS} states {n!r} members; copy the model anew")
        return [self.member(number) for number in range(1, n + 1)]

    def has(self, name: str) -> bool:
        """Whether the folder holds this file."""
        return (self.path / name).is_file()

    def check(self, names: Iterable[str] = FINISHED) -> None:
        """Raise InputError, naming the first file of these that the folder lacks."""
        for name in names:
            if not self.has(name):
                raise InputError(
                    f"{self.path} is not the folder of a finished training: it has no {name}"
                )

    def read(self, name: str) -> dict[str, Any]:
        """The content of a JSON file; InputError where it is not there, or no dictionary of JSON."""
        self.check([name])
        try:
            found = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{self.path / name} is damaged ({first_line(error)}); copy or train the model anew"
            ) from error
        if not isinstance(found, dict):
            raise InputError(f"{self.path / name} is damaged; copy or train the model anew")
        return found

    @property
    def files(self) -> list[str]:
        """Names of the files that make the finished model; InputError where one is missing."""
        self.check()
        found = [*FINISHED, *(name for name in (TEXT_ENCODER, NEIGHBORHOOD) if self.has(name))]
        tuned = sorted((self.path / TUNED_ENCODER).glob("*"))
        found += [f"{TUNED_ENCODER}/{path.name}" for path in tuned]
        for member in self.members[1:]:
            member.check(OF_MEMBER)
            place = member.path.relative_to(self.path).as_posix()
            found += [f"{place}/{name}" for name in OF_MEMBER]
        return found

    @property
    def metrics(self) -> dict[str, Any]:
        """Scores of each part, the chosen epoch and what was left out."""
        return self.read(METRICS)

    @property
    def training(self) -> dict[str, Any]:
        """Data, machine, versions and seconds of the training."""
        return self.read(TRAINING)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes a number of the model, by name."""
        return self.read(SETTINGS)

    @property
    def network(self) -> dict[str, Any]:
        """The network's configuration."""
        return self.read(NETWORK)

    @property
    def predictions(self) -> list[dict[str, str]]:
        """Rows of `id`, `split`, `target`, `prediction`, and `spread` where there are several networks, in
        the property's own unit."""
        self.check([PREDICTIONS])
        return read_csv(self.path / PREDICTIONS)

    @property
    def history(self) -> list[dict[str, str]]:
        """Rows of `epoch`, `train_loss`, `val_mae`, `learning_rate`."""
        self.check([HISTORY])
        return read_csv(self.path / HISTORY)
