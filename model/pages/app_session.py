"""What the app does with an uploaded crystal, step by step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

from curate.describe.description import describe
from curate.errors import InputError
from curate.record import StructureRecord
from curate.vocabulary import translated
from curate.work.pool import FailedTask, Limits, work
from model.model_folder import ModelFolder
from model.pages.upload import read_upload
from model.predict.nearest_crystals import Neighbor, TrainingCrystals, embedded
from model.predict.predictor import Predictor
from model.predict.sentence_attribution import attribute_sentences
from model.search import Match, SearchIndex

log = logging.getLogger(__name__)

TO_READ = Limits(1, 20.0, 1.0)  # s and GiB for a file, in a process of its own
TO_DESCRIBE = Limits(1, 60.0, 2.0)  # for a text
N_NEIGHBORS = 8
N_FOUND = 10  # crystals for a question


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
        self.texts = None if data is None else texts_of(data, cache)
        self.one_at_a_time = Lock()  # predictions: short, and each takes all threads
        within(
            TO_DESCRIBE, "starting", str
        )  # else the first visitor waits for the workers' imports

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
        record = within(TO_READ, "reading it", read_upload, path)
        size = f"{record.chemical_formula_reduced}, {record.nsites} atoms in the cell"
        if record.note:
            size += f" ({record.note})"
        if unseen := self.predictor.unseen_elements(record):
            size += f"; the model has seen no training crystal with {', '.join(unseen)}"
        yield {"status": f"{size}. Describing …", "structure": record}
        started = perf_counter()
        if self.preprocessing.modality == "graph":
            with self.one_at_a_time:
                (prediction,) = self.predictor.predict([record])
            if prediction.value is None:
                raise InputError(str(prediction.error))
            found: dict[str, Any] = {"prediction": (prediction.value, None)}
            status = f"{size}. This model sees the structure only and reads no text."
        else:
            found_text = within(TO_DESCRIBE, "describing it", describe, record)
            if found_text.text is None:
                reason = found_text.error_message or found_text.status
                raise InputError(f"no description: {reason}")
            record = replace(
                record, description=found_text.text, description_origin=found_text.origin
            )
            seconds = perf_counter() - started
            status = f"{size}. Described in {seconds:.1f} s."
            yield {"status": f"{status} Predicting …", "text": record.description}
            with self.one_at_a_time:
                attribution = attribute_sentences(self.predictor, record)
            found = {
                "prediction": (attribution.prediction, attribution.without_text),
                "attribution": attribution,
            }
        with self.one_at_a_time:
            found["neighbors"] = self.neighbors(record)
        yield {"status": status, **found}

    def search(self, question: str) -> tuple[list[Match], str]:
        """The crystals of the dataset whose texts fit a question best, and what is to be said of it."""
        if self.texts is None or not question.strip():
            return [], ""
        _, replaced = translated(question)
        said = ", ".join(f"{word} as {other}" for word, other in replaced.items())
        try:
            with self.one_at_a_time:
                return self.texts.search(question, N_FOUND), f"Reading {said}." if said else ""
        except InputError as error:
            return [], str(error)

    def neighbors(self, record: StructureRecord) -> list[Neighbor] | None:
        """Training crystals like this one; None where they are not known."""
        if self.known is None:
            return None
        vectors, _ = embedded(self.predictor, [record])
        return self.known.nearest(vectors[0], N_NEIGHBORS)


def texts_of(data: str, cache: Path | None) -> SearchIndex | None:
    """The texts of a dataset; None, with a warning, where it has none."""
    try:
        return SearchIndex.open(data, cache=cache)
    except InputError as error:
        log.warning("the texts can't be searched: %s", error)
        return None


def within(limits: Limits, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own, which others need not wait for.

    Raises InputError where it does so, takes longer than the limits allow, or its process dies.
    """
    ((_, outcome),) = work(function, [(None, arguments)], limits)
    if not isinstance(outcome, FailedTask):
        return outcome
    if outcome.error_type == InputError.__name__:
        raise InputError(outcome.error_message)
    raise InputError(f"{what} was given up: {outcome.error_message}")
