"""Examples of a training: materials split, with their graphs, texts and standardised targets."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from curate.errors import InputError, named
from model.config import TrainConfig
from model.data.descriptor_scale import DescriptorScale
from model.data.examples import Examples, Prepared
from model.data.materials import Material, Records, usable
from model.data.preprocessing import Preprocessing, scale_of, unit
from model.data.splits import LEAK, PARTS, Split, part_of, split_of
from model.data.text_inputs import Checksum, input_texts, spacegroups
from model.descriptors import DESCRIPTORS, descriptor_values
from model.graphs.store import StoredGraphs, stored_graphs
from model.model_folder import TUNED_ENCODER
from model.network.fusion import fusion_class
from model.text.cache import AnyEncoder, EmbeddingCache, TextEmbeddings
from model.text.encoder import TextEncoder
from model.text.tfidf import TFIDF, TfidfEncoder
from model.text.tune import TUNED, TunedOn, tuned_encoder

log = logging.getLogger(__name__)


def prepare(config: TrainConfig, materials: Sequence[Material]) -> Prepared:
    """Turn the materials of a dataset into the examples of a training.

    Args:
        config: Target, split, modality and the rules of graph and text.
        materials: All rows of the dataset.

    Returns:
        Examples of each part, with graphs and text embeddings from the cache, and the scale of the
        target, learned from the training part.

    Raises:
        InputError: A part of the split is left without a material, or the text encoder is unknown.
    """
    labelled, unlabelled = usable(materials, config.log_target, needs_text=False)
    # before a modality drops crystals of its own, so that all modalities share the split
    split = split_of(labelled, config)
    kept, textless = usable(labelled, config.log_target, reads_descriptions(config))
    if not kept:
        raise InputError(
            f"no material is left to learn {config.target!r} from"
            + counted(merged(unlabelled, split.dropped, textless))
        )
    graphs = None
    if config.modality != "text":
        graphs = stored_graphs(Records(kept), config.graph, config.cache)
    graphless = without_graph(kept, graphs)
    dropped = merged(unlabelled, split.dropped, textless, graphless)
    seen = remaining(kept, dropped, split)
    targets = {material.id: float(material.target or 0.0) for material in seen}
    ids = ids_by_part(split, targets, config)
    refuse_empty_parts(ids, dropped, config)
    learned = {name: targets[name] for name in ids["train"]}
    if len(learned) > 1 and len(set(learned.values())) == 1:
        value = next(iter(learned.values()))
        log.warning("every training crystal has %g as %s: nothing to learn", value, config.target)
    encoder = text_encoder(config, seen, ids)
    if config.tune_text != "no" and isinstance(encoder, TextEncoder):
        standardise = fitted(config, learned, seen, None, None).standardise
        encoder = tuned(encoder, config, seen, ids, standardise(list(targets.values())))
    checksum = Checksum()
    texts = None
    if config.modality != "graph":
        texts = text_embeddings(seen, encoder, config, ids, checksum)
    values, scale = descriptors_of(seen, learned, config)
    preprocessing = fitted(config, learned, seen, encoder, scale)
    graph_numbers = {material.id: number for number, material in enumerate(kept)}
    numbers = {name: number for number, name in enumerate(targets)}
    standardised = preprocessing.standardise(list(targets.values()))
    parts = {
        part: Examples(
            ids=names,
            graphs=graphs,
            graph_numbers=np.array([graph_numbers[name] for name in names], np.int64),
            texts=texts,
            numbers=np.array([numbers[name] for name in names], np.int64),
            targets=standardised,
            descriptors=values,
        )
        for part, names in ids.items()
    }
    sha256 = None if encoder is None else checksum.hex
    return Prepared(parts, targets, dropped, preprocessing, encoder, ids, sha256)


def reads_descriptions(config: TrainConfig) -> bool:
    """Whether the model reads texts made from descriptions; a space group is none."""
    return config.modality != "graph" and config.text != "spacegroup"


def without_graph(kept: Sequence[Material], graphs: StoredGraphs | None) -> dict[str, list[str]]:
    """Ids of the materials that have no graph, by reason."""
    lost: dict[str, list[str]] = {}
    for number, reason in graphs.reasons.items() if graphs is not None else ():
        lost.setdefault(reason, []).append(kept[number].id)
    return lost


def remaining(
    kept: Sequence[Material], dropped: dict[str, list[str]], split: Split
) -> list[Material]:
    """The materials that the model sees: those of no loss, and the split's leaks to predict."""
    lost = {name for names in dropped.values() for name in names} - set(split.leak)
    return [material for material in kept if material.id not in lost]


def ids_by_part(
    split: Split, targets: dict[str, float], config: TrainConfig
) -> dict[str, list[str]]:
    """Ids of train, val, test and leak that are left; of train, and of val, the share that is asked for."""
    ids = {
        part: [name for name in getattr(split, part) if name in targets] for part in (*PARTS, LEAK)
    }
    shared = ("train", "val") if config.fraction_of_labels else ("train",)
    fraction, seed = config.train_fraction, config.seed
    return {**ids, **{part: part_of(ids[part], fraction, seed) for part in shared}}


def refuse_empty_parts(
    ids: dict[str, list[str]], dropped: dict[str, list[str]], config: TrainConfig
) -> None:
    """InputError where train, val or test has no material, with the reasons of those left out."""
    for part in PARTS:
        if not ids[part]:
            raise InputError(
                f"no material is left for {part} of {config.target!r}, split {config.split}"
                + (f", fold {config.fold} of {config.folds}" if config.folds else "")
                + counted(dropped)
            )


def counted(dropped: dict[str, list[str]]) -> str:
    """How many materials were left out for each reason, in brackets; nothing where none was."""
    counts = ", ".join(f"{len(names)} {reason}" for reason, names in dropped.items())
    return f" ({counts})" if counts else ""


def text_encoder(
    config: TrainConfig, seen: Sequence[Material], parts: Mapping[str, Sequence[str]]
) -> AnyEncoder | None:
    """The encoder of the descriptions, of vectors or tokens as the fusion reads them; None without.

    Args:
        config: Which encoder and pooling.
        seen: The materials whose texts are encoded.
        parts: Ids by part; an encoder that is fitted reads the texts of the training part alone.
    """
    if not reads_descriptions(config):
        return None
    if config.text_encoder == TFIDF:
        learned = set(parts["train"])
        texts = zip(seen, input_texts(seen, config.text, config.seed, parts), strict=True)
        return TfidfEncoder.fit(text for material, text in texts if material.id in learned)
    if not fusion_class(config.network.fusion, config.modality).reads_tokens:
        return TextEncoder(config.text_encoder, pooling=config.text_pooling)
    if config.text_pooling != "cls":
        raise InputError(
            f"--text-pooling {config.text_pooling}: --fusion {config.network.fusion} reads every token "
            "and no pooled vector; leave one of the two out"
        )
    return TextEncoder(config.text_encoder, pooling="tokens")


def tuned(
    encoder: TextEncoder,
    config: TrainConfig,
    seen: Sequence[Material],
    parts: Mapping[str, Sequence[str]],
    targets: np.ndarray,
) -> TextEncoder:
    """The encoder after it has learned the standardised targets from the texts of the training part."""
    is_training, is_validation = (
        np.isin([material.id for material in seen], parts[part]) for part in ("train", "val")
    )
    texts = list(input_texts(seen, config.text, config.seed, parts))
    data = TunedOn(texts, targets, is_training, is_validation)
    return tuned_encoder(
        encoder,
        data,
        config.out / TUNED_ENCODER,
        way="lora" if config.tune_text == "lora" else "full",
        epochs=config.tune_epochs,
        seed=config.seed,
    )


def fitted(
    config: TrainConfig,
    learned: Mapping[str, float],
    seen: Sequence[Material],
    encoder: AnyEncoder | None,
    descriptors: DescriptorScale | None,
) -> Preprocessing:
    """The preprocessing of a training whose training targets are `learned`, by id, in their own unit."""
    values = list(learned.values())
    mean, std = scale_of(values, config.log_target)
    if not np.isfinite([mean, std]).all():
        raise InputError(
            f"the training crystals' {config.target!r} reaches from {min(values):g} to {max(values):g}, "
            "which is too far to learn: leave values empty that are none, or take --log-target"
        )
    origins: set[str] = set()
    elements: set[str] = set()
    for material in seen:
        record = material.record
        origins.add(record.description_origin or "unknown")
        if material.id in learned:
            elements.update(record.species_at_sites)
    return Preprocessing(
        target=config.target,
        unit=unit(config.target, seen[0].rows.schema),
        log10=config.log_target,
        mean=mean,
        std=std,
        guess=float(np.mean(values)),
        modality=config.modality,
        graph=config.graph,
        text=config.text,
        text_encoder=name_of(encoder, config),
        text_revision=encoder.commit if encoder else None,
        text_recipe=encoder.recipe if encoder else None,
        description_origins=sorted(origins),
        descriptors=descriptors,
        elements=sorted(elements),
    )


def name_of(encoder: AnyEncoder | None, config: TrainConfig) -> str | None:
    """What the record of a model calls its text encoder."""
    if encoder is None:
        return None
    return encoder.name if config.tune_text == "no" else TUNED


def descriptors_of(
    seen: Sequence[Material], learned: Collection[str], config: TrainConfig
) -> tuple[np.ndarray | None, DescriptorScale | None]:
    """The descriptors of each material, (n_seen, width) float32 standardised, and their scale, fitted on
    the materials with the ids `learned`; None where none are asked for.

    Raises InputError where a descriptor reads the condensed structure and no material has one.
    """
    if not config.descriptors:
        return None, None
    if readers := [one for one in config.descriptors if DESCRIPTORS[one].reads_condensed]:
        without = [material.id for material in seen if not material.condensed]
        if len(without) == len(seen):
            raise InputError(
                f"--descriptors {readers[0]}: no crystal of the dataset has a condensed structure; its "
                "texts must be written by curate"
            )
        if without:
            log.warning(
                "%s without condensed structure: the training mean stands for its numbers of %s",
                named(set(without)),
                ", ".join(readers),
            )
    values = descriptor_values(config.descriptors, seen, config.cache)
    training = [number for number, material in enumerate(seen) if material.id in learned]
    scale = DescriptorScale.fit(config.descriptors, values[training])
    return scale.standardise(values), scale


def text_embeddings(
    materials: Sequence[Material],
    encoder: AnyEncoder | None,
    config: TrainConfig,
    parts: Mapping[str, Sequence[str]],
    checksum: Checksum,
) -> TextEmbeddings:
    """What stands for the text of each crystal: (n, text_width), or the embeddings of its tokens."""
    if encoder is None:
        return spacegroups(Records(materials))
    texts = input_texts(materials, config.text, config.seed, parts)
    return EmbeddingCache(config.cache).embed(checksum.over(texts), encoder)


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
