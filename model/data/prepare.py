"""Materials in; what the model sees of them, by part of the split, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.errors import InputError
from model.config import TrainConfig
from model.data.materials import Material, Records, part_of, split_of, usable
from model.data.preprocessing import Preprocessing, scale_of, unit
from model.data.text_inputs import input_texts, spacegroups
from model.graphs.build import AnyGraph
from model.graphs.store import stored_graphs
from model.network.batch import Example
from model.text.encoder import EmbeddingCache, TextEncoder

PARTS, LEAK = ("train", "val", "test"), "leak"


@dataclass(frozen=True)
class Prepared:
    """Examples of each part, and how they were made."""

    # train, val, test; leak: predicted and neither learned nor scored
    parts: Mapping[str, Sequence[Example]]
    targets: dict[str, float]  # by id, in the property's own unit
    dropped: dict[str, list[str]]  # ids by reason
    preprocessing: Preprocessing

    @property
    def text_width(self) -> int:
        """Of the text embeddings; 0 where the model reads no text."""
        text = self.parts["train"][0].text
        return 0 if text is None else len(text)


def prepare(config: TrainConfig, materials: Sequence[Material]) -> Prepared:
    """Drop what can't be learned from, split, build graphs, embed texts, standardise targets.

    The split is drawn before a modality drops crystals of its own, so that all modalities share it.
    """
    needs_text = config.modality != "graph"
    reads_descriptions = needs_text and config.text != "spacegroup"
    labelled, unlabelled = usable(materials, config.log_target, needs_text=False)
    split = split_of(labelled, config)
    kept, textless = usable(labelled, config.log_target, reads_descriptions)
    graphs = (
        None
        if config.modality == "text"
        else stored_graphs(Records(kept), config.graph, config.cache)
    )
    graphless: dict[str, list[str]] = {}
    if graphs is not None:
        for number, reason in graphs.reasons.items():
            graphless.setdefault(reason, []).append(kept[number].id)
    place = {material.id: number for number, material in enumerate(kept)}
    dropped = merged(unlabelled, split.dropped, textless, graphless)
    lost = {name for names in dropped.values() for name in names} - set(split.leak)
    kept = [material for material in kept if material.id not in lost]
    encoder = TextEncoder(config.text_encoder) if reads_descriptions else None
    vectors = text_vectors(kept, encoder, config) if needs_text else None
    targets = {material.id: float(material.target or 0.0) for material in kept}
    ids = {
        part: [name for name in getattr(split, part) if name in targets] for part in (*PARTS, LEAK)
    }
    ids["train"] = part_of(ids["train"], config.train_fraction, config.seed)
    for part in PARTS:
        if not ids[part]:
            counts = ", ".join(f"{len(names)} {reason}" for reason, names in dropped.items())
            raise InputError(
                f"no material is left for {part} of {config.target!r}, split {config.split}"
                + (f" ({counts})" if counts else "")
            )
    learned = [targets[name] for name in ids["train"]]
    mean, std = scale_of(learned, config.log_target)
    preprocessing = Preprocessing(
        target=config.target,
        unit=unit(config.target, materials[0].rows.schema),
        log10=config.log_target,
        mean=mean,
        std=std,
        guess=float(np.mean(learned)),
        modality=config.modality,
        graph=config.graph,
        text=config.text,
        text_encoder=encoder.name if encoder else None,
        text_revision=encoder.commit if encoder else None,
        text_recipe=encoder.recipe if encoder else None,
        description_origins=sorted({m.record.description_origin or "unknown" for m in kept}),
    )
    standardised = preprocessing.standardise(list(targets.values()))
    row = {name: number for number, name in enumerate(targets)}
    parts = {
        part: Examples(
            names,
            graphs,
            np.array([place[name] for name in names], np.int64),
            vectors,
            np.array([row[name] for name in names], np.int64),
            standardised,
        )
        for part, names in ids.items()
    }
    return Prepared(parts, targets, dropped, preprocessing)


@dataclass(frozen=True)
class Examples(Sequence[Example]):
    """Examples of a part, each made when it is asked for."""

    ids: list[str]
    graphs: Sequence[AnyGraph | str] | None
    graph_numbers: np.ndarray  # (n,) in graphs
    vectors: np.ndarray | None  # (n_kept, text_width)
    numbers: np.ndarray  # (n,) in vectors and targets
    targets: np.ndarray  # (n_kept,) standardised

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position):
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        graph: Any = None if self.graphs is None else self.graphs[self.graph_numbers[position]]
        number = self.numbers[position]
        vector = None if self.vectors is None else self.vectors[number]
        return Example(self.ids[position], graph, vector, float(self.targets[number]))


def text_vectors(
    materials: Sequence[Material], encoder: TextEncoder | None, config: TrainConfig
) -> np.ndarray:
    """(n, text_width) what stands for the text of each crystal."""
    if encoder is None:
        return spacegroups(Records(materials))
    texts = input_texts(materials, config.text, config.seed)
    return EmbeddingCache(config.cache).embed(texts, encoder)


def merged(*counts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Ids by reason; an id lost twice counts for the first reason."""
    together: dict[str, list[str]] = {}
    seen: set[str] = set()
    for reasons in counts:
        for reason, names in reasons.items():
            new = [name for name in names if name not in seen]
            seen.update(new)
            if new:
                together.setdefault(reason, []).extend(new)
    return together
