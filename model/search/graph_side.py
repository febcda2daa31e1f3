"""Find crystals that have no text: a question and the graphs of crystals, in one space.

The graph's vector is the readout of a trained model; what brings it next to texts is learned from the model's
own training crystals, which must have texts, and lies in the model's folder.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.batches import in_batches
from curate.describe.text_views import SENTENCE_END
from curate.errors import InputError
from curate.files import cache_folder, sha256_of
from curate.record import StructureRecord
from model.graphs.build import build_graphs
from model.model_folder import WEIGHTS, ModelFolder
from model.network.batch import Example
from model.network.inference import embed_graphs
from model.predict.predictor import Prediction, Predictor, read_crystals
from model.search.contrastive import ContrastiveHead
from model.search.fusion import ranking
from model.search.index import (
    WORDS_ALONE,
    Match,
    asked,
    vector_of,
)
from model.search.words import matching_sentences
from model.text.cache import AnyEncoder, EmbeddingCache
from model.text.encoder import TextEncoder
from model.text.tfidf import TFIDF, TfidfEncoder

log = logging.getLogger(__name__)

HEAD, FITTED_ENCODER = "search_head.safetensors", "search_text_encoder.safetensors"
FEWEST_PAIRS = 20  # crystals with texts that a head is trained on
CRYSTALS_AT_ONCE = 64
READ_AT_ONCE = 1_000


class GraphIndex:
    """Crystals by the vectors of their graphs.

    Args:
        records: The n crystals.
        vectors: (n, width) float32 vectors of the common space, of length 1.
        head: What brings a text there.
        encoder: What turns a question into a vector.
    """

    def __init__(
        self,
        records: Sequence[StructureRecord],
        vectors: np.ndarray,
        head: ContrastiveHead,
        encoder: AnyEncoder,
    ) -> None:
        self.records, self.vectors, self.head, self.encoder = records, vectors, head, encoder

    @classmethod
    def open(
        cls,
        model: str | Path,
        places: Sequence[str],
        text_encoder: str | None = None,
        cache: Path | None = None,
    ) -> GraphIndex:
        """The crystals of a dataset or of structure files, seen by a trained model.

        The head is trained the first time, from those of the crystals that the model learned from and that
        have a text.

        Args:
            model: Folder of a trained model that reads graphs, or OWNER/NAME on the Hub.
            places: A run, a dataset, or structure files, as for `crysmmnet predict`.
            text_encoder: As for `SearchIndex.open`, but for `bm25`; None for that of the head, where there is
                one already.
            cache: Folder where embeddings are kept; the user's cache folder if None.

        Raises:
            InputError: The model reads no graph, there is no crystal, or no head and too few pairs for one.
        """
        if text_encoder == WORDS_ALONE:
            raise InputError(
                f"--text-encoder {WORDS_ALONE} compares words, and a graph has none: choose {TFIDF}, "
                "minilm or another encoder"
            )
        cache = cache or cache_folder()
        folder = ModelFolder.find(model)
        predictor = Predictor.from_pretrained(folder.path, cache)
        if not predictor.model.sees_graph:
            raise InputError(f"{folder.path} reads texts only: take a model that reads graphs")
        records, vectors = graph_vectors(predictor, crystals_of(places))
        if not records:
            raise InputError(f"{' '.join(places)}: no crystal that the model can see")
        head, encoder = the_head(folder, records, vectors, text_encoder, cache)
        return cls(records, head.of_graphs(vectors), head, encoder)

    def __len__(self) -> int:
        return len(self.records)

    def search(self, query: str, n: int = 10) -> list[Match]:
        """The crystals whose graphs fit a question best, best first; InputError where it is empty or has no
        word that the encoder knows."""
        if not query.strip():
            raise InputError("the question is empty: say in words what the crystals should be like")
        words, whole = asked(query)
        vector = vector_of(whole, self.encoder)
        if vector is None:
            raise InputError(f"{query!r} has no word that the encoder knows")
        return self.matches(self.head.of_texts(vector[None])[0], n, list(words))

    def like(self, material_id: str, n: int = 10) -> list[Match]:
        """The crystals whose graphs are most like that of one of them, without itself; InputError where there
        is no such crystal."""
        numbers = {record.material_id: number for number, record in enumerate(self.records)}
        if material_id not in numbers:
            first = self.records[0].material_id
            raise InputError(f"no crystal has the id {material_id!r}; ids are written as {first!r}")
        found = self.matches(self.vectors[numbers[material_id]], n + 1)
        return [match for match in found if match.id != material_id][:n]

    def matches(self, vector: np.ndarray, n: int, words: Sequence[str] = ()) -> list[Match]:
        """The n crystals nearest to a vector; sentences where a crystal has a text all the same."""
        likeness = self.vectors @ vector
        weights = dict.fromkeys(words, 1.0)
        found = []
        for place, number in enumerate(ranking(likeness, n), 1):
            record = self.records[number]
            found.append(
                Match(
                    record.material_id,
                    record.chemical_formula_reduced,
                    symbol_of(record),
                    float(likeness[number]),
                    matching_sentences(record.description or "", weights),
                    {k: v for k, v in record.properties.items() if isinstance(v, int | float)},
                    place_by_vectors=place,
                )
            )
        return found


def symbol_of(record: StructureRecord) -> str:
    """The symbol of the space group that the source tells; empty where it tells none."""
    from curate.pages.palette import spacegroup_symbols

    number = record.spacegroup_number
    return spacegroup_symbols()[number - 1] if number else ""


def crystals_of(places: Sequence[str]) -> Iterable[StructureRecord]:
    """The crystals of a dataset or of files; one that can't be read is named and passed over."""
    for found in read_crystals(places):
        if isinstance(found, Prediction):
            log.warning("%s is not searched: %s", found.id, found.error)
        else:
            yield found


def graph_vectors(
    predictor: Predictor, records: Iterable[StructureRecord]
) -> tuple[list[StructureRecord], np.ndarray]:
    """The crystals that the model can see, and the (n, width) float32 readouts of their graphs."""
    kept: list[StructureRecord] = []
    vectors = []
    for some in in_batches(records, READ_AT_ONCE):
        graphs = build_graphs(some, predictor.preprocessing.graph)
        examples = []
        for record, graph in zip(some, graphs, strict=True):
            if isinstance(graph, str):
                log.warning("%s is not searched: %s", record.material_id, graph)
            else:
                kept.append(record)
                examples.append(Example(record.material_id, graph, None))
        if examples:
            vectors.append(embed_graphs(predictor.model, examples, CRYSTALS_AT_ONCE))
    return kept, np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32)


def the_head(
    folder: ModelFolder,
    records: Sequence[StructureRecord],
    vectors: np.ndarray,
    text_encoder: str | None,
    cache: Path,
) -> tuple[ContrastiveHead, AnyEncoder]:
    """The head in the model's folder, with the encoder of its texts; trained where there is none, or where
    another encoder is asked for.

    Raises InputError where there are too few crystals to train one.
    """
    path, weights = folder.path / HEAD, sha256_of(folder.path / WEIGHTS).hex()
    if path.is_file():
        head, about = ContrastiveHead.load(path)
        if about.get("weights") == weights and text_encoder in (None, about.get("encoder")):
            return head, encoder_of(folder, about)
    learned_from = {row["id"] for row in folder.predictions if row["split"] == "train"}
    numbers = [
        number
        for number, record in enumerate(records)
        if record.material_id in learned_from and record.description
    ]
    if len(numbers) < FEWEST_PAIRS:
        raise InputError(
            f"{folder.path} has not learned to find crystals by words, and {len(numbers)} of these crystals "
            "are ones it learned from and have a text: search once in the dataset that it was trained on"
        )
    name = text_encoder or TFIDF
    log.info("training the head of the search on %d crystals with %s, once", len(numbers), name)
    texts = [str(records[number].description) for number in numbers]
    encoder: AnyEncoder = (
        TfidfEncoder.fit(texts) if name == TFIDF else TextEncoder(name, pooling="own")
    )
    seen = views_of(texts, encoder, cache)
    head = ContrastiveHead.fit(seen, vectors[numbers])
    if isinstance(encoder, TfidfEncoder):
        encoder.save(folder.path / FITTED_ENCODER)
    about = {"weights": weights, "encoder": name, "recipe": encoder.recipe, "pairs": len(numbers)}
    head.save(path, about)
    return head, encoder


def views_of(texts: Sequence[str], encoder: AnyEncoder, cache: Path) -> np.ndarray:
    """(n_views, n, width) unit vectors of the texts that a head learns from: each whole, and by TF-IDF, which
    costs nothing, also without its first sentence, the one with formula and space group."""
    views = [list(texts)]
    if isinstance(encoder, TfidfEncoder):
        views.append([" ".join(SENTENCE_END.split(text)[1:]) or text for text in texts])
    embedded = [np.asarray(EmbeddingCache(cache).embed(view, encoder)) for view in views]
    vectors = np.stack(embedded)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-12)


def encoder_of(folder: ModelFolder, about: dict[str, Any]) -> AnyEncoder:
    """The encoder that a head was trained with; InputError where it is another by now."""
    name = about["encoder"]
    encoder: AnyEncoder = (
        TfidfEncoder.load(folder.path / FITTED_ENCODER)
        if name == TFIDF
        else TextEncoder(name, pooling="own")
    )
    if encoder.recipe != about["recipe"]:
        raise InputError(
            f"the text encoder {name!r} is not the one that {folder.path / HEAD} was trained with; delete "
            "that file, and it is trained again"
        )
    return encoder
