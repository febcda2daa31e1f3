"""Predict a property of new crystals; a crystal without a text is described first."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from curate.batches import in_batches
from curate.errors import InputError, named
from curate.files import cache_folder
from curate.record import Description, SkippedEntry, StructureRecord
from curate.run.schema import record_of_row
from curate.sources.file_names import kind, name_of
from curate.sources.files import Files, read_file
from model.config import PredictConfig
from model.data.materials import load_rows
from model.data.neighborhood import Neighborhood
from model.data.preprocessing import Preprocessing
from model.descriptors import Crystal, chosen, descriptor_values
from model.files import write_csv
from model.graphs.build import build_graphs
from model.model_folder import TEXT_ENCODER, TUNED_ENCODER, ModelFolder
from model.network.batch import Example
from model.network.crysmmnet import CrysMMNet
from model.network.ensemble import ensemble_outputs
from model.statistics.conformal import LEVEL, check_level
from model.text.cache import AnyEncoder, EmbeddingCache, TextEmbeddings
from model.text.encoder import Pooling, TextEncoder
from model.text.tfidf import TFIDF, TfidfEncoder
from model.text.tune import RECORD, TUNED
from model.training.calibration import Calibration

if TYPE_CHECKING:
    from pymatgen.core import Structure

log = logging.getLogger(__name__)

COLUMNS = ("prediction", "unit", "margin", "level", "unlike", "error")  # of a table of predictions
VALUES = {
    "prediction": "value"
}  # what a column is called in a Prediction, where it is not the same
CRYSTALS_PER_READ = 1_000  # described, encoded and predicted before the next are read


@dataclass(frozen=True)
class Prediction:
    """The property of one crystal, or the reason why there is none."""

    id: str
    value: float | None = None
    unit: str = ""
    margin: float | None = (
        None  # half-width of an interval that holds for a share `level` of new crystals
    )
    level: float | None = None  # None where there is no margin: the validation part is too small
    unlike: str | None = None  # how the crystal is unlike all that the model learned from
    error: str | None = None
    without_text: bool = False  # whether a model that reads text had none of this crystal
    target: str = ""  # where several models predict: which property


class Predictor:
    """A trained model that takes structures."""

    def __init__(
        self,
        networks: Sequence[CrysMMNet],
        preprocessing: Preprocessing,
        cache: Path,
        folder: ModelFolder,
    ) -> None:
        self.networks = [network.eval() for network in networks]
        self.preprocessing, self.folder = preprocessing, folder
        self.calibration = Calibration.from_folder(folder)
        self.neighborhood = Neighborhood.load(folder)
        self.cache = EmbeddingCache(cache)
        self.describe: Callable[[StructureRecord], Description] = description_of

    @property
    def model(self) -> CrysMMNet:
        """The first network, whose view of a crystal stands for that of all."""
        return self.networks[0]

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
        networks = [CrysMMNet.from_pretrained(member.path) for member in folder.members]
        for network in networks:
            if network.settings.modality != preprocessing.modality:
                raise InputError(
                    f"{folder.path} has a network of modality {network.settings.modality} and the "
                    f"preprocessing of {preprocessing.modality}; copy or train the model anew"
                )
        return cls(networks, preprocessing, cache or cache_folder(), folder)

    def predict(
        self,
        structures: Iterable[StructureRecord | Structure],
        batch_size: int = 64,
        without_text: bool = False,
        level: float = LEVEL,
    ) -> list[Prediction]:
        """Predict the property of crystals, each with a margin.

        Args:
            structures: Structure records, whose own description is used where they have one, or
                pymatgen's structures.
            batch_size: Crystals computed at once.
            without_text: Whether to read no text, nor make one; for models that learned without texts
                too (`--modality-dropout`). They also do so where a crystal can't be described.
            level: Share of new crystals whose margin is to hold, above 0 and below 1.

        Returns:
            One prediction for each, in order, in the property's own unit, the mean of the networks; one that
            fails says why and costs no other.

        Raises:
            InputError: The level is no share, the text encoder is not the one of the training, or the model
                has not learned to go without a text.
        """
        if without_text and self.model.sees_text and not self.model.can_lack_text:
            raise InputError(
                f"{self.folder.path} has not learned to predict without a text: train with --modality-dropout"
            )
        check_level(level)
        records = [
            record_or_reason(structure, f"structure {number}")
            for number, structure in enumerate(structures, 1)
        ]
        good = [record for record in records if isinstance(record, StructureRecord)]
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
        found = ensemble_outputs(self.networks, [example for _, example in ready], batch_size)
        values = self.preprocessing.restore(found.means)
        spreads = found.spreads
        if spreads is not None:
            spreads = self.preprocessing.restore_spread(spreads, values)
        margins = self.calibration.margins(values, spreads, level)
        far = self.far_from_training(found.vectors)
        for (position, example), value, margin, is_far in zip(
            ready, values, margins, far, strict=True
        ):
            record = records[position]
            assert isinstance(record, StructureRecord)
            known = math.isfinite(margin)
            result = Prediction(
                example.id,
                float(value),
                self.preprocessing.unit,
                margin=float(margin) if known else None,
                level=level if known else None,
                unlike=self.unlike(record, bool(is_far)),
                without_text=self.model.sees_text and example.text is None,
            )
            if not math.isfinite(value):  # of weights that are damaged
                result = Prediction(
                    example.id, error=f"the model gives {value}, which is no number"
                )
            results[position] = result
        self.warn_of_unlike(good, {result.id for result in results if result and result.unlike})
        return [result for result in results if result is not None]

    def far_from_training(self, vectors: np.ndarray) -> np.ndarray:
        """Whether each of n crystals, (n, width) as the head of the first network reads them, is further from
        every training crystal than 99 % of the validation crystals; no where the folder does not know."""
        known = self.neighborhood
        if known is None:
            return np.zeros(len(vectors), bool)
        return known.distances(vectors) > known.limit

    def unlike(self, record: StructureRecord, is_far: bool) -> str | None:
        """How a crystal is unlike what the model learned from, in words; None where it is not."""
        said = []
        if elements := self.unseen_elements(record):
            said.append(f"no training crystal has {', '.join(elements)}")
        if is_far:
            said.append("far from all training crystals")
        return "; ".join(said) or None

    def unseen_elements(self, record: StructureRecord) -> list[str]:
        """Elements of a crystal that no training crystal has; none where the folder, of an earlier
        version, does not know its training elements."""
        known = self.preprocessing.elements
        return sorted(set(record.species_at_sites).difference(known)) if known else []

    def warn_of_unlike(self, records: Iterable[StructureRecord], unlike: set[str]) -> None:
        """Two lines at most: the crystals with elements that no training crystal has, and the others that are
        far from all of them."""
        unseen = {record.material_id: self.unseen_elements(record) for record in records}
        if crystals := {material_id for material_id, elements in unseen.items() if elements}:
            elements = named({symbol for symbols in unseen.values() for symbol in symbols})
            log.warning("no training crystal has %s, as %s", elements, named(crystals))
        if far := unlike - crystals:
            log.warning("far from all training crystals: %s", named(far))

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
            made = self.describe(replace(record, description=None, description_origin=None))
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
        if known.text_encoder == TFIDF:
            self.folder.check([TEXT_ENCODER])
            return TfidfEncoder.load(self.folder.path / TEXT_ENCODER)
        pooling = cast(Pooling, (known.text_recipe or {}).get("pooling", "cls"))
        if known.text_encoder == TUNED:
            self.folder.check([f"{TUNED_ENCODER}/{RECORD}"])
            return TextEncoder(str(self.folder.path / TUNED_ENCODER), pooling=pooling)
        return text_encoder(str(known.text_encoder), known.text_revision, pooling)

    def described(self, record: StructureRecord) -> StructureRecord | str:
        """The record with a description: its own, or a new one."""
        if record.description:
            return record
        result = self.describe(record)
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


@lru_cache(maxsize=1)
def text_encoder(name: str, revision: str | None, pooling: Pooling) -> TextEncoder:
    """The encoder, loaded once for all models that read its vectors."""
    return TextEncoder(name, revision, pooling)


class DescribedOnce:
    """Descriptions that several models ask for, each made once."""

    def __init__(self) -> None:
        self.known: dict[str, Description] = {}

    def __call__(self, record: StructureRecord) -> Description:
        """The description of a record that has none of its own; records differ in their ids."""
        if record.material_id not in self.known:
            self.known[record.material_id] = description_of(record)
        return self.known[record.material_id]


def predict(config: PredictConfig) -> Iterator[Prediction]:
    """A prediction for every crystal asked for, in order; of several models, one after another."""
    check_level(config.level)
    places = (str(config.model), *config.also)
    predictors = [Predictor.from_pretrained(place, config.cache) for place in places]
    several = len(predictors) > 1
    names = property_names([one.preprocessing.target for one in predictors], places)
    written: list[tuple[Prediction, ...]] = []
    say_shortages(predictors, config.level)
    for some in in_batches(read_crystals(config.crystals), CRYSTALS_PER_READ):
        good = [record for record in some if isinstance(record, StructureRecord)]
        described = DescribedOnce()
        found = []
        for name, predictor in zip(names, predictors, strict=True):
            predictor.describe = described
            values = predictor.predict(good, config.batch_size, config.without_text, config.level)
            found.append([replace(value, target=name) if several else value for value in values])
        each = zip(*found, strict=True)
        for record in some:
            if isinstance(record, Prediction):
                row = tuple(replace(record, target=name if several else "") for name in names)
            else:
                row = next(each)
            written.append(row)
            yield from row
    if config.out:
        write_predictions(config.out, names if several else [], written)


def say_shortages(predictors: Iterable[Predictor], level: float) -> None:
    """One line on each model whose validation part is too small for the level."""
    for predictor in predictors:
        if said := predictor.calibration.shortage(level):
            log.warning("%s: %s", predictor.folder.path, said)


def property_names(targets: Sequence[str], places: Sequence[str]) -> list[str]:
    """What the predictions of several models are called: their targets, with the model's name where two
    have the same, and with the whole path where folders have the same name too."""
    names = [
        target if targets.count(target) == 1 else f"{target} ({Path(place).name})"
        for target, place in zip(targets, places, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{target} ({place})"
        for name, target, place in zip(names, targets, places, strict=True)
    ]


def write_predictions(
    path: Path, names: Sequence[str], rows: Sequence[tuple[Prediction, ...]]
) -> None:
    """Write one line a crystal: columns of COLUMNS, for each of several models with its name before them."""
    columns = [f"{name} {column}" for name in names for column in COLUMNS] if names else COLUMNS
    lines = (
        (
            row[0].id,
            *(getattr(one, VALUES.get(column, column)) for one in row for column in COLUMNS),
        )
        for row in rows
    )
    write_csv(path, ("id", *columns), lines)


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
    """Whether a place is a pattern of names."""
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
