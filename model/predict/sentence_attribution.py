"""Attribute a prediction to the sentences of a description, by leaving each of them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.describe.text_views import SENTENCE_END
from curate.errors import InputError
from curate.record import StructureRecord
from model.graphs.build import build_graphs
from model.network.batch import Example
from model.network.ensemble import ensemble_outputs
from model.predict.predictor import Predictor

SENTENCES_AT_ONCE = 32


@dataclass(frozen=True)
class SentenceAttribution:
    """Sentences of a description and their effects."""

    prediction: float  # with the whole description, in the property's own unit
    sentences: tuple[str, ...]
    effects: tuple[float, ...]  # prediction with the sentence less the prediction without it
    # The prediction without a description; with an empty one where the model has not learned to go without.
    without_text: float


def attribute_sentences(predictor: Predictor, record: StructureRecord) -> SentenceAttribution:
    """Predict with the whole description, and with each sentence taken out of it.

    Args:
        predictor: A model that reads text.
        record: A crystal with its description; its graph stays as it is.

    Returns:
        The prediction and the effect of each sentence, in the property's own unit.

    Raises:
        InputError: The model reads no text, or the crystal has no graph.
    """
    preprocessing = predictor.preprocessing
    if preprocessing.modality == "graph":
        raise InputError("the model sees the graph only: there is no text to explain")
    crystal = predictor.crystal_of(record)
    if isinstance(crystal, str):
        raise InputError(f"{record.material_id}: {crystal}")
    text = record.description or ""
    sentences = sentences_of(text)
    texts = [text, "", *without_each(sentences)]
    vectors = predictor.cache.embed(texts, predictor.encoder)
    graph = None
    if preprocessing.modality == "both":
        made = next(iter(build_graphs([record], preprocessing.graph)))
        if isinstance(made, str):
            raise InputError(f"{record.material_id}: {made}")
        graph = made
    (descriptors,) = predictor.descriptors_of([crystal])
    seen: list[np.ndarray | None] = list(vectors)
    if predictor.model.can_lack_text:  # it has learned what no text means
        seen[1] = None
    examples = [
        Example(record.material_id, graph, vector, descriptors=descriptors) for vector in seen
    ]
    outputs = ensemble_outputs(predictor.networks, examples, SENTENCES_AT_ONCE)
    whole, empty, *erased = (float(value) for value in preprocessing.restore(outputs.means))
    return SentenceAttribution(
        whole, tuple(sentences), tuple(whole - value for value in erased), empty
    )


def sentences_of(text: str) -> list[str]:
    """The sentences of a description, in order."""
    return [sentence for sentence in SENTENCE_END.split(text.strip()) if sentence]


def without_each(sentences: list[str]) -> list[str]:
    """The text without its first sentence, without its second, …"""
    return [" ".join(sentences[:n] + sentences[n + 1 :]) for n in range(len(sentences))]
