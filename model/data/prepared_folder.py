"""A folder with everything a training reads, for machines with torch, numpy and safetensors and little else.

    PREPARED/prepared.json        settings, digests, scale of the target, what was left out; written last
             crystals.json        ids of each part, and of what was left out
             arrays.safetensors   targets, text vectors or tokens, descriptors, features of the elements
             graphs.npz           the graphs, packed; none where the model reads the text alone
             text_encoder.safetensors   only of an encoder that was fitted on the training texts

The folder is there whole or not at all. Each file's SHA-256 stands in prepared.json, whose own stands in it
too; all are compared when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from curate.errors import InputError
from curate.files import json_text, sha256_of, sync_tree, write_json
from model.config import (
    DRAWN_SPLITS,
    ExampleSettings,
    GraphConfig,
    NetworkConfig,
    TrainConfig,
    flag,
)
from model.data.examples import Examples, FittedEncoder, Prepared, with_wanted_bonds
from model.data.preprocessing import Preprocessing
from model.graphs.packed import PackedGraphs, packed
from model.model_folder import TEXT_ENCODER
from model.network.fusion import fusion_class
from model.text.token_embeddings import TokenEmbeddings

if TYPE_CHECKING:
    from model.text.cache import TextEmbeddings

FORMAT = 1
HEADER, CRYSTALS, ARRAYS, GRAPHS = (
    "prepared.json",
    "crystals.json",
    "arrays.safetensors",
    "graphs.npz",
)
SEAL = "sha256"  # of the rest of the header
FREE = ("data", "cache")  # settings of the examples that change no number of them


@dataclass(frozen=True)
class Origin:
    """Where the examples of a training came from, as its training.json says."""

    data: str | None  # OWNER/NAME on the Hub; None for a folder, whose path means nothing elsewhere
    revision: str | None  # commit on the Hub
    contents: str  # SHA-256 of all that was read of the dataset
    versions: dict[str, str]  # of the libraries that read it


@dataclass(frozen=True)
class StoredEncoder:
    """The file of a text encoder that was fitted where the examples were made."""

    path: Path

    def save(self, path: Path) -> None:
        """Copy it."""
        shutil.copyfile(self.path, path)


@dataclass(frozen=True)
class PreparedFolder:
    """A folder of this kind, whose header was read and found unchanged."""

    path: Path
    header: dict[str, Any]

    @classmethod
    def find(cls, path: str | Path) -> PreparedFolder | None:
        """The folder of this path; None where it is none of this kind.

        Raises:
            InputError: It was made by another version, or its header was changed.
        """
        path = Path(path)
        if not (path / HEADER).is_file():
            return None
        try:
            header = json.loads((path / HEADER).read_text(encoding="utf-8"))
            stated = header.pop(SEAL)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise changed(path, HEADER) from error
        if stated != seal(header):
            raise changed(path, HEADER)
        if header["format"] != FORMAT:
            raise InputError(
                f"{path} was prepared by another version (format {header['format']}, here {FORMAT}): "
                "prepare it anew"
            )
        return cls(path, header)

    @property
    def settings(self) -> dict[str, Any]:
        """What the examples were made with, by the names of the flags."""
        return self.header["settings"]

    @property
    def origin(self) -> Origin:
        """Where the examples came from."""
        return Origin(**self.header["origin"])

    @property
    def overlap(self) -> dict[str, dict[str, int]]:
        """What the crystals of other parts share with the training crystals."""
        return self.header["overlap"]

    def config(self, out: Path, **others: Any) -> TrainConfig:
        """The settings of a training on this folder.

        Args:
            out: Folder of the model.
            others: Settings of the training that are no defaults, as `epochs`.
        """
        stored = dict(self.settings)
        network = NetworkConfig(encoder=stored.pop("encoder"), fusion=stored.pop("fusion"))
        stored["descriptors"] = tuple(stored["descriptors"])
        stored["graph"] = GraphConfig(**stored["graph"])
        return TrainConfig(
            **{**stored, "data": str(self.path), "out": out, "network": network, **others}
        )

    def refuse_others(self, config: TrainConfig) -> None:
        """InputError where a training asks for examples of other settings than these."""
        asked = settings_of_examples(config)
        differing = [
            f"{flag(name)} {_shown(self.settings[name])}, not {_shown(asked[name])}"
            for name in sorted(asked.keys() - {"graph", "encoder", "fusion", "seed"})
            if asked[name] != self.settings[name]
        ]
        if config.tune_text != "no":  # it changes the vectors of the texts
            differing.append(f"--tune-text no, not {config.tune_text}")
        if config.modality != "text":
            differing += self._other_graphs(config)
        if config.seed != self.settings["seed"] and seed_matters(config):
            differing.append(
                f"--seed {self.settings['seed']}, which drew the split, not {config.seed}"
            )
        stored = fusion_class(self.settings["fusion"], config.modality)
        if fusion_class(config.network.fusion, config.modality).reads_tokens != stored.reads_tokens:
            differing.append(f"--fusion {self.settings['fusion']}, not {config.network.fusion}")
        if differing:
            raise InputError(
                f"{self.path} was prepared with {'; '.join(differing)}: leave the flag out, or prepare "
                "another folder with it"
            )

    def _other_graphs(self, config: TrainConfig) -> list[str]:
        """The rules by which these graphs differ from those that a training asks for."""
        own = with_wanted_bonds(self.config(config.out)).graph
        known, wanted = asdict(own), asdict(with_wanted_bonds(config).graph)
        stored, asked = self.settings["encoder"], config.network.encoder
        if known["self_bonds"] != wanted["self_bonds"] and stored != asked:
            known["encoder"], wanted["encoder"] = stored, asked  # which decides about self-bonds
            del known["self_bonds"]
        return [
            f"{flag(name)} {known[name]}, not {wanted[name]}"
            for name in sorted(known)
            if wanted[name] != known[name]
        ]

    def read(self) -> tuple[Prepared, np.ndarray | None]:
        """The examples, and the features of the elements where the model reads graphs.

        Raises:
            InputError: A file is missing, or is not the one that was written.
        """
        for name, digest in self.header["files"].items():
            path = self.path / name
            if not path.is_file() or sha256_of(path).hex() != digest:
                raise changed(self.path, name)
        try:
            crystals = json.loads((self.path / CRYSTALS).read_text(encoding="utf-8"))
            arrays = load_file(self.path / ARRAYS)
            graphs = None
            if GRAPHS in self.header["files"]:
                with np.load(self.path / GRAPHS, allow_pickle=False) as file:
                    graphs = PackedGraphs({name: file[name] for name in file.files})
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise changed(self.path, ARRAYS) from error
        return self._examples(crystals, arrays, graphs), arrays.get("elements")

    def _examples(
        self, crystals: dict[str, Any], arrays: dict[str, np.ndarray], graphs: PackedGraphs | None
    ) -> Prepared:
        texts: TextEmbeddings | None = arrays.get("texts")
        if "tokens" in arrays:
            texts = TokenEmbeddings(arrays["tokens"], arrays["token_ends"])
        ids: dict[str, list[str]] = crystals["ids"]
        parts, start = {}, 0
        for part, names in ids.items():
            numbers = np.arange(start, start + len(names), dtype=np.int64)
            start += len(names)
            parts[part] = Examples(
                ids=names,
                graphs=graphs,
                graph_numbers=numbers,
                texts=texts,
                numbers=numbers,
                targets=arrays["standardised"],
                descriptors=arrays.get("descriptors"),
            )
        everything = [name for names in ids.values() for name in names]
        encoder = self.path / TEXT_ENCODER
        return Prepared(
            parts=parts,
            targets=dict(zip(everything, arrays["targets"].tolist(), strict=True)),
            dropped=crystals["dropped"],
            preprocessing=Preprocessing.recorded(self.header["preprocessing"]),
            encoder=StoredEncoder(encoder) if encoder.name in self.header["files"] else None,
            ids=ids,
            texts_sha256=self.header["texts_sha256"],
        )


def write(
    folder: Path,
    prepared: Prepared,
    config: TrainConfig,
    origin: Origin,
    overlap: Mapping[str, Mapping[str, int]],
    elements: np.ndarray | None,
) -> None:
    """Write the folder.

    Args:
        folder: Where; it must not exist, or be empty.
        prepared: The examples.
        config: What they were made with.
        origin: Where they came from.
        overlap: What other parts share with the training part.
        elements: (101, 92) features of the elements, of which networks are made; None without graphs.

    Raises:
        InputError: The folder holds something.
        OSError: It cannot be written.
    """
    refuse_full(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{platform.node()}-{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        ids = {part: list(examples.ids) for part, examples in prepared.parts.items()}  # type: ignore[attr-defined]
        write_json(partial / CRYSTALS, {"ids": ids, "dropped": prepared.dropped})
        (partial / ARRAYS).write_bytes(save(arrays_of(prepared, elements)))
        first = prepared.parts["train"][0]
        if first.graph is not None:
            graphs = [example.graph for part in prepared.parts.values() for example in part]
            np.savez_compressed(partial / GRAPHS, **packed(graphs))  # type: ignore[arg-type]
        if isinstance(prepared.encoder, FittedEncoder):
            prepared.encoder.save(partial / TEXT_ENCODER)
        header = {
            "format": FORMAT,
            "settings": settings_of_examples(config),
            "origin": asdict(origin),
            "texts_sha256": prepared.texts_sha256,
            "preprocessing": asdict(prepared.preprocessing),
            "overlap": overlap,
            "files": {path.name: sha256_of(path).hex() for path in sorted(partial.iterdir())},
        }
        header = json.loads(json.dumps(header))
        write_json(partial / HEADER, {**header, SEAL: seal(header)})
        sync_tree(partial)
        with suppress(FileNotFoundError):
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_full(folder: Path) -> None:
    """InputError where the folder holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; use a new --out")


def arrays_of(prepared: Prepared, elements: np.ndarray | None) -> dict[str, np.ndarray]:
    """All numbers of the examples but their graphs, one part after another."""
    examples = [example for part in prepared.parts.values() for example in part]
    arrays = {
        "targets": np.array([prepared.targets[example.id] for example in examples], np.float64),
        "standardised": np.array([example.target for example in examples], np.float64),
    }
    if elements is not None:
        arrays["elements"] = elements
    texts = [example.text for example in examples if example.text is not None]
    if texts and texts[0].ndim == 1:
        arrays["texts"] = np.stack(texts)
    elif texts:
        arrays["tokens"] = np.concatenate(texts)
        arrays["token_ends"] = np.cumsum([len(text) for text in texts], dtype=np.int64)
    rows = [example.descriptors for example in examples if example.descriptors is not None]
    if rows:
        arrays["descriptors"] = np.stack(rows)
    return arrays


def settings_of_examples(config: TrainConfig) -> dict[str, Any]:
    """What the examples of a training are made with, as JSON has it."""
    names = [field.name for field in fields(ExampleSettings) if field.name not in FREE]
    asked = {name: getattr(config, name) for name in names}
    asked |= {
        "graph": asdict(config.graph),
        "encoder": config.network.encoder,
        "fusion": config.network.fusion,
    }
    return json.loads(json.dumps(asked))


def seed_matters(config: ExampleSettings) -> bool:
    """Whether another seed would make other examples."""
    drawn = config.folds is not None or config.split in DRAWN_SPLITS
    return drawn or config.train_fraction < 1 or config.text == "shuffled"


def seal(header: Mapping[str, Any]) -> str:
    """SHA-256 of a header."""
    return hashlib.sha256(json_text(header).encode()).hexdigest()


def changed(folder: Path, name: str) -> InputError:
    """That a file is not the one that was written."""
    return InputError(
        f"{folder / name} is missing or is not the file that was prepared: copy the folder or prepare it anew"
    )


def _shown(value: Any) -> str:
    """A value as a flag has it."""
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
