"""What the app does with an uploaded crystal, step by step."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from curate.describe.condense import warm_up
from curate.errors import InputError
from curate.record import StructureRecord
from model.model_folder import ModelFolder
from model.predict.nearest_crystals import Neighbor, TrainingCrystals, embedded
from model.predict.predictor import Predictor, read_crystals
from model.predict.sentence_attribution import attribute_sentences

log = logging.getLogger(__name__)

MAX_ATOMS = 200  # in a cell: a page for trying is to answer in seconds
N_NEIGHBORS = 8


class AppSession:
    """What the page does with one model."""

    def __init__(self, place: str | Path, data: str | None, cache: Path | None) -> None:
        folder = ModelFolder.find(place)
        self.predictor = Predictor.from_pretrained(folder.path, cache)
        self.preprocessing = self.predictor.preprocessing
        self.unit = "" if self.preprocessing.unit in ("1", "unknown") else self.preprocessing.unit
        self.known = TrainingCrystals.load(folder)
        if data is not None:
            log.info("reading the training crystals of %s", data)
            self.known = TrainingCrystals.from_dataset(self.predictor, folder, data)
        if self.preprocessing.modality != "graph":
            warm_up()  # else the first visitor waits for Robocrystallographer's import

    def answer(self, upload: str | None) -> Iterator[dict[str, Any]]:
        """What is known after each step of a file: `status`, then `structure`, a record, `text`, the
        description, `prediction`, with and without text, `attribution` and `neighbors`."""
        if upload is None:
            yield {"status": ""}
            return
        try:
            yield from self.steps(Path(upload))
        except InputError as error:
            yield {"status": f"{Path(upload).name}: {error}"}

    def steps(self, path: Path) -> Iterator[dict[str, Any]]:
        """The steps of a file that can be read; InputError says in one sentence why not."""
        yield {"status": f"Reading {path.name} …"}
        record = read_upload(path)
        size = f"{record.chemical_formula_reduced}, {record.nsites} atoms in the cell"
        if record.note:
            size += f" ({record.note})"
        if unseen := self.predictor.unseen_elements(record):
            size += f"; the model has seen no training crystal with {', '.join(unseen)}"
        yield {"status": f"{size}. Describing …", "structure": record}
        started = perf_counter()
        if self.preprocessing.modality == "graph":
            (prediction,) = self.predictor.predict([record])
            if prediction.value is None:
                raise InputError(str(prediction.error))
            found: dict[str, Any] = {"prediction": (prediction.value, None)}
            status = f"{size}. This model sees the structure only and reads no text."
        else:
            described = self.predictor.described(record)
            if isinstance(described, str):
                raise InputError(described)
            record = described
            seconds = perf_counter() - started
            status = f"{size}. Described in {seconds:.1f} s."
            yield {"status": f"{status} Predicting …", "text": record.description}
            attribution = attribute_sentences(self.predictor, record)
            found = {
                "prediction": (attribution.prediction, attribution.without_text),
                "attribution": attribution,
            }
        yield {"status": status, **found, "neighbors": self.neighbors(record)}

    def neighbors(self, record: StructureRecord) -> list[Neighbor] | None:
        """Training crystals like this one; None where they are not known."""
        if self.known is None:
            return None
        vectors, _ = embedded(self.predictor, [record])
        return self.known.nearest(vectors[0], N_NEIGHBORS)


def read_upload(path: Path) -> StructureRecord:
    """The crystal in a file; InputError where there is none, or a cell too large to try."""
    found = list(read_crystals([str(path)]))
    record = found[0]
    if not isinstance(record, StructureRecord):
        raise InputError(str(record.error).removeprefix(f"{path}: ").removeprefix(f"{path.name}: "))
    if len(found) > 1:
        raise InputError(f"it holds {len(found)} crystals; this page takes one at a time")
    if record.nsites > MAX_ATOMS:
        raise InputError(f"{record.nsites} atoms; this page takes cells of up to {MAX_ATOMS}")
    return record
