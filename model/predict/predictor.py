"""Predict a property of new crystals; a crystal without a text is described first."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from curate.batches import in_batches
from curate.errors import InputError, named
from curate.files import cache_folder
from curate.record import Description, SkippedEntry, StructureRecord
from curate.run.schema import record_of_row
from curate.sources.file_names import kind, name_of
from curate.sources.files import Files, read_file
from model.config import PredictConfig
from model.data.materials import load_rows
from model.data.preprocessing import Preprocessing
from model.descriptors import Crystal, chosen, descriptor_values
from model.files import write_csv
from model.graphs.build import build_graphs
from model.model_folder import TEXT_ENCODER, TUNED_ENCODER, ModelFolder
from model.network.batch import Example
from model.network.crysmmnet import CrysMMNet
from model.network.inference import infer
from model.text.cache import AnyEncoder, EmbeddingCache, TextEmbeddings
from model.text.encoder import Pooling, TextEncoder
from model.text.tfidf import TFIDF, TfidfEncoder
from model.text.tune import RECORD, TUNED

if TYPE_CHECKING:
    import numpy as np
    from pymatgen.core import Structure

log = logging.getLogger(__name__)

CRYSTALS_PER_READ = 1_000  # described, encoded and predicted before the next are read


@dataclass(frozen=True)
class Prediction:
    """The property of one crystal, or the reason why there is none."""

    id: str
    value: float | None = None
    unit: str = ""
    error: str | None = None
    without_text: bool = False  # whether a model that reads text had none of this crystal


class Predictor:
    """A trained model that takes structures."""

    def __init__(
        self,
        model: CrysMMNet,
        preprocessing: Preprocessing,
        cache: Path,
        folder: ModelFolder | None = None,
    ) -> None:
        self.model, self.preprocessing, self.folder = model.eval(), preprocessing, folder
        self.cache = EmbeddingCache(cache)

    @classmethod
    def from_pretrained(
        cls, place: str | Path, cache: Path | None = None, revision: str | None = None
    ) -> Predictor:
        """Load a trained model.

        Args:
            place: Its folder, or OWNER/NAME on the Hub.
            cache: Folder where text embeddings are kept; the user's cache folder if None.
            revision: Commit or tag on the Hub; the newest if None.

        Raises:
            InputError: There is no such model, its weights are no safetensors, or it was trained on
                something else than descriptions.
        """
        folder = ModelFolder.find(place, revision)
        preprocessing = Preprocessing.load_for_prediction(folder)
        model = CrysMMNet.from_pretrained(folder.path)
        return cls(model, preprocessing, cache or cache_folder(), folder)

    def predict(
        self,
        structures: Iterable[StructureRecord | Structure],
        batch_size: int = 64,
        without_text: bool = False,
    ) -> list[Prediction]:
        """Predict the property of crystals.

        Args:
            structures: Structure records, whose own description is used where they have one, or
                pymatgen's structures.
            batch_size: Crystals computed at once.
            without_text: Whether to read no text, nor make one; for models that learned without texts
                too (`--modality-dropout`). They also do so where a crystal can't be described.

        Returns:
            One prediction for each, in order, in the property's own unit; one that fails says why
            and costs no other.

        Raises:
            InputError: The text encoder is not the one of the training, or the model has not learned to
                go without a text.
        """
        if without_text and not self.model.can_lack_text:
            raise InputError(
                "the model has not learned to predict without a text: train with --modality-dropout"
            )
        records = [
            record_or_reason(structure, f"structure {number}")
            for number, structure in enumerate(structures, 1)
        ]
        good = [record for record in records if isinstance(record, StructureRecord)]
        self.warn_of_unseen_elements(good)
        made = self.examples(good, without_text)
        results: list[Prediction | None] = [None] * len(records)
        ready = []
        for position, record in enumerate(records):
            if isinstance(record, Prediction):
                results[position] = record
            elif isinstance(example := next(made), str):
                results[position] = Prediction(record.material_id, error=example)
            else:
                ready.append((position, example))
        outputs = infer(self.model, [example for _, example in ready], batch_size)
        values = self.preprocessing.restore(outputs)
        for (position, example), value in zip(ready, values, strict=True):
            lacks_text = self.model.sees_text and example.text is None
            unit = self.preprocessing.unit
            result = Prediction(example.id, float(value), unit, without_text=lacks_text)
            if not math.isfinite(value):  # of weights that are damaged
                result = Prediction(
                    example.id, error=f"the model gives {value}, which is no number"
                )
            results[position] = result
        return [result for result in results if result is not None]

    def unseen_elements(self, record: StructureRecord) -> list[str]:
        """Elements of a crystal that no training crystal has; none where the folder, of an earlier
        version, does not know its training elements."""
        known = self.preprocessing.elements
        return sorted(set(record.species_at_sites).difference(known)) if known else []

    def warn_of_unseen_elements(self, records: Iterable[StructureRecord]) -> None:
        """One line on the crystals whose elements the model has not learned from."""
        unseen = {record.material_id: self.unseen_elements(record) for record in records}
        if crystals := {material_id for material_id, elements in unseen.items() if elements}:
            elements = named({symbol for symbols in unseen.values() for symbol in symbols})
            log.warning("no training crystal has %s, as %s", elements, named(crystals))

    def examples(
        self, records: Sequence[StructureRecord], without_text: bool = False
    ) -> Iterator[Example | str]:
        """What the model sees of each record, or the reason why it can't."""
        modality = self.preprocessing.modality
        reads_text = modality != "graph" and not without_text
        crystals = [self.crystal_of(record, reads_text) for record in records]
        good = [crystal for crystal in crystals if isinstance(crystal, Crystal)]
        described = [one.record for one in good if reads_text and one.record.description]
        embeddings = iter(self.embedded(described)) if described else iter(())
        vectors = (
            next(embeddings) if reads_text and one.record.description else None for one in good
        )
        numbers = iter(self.descriptors_of(good))
        graphs = iter(build_graphs([one.record for one in good], self.preprocessing.graph))
        for crystal in crystals:
            if isinstance(crystal, str):
                yield crystal
                continue
            text, descriptors = next(vectors), next(numbers)
            graph = None if modality == "text" else next(graphs)
            if isinstance(graph, str):
                yield graph
            else:
                yield Example(crystal.record.material_id, graph, text, descriptors=descriptors)

    def crystal_of(self, record: StructureRecord, reads_text: bool = True) -> Crystal | str:
        """The record with the description and the condensed structure that the model reads, each made
        where it is missing; or the reason why there is none.

        A model that learned to go without texts gets the record without one where it can't be described.
        """
        found = self._crystal_of(record, reads_text and self.preprocessing.modality != "graph")
        if isinstance(found, str) and self.model.can_lack_text:
            log.warning("%s is predicted without its text: %s", record.material_id, found)
            return Crystal(record)
        return found

    def _crystal_of(self, record: StructureRecord, wants_text: bool) -> Crystal | str:
        scale = self.preprocessing.descriptors
        if scale and any(one.reads_condensed for one in chosen(scale.names)):
            made = description_of(replace(record, description=None, description_origin=None))
            if made.condensed_structure is None:
                reason = made.error_message or made.status
                log.warning(
                    "%s has no condensed structure (%s): the training mean stands for its numbers",
                    record.material_id,
                    reason,
                )
                if wants_text and not record.description:
                    return f"no description: {reason}"
            elif wants_text and not record.description:
                record = replace(record, description=made.text, description_origin=made.origin)
            return Crystal(record, made.condensed_structure)
        described = self.described(record) if wants_text else record
        return described if isinstance(described, str) else Crystal(described)

    def descriptors_of(self, crystals: Sequence[Crystal]) -> Sequence[np.ndarray | None]:
        """The standardised descriptors of each crystal; None where the model reads none."""
        scale = self.preprocessing.descriptors
        if scale is None:
            return [None] * len(crystals)
        scale.check()
        return list(
            scale.standardise(descriptor_values(scale.names, crystals, self.cache.path.parent))
        )

    @cached_property
    def encoder(self) -> AnyEncoder:
        """The text encoder of the training, loaded once."""
        known = self.preprocessing
        if known.text_encoder == TFIDF and self.folder is not None:
            self.folder.check([TEXT_ENCODER])
            return TfidfEncoder.load(self.folder.path / TEXT_ENCODER)
        recipe = known.text_recipe or {}
        if known.text_encoder == TUNED and self.folder is not None:
            self.folder.check([f"{TUNED_ENCODER}/{RECORD}"])
            place = str(self.folder.path / TUNED_ENCODER)
            return TextEncoder(place, pooling=cast(Pooling, recipe.get("pooling", "cls")))
        pooling = cast(Pooling, recipe.get("pooling", "cls"))
        return TextEncoder(str(known.text_encoder), known.text_revision, pooling)

    def described(self, record: StructureRecord) -> StructureRecord | str:
        """The record with a description: its own, or a new one."""
        if record.description:
            return record
        result = description_of(record)
        if result.text is None:
            return f"no description: {result.error_message or result.status}"
        return replace(record, description=result.text, description_origin=result.origin)

    def embedded(self, records: Sequence[StructureRecord]) -> TextEmbeddings:
        """Embeddings of n descriptions, by the encoder of the training and no other."""
        known = self.preprocessing.description_origins
        for origin in sorted({record.description_origin or "unknown" for record in records}):
            if origin not in known:
                log.warning(
                    "descriptions by %s; the model learned from %s", origin, ", ".join(known)
                )
        encoder = self.encoder
        if encoder.recipe != self.preprocessing.text_recipe:
            raise InputError(
                f"the text encoder {encoder.name!r} is not the one of the training: "
                f"{encoder.recipe} instead of {self.preprocessing.text_recipe}"
            )
        return self.cache.embed([record.description or "" for record in records], encoder)


def description_of(record: StructureRecord) -> Description:
    """Robocrystallographer's text and condensed structure of a crystal, or why there is none."""
    from curate.describe.description import describe
    from curate.describe.options import DescribeOptions

    return describe(record, DescribeOptions())


def predict(config: PredictConfig) -> Iterator[Prediction]:
    """A prediction for every crystal asked for, in order."""
    predictor = Predictor.from_pretrained(config.model, config.cache)
    written = []
    for some in in_batches(read_crystals(config.crystals), CRYSTALS_PER_READ):
        good = [record for record in some if isinstance(record, StructureRecord)]
        values = iter(predictor.predict(good, config.batch_size, config.without_text))
        for record in some:
            prediction = record if isinstance(record, Prediction) else next(values)
            written.append(prediction)
            yield prediction
    if config.out:
        rows = ((p.id, p.value, p.unit, p.error) for p in written)
        write_csv(config.out, ("id", "prediction", "unit", "error"), rows)


def read_crystals(places: Sequence[str]) -> Iterator[StructureRecord | Prediction]:
    """The crystals of files, folders and globs, or of one dataset; as `curate build --db files` reads
    them. One that can't be read is a prediction that failed, with the reason.

    Of crystals with one id, as of files with one name in two folders, the later have their folder in it.
    """
    if len(places) == 1 and not holds_structures(Path(places[0])):
        for row in load_rows(places[0]):
            yield record_of_row(row)
        return
    known: set[str] = set()
    for path in files_of(places):
        if isinstance(path, Prediction):
            yield path
            continue
        for entry in read_file(path):
            if entry.material_id in known:
                other_id = f"{path.parent}/{entry.material_id}"
                log.warning("%s: a second crystal %s, called %s", path, entry.material_id, other_id)
                entry = replace(entry, material_id=other_id)
            known.add(entry.material_id)
            if isinstance(entry, SkippedEntry):
                yield Prediction(entry.material_id, error=entry.error_message)
                continue
            if entry.note:
                log.warning("%s: %s", entry.material_id, entry.note)
            yield entry


def files_of(places: Sequence[str]) -> Iterator[Path | Prediction]:
    """The structure files of each place; a place that has none is a prediction that failed."""
    for place in places:
        path = Path(place)
        try:
            source = Files(path)
        except InputError as error:
            is_missing = not path.exists() and not is_glob(place)
            reason = f"{place}: No such file" if is_missing else str(error).removeprefix("--input ")
            yield Prediction(name_of(path), error=reason)
            continue
        source.say_passed_over()
        yield from source.paths


def holds_structures(place: Path) -> bool:
    """Whether a place is a structure file, a folder of some or a glob; else it is a dataset's."""
    if place.is_dir():
        is_dataset = (place / "dataset").is_dir() or any(place.glob("default/*.parquet"))
        return not is_dataset and any(kind(path) for path in place.rglob("*"))
    return place.exists() or is_glob(str(place)) or bool(kind(place))


def is_glob(place: str) -> bool:
    return any(letter in place for letter in "*?[")


def record_or_reason(
    structure: StructureRecord | Structure, material_id: str
) -> StructureRecord | Prediction:
    """The structure's record, or a failed prediction that says why it has none."""
    if isinstance(structure, StructureRecord):
        return structure
    try:
        return StructureRecord.from_pymatgen(structure, material_id)
    except ValueError as error:
        return Prediction(material_id, error=str(error))
