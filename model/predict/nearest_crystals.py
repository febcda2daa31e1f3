"""Nearest training crystals in embedding space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.files import write_table
from curate.record import StructureRecord
from curate.run.schema import record_of_row
from model.data.materials import load_rows
from model.model_folder import TRAINING_CRYSTALS, ModelFolder
from model.network.batch import Example
from model.network.inference import embed
from model.predict.predictor import Predictor

EMBEDDING_BATCH = 64  # crystals


@dataclass(frozen=True)
class Neighbor:
    """A training crystal near a new one."""

    id: str
    formula: str
    target: float  # in the property's own unit
    similarity: float  # cosine of what the model's head reads of both; 1 where they look the same


@dataclass(frozen=True)
class TrainingCrystals:
    """All of them, with what the head reads of each."""

    ids: list[str]
    formulas: list[str]
    targets: list[float]
    vectors: np.ndarray  # (n, width) float32, of length 1

    @classmethod
    def from_dataset(cls, predictor: Predictor, folder: ModelFolder, data: str) -> TrainingCrystals:
        """Embed the training crystals of a model.

        Args:
            predictor: The model.
            folder: Its folder, which knows the ids and targets of the crystals.
            data: The dataset with their structures and texts.

        Raises:
            InputError: The dataset can't be read.
        """
        targets = {
            row["id"]: float(row["target"]) for row in folder.predictions if row["split"] == "train"
        }
        records = [record_of_row(row) for row in load_rows(data) if row["material_id"] in targets]
        vectors, kept = embedded(predictor, records)
        return cls(
            [record.material_id for record in kept],
            [record.chemical_formula_reduced for record in kept],
            [targets[record.material_id] for record in kept],
            vectors,
        )

    @classmethod
    def load(cls, folder: ModelFolder) -> TrainingCrystals | None:
        """Those that were stored in a model folder; None where there are none."""
        if not folder.has(TRAINING_CRYSTALS):
            return None
        table = pq.read_table(folder.path / TRAINING_CRYSTALS)
        ids, formulas, targets = (table[name].to_pylist() for name in ("id", "formula", "target"))
        return cls(ids, formulas, targets, np.array(table["vector"].to_pylist(), np.float32))

    def save(self, folder: ModelFolder) -> None:
        """Write them into a folder, whole or not at all."""
        columns = {
            "id": self.ids,
            "formula": self.formulas,
            "target": self.targets,
            "vector": pa.array(self.vectors.tolist(), pa.list_(pa.float32())),
        }
        write_table(folder.path / TRAINING_CRYSTALS, pa.table(columns))

    def nearest(self, vector: np.ndarray, n: int) -> list[Neighbor]:
        """The n most similar ones, nearest first; `vector` (width,) of length 1."""
        similarity = self.vectors @ vector
        return [
            Neighbor(self.ids[k], self.formulas[k], self.targets[k], float(similarity[k]))
            for k in np.argsort(-similarity, kind="stable")[:n]
        ]


def embedded(
    predictor: Predictor, records: list[StructureRecord]
) -> tuple[np.ndarray, list[StructureRecord]]:
    """(n, width) what the head reads of each crystal, of length 1, and the n crystals that it can see."""
    made = list(zip(records, predictor.examples(records), strict=True))
    seen = [(record, example) for record, example in made if isinstance(example, Example)]
    examples = [example for _, example in seen]
    if not examples:
        return np.zeros((0, predictor.model.fusion.width), np.float32), []
    vectors = embed(predictor.model, examples, EMBEDDING_BATCH)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12), [record for record, _ in seen]
