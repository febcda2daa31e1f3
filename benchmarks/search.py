"""How often a crystal is found by its own description, with formula and space group masked, and by other
words; and how quickly ten thousand and a million texts answer.

    OMP_NUM_THREADS=1 python benchmarks/search.py --data RUN --model MODEL --cache CACHE

MODEL is a model of the graph, trained on RUN with `--split formula`: the contrastive head is learned from its
training part, its test part is asked for. Each question is asked of all texts, and of the test part
alone, which is all that a model of the graph has never seen.

Questions: `masked`, the description without formula, formulas of components, crystal system and space group;
`bare`, also without mineral, elements, lengths and angles, so that geometry alone is left; `paraphrase`, the
condensed structure in other words (benchmarks/paraphrases.py); `paraphrase, translated`, the same with the
words added that descriptions use instead, as the command does.

Ranks count ties as chance would order them. Intervals: 10,000 paired bootstrap samples of the questions.
Nothing is chosen on the test part: it is asked once. `--part val` asks the validation part instead.

Speed: the index of RUN's texts, repeated under new ids, opened in a process of its own.
Seconds are the median of the questions `QUESTIONS`, each asked once after one to warm up.
Memory is the process's largest resident memory, pages of mapped files included.

Every part of the answer is kept in --work, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tyro
from paraphrases import bare, masked, paraphrase
from setting import peak_gib, setting
from sklearn.feature_extraction.text import TfidfVectorizer

from curate.files import sha256_of, write_json, write_table
from curate.record import reduced_formula
from model.data.materials import load_rows
from model.model_folder import WEIGHTS, ModelFolder
from model.predict.predictor import Predictor
from model.search import SearchIndex, crystals
from model.search.bm25 import BM25
from model.search.contrastive import ContrastiveHead
from model.search.fusion import fused, ranking
from model.search.graph_side import crystals_of, graph_vectors, views_of
from model.search.index import CRYSTALS, FITTED_ENCODER, VECTORS, asked, weighed
from model.search.words import words_of
from model.text.cache import EmbeddingCache
from model.text.encoder import TextEncoder
from model.text.tfidf import TFIDF, TfidfEncoder, terms_of

RESULT = Path(__file__).parent / "results" / "search.json"
TASKS = ("masked", "bare", "paraphrase", "paraphrase, translated")
SAMPLES, SEED = 10_000, 0
GRAPHS = "contrastive, graphs without text"
QUESTIONS = (
    "layered telluride with octahedral metal sites",
    "perovskite",
    "corner-sharing tetrahedra of silicon and oxygen",
    "cubic Heusler compound with manganese",
    "one-dimensional chains of copper and bromine",
    "Li is bonded to four equivalent O atoms to form LiO4 tetrahedra that share corners with PO4 tetrahedra",
    "two-dimensional sheets in the (0, 0, 1) direction",
    "hexagonal P6_3/mmc space group",
    "molecules of nitrogen",
    "distorted square co-planar geometry",
    "cuboctahedra that share faces with titanium octahedra",
)
SIZES = (10_000, 1_000_000)


@dataclass(frozen=True)
class Config:
    """What is measured."""

    data: str
    """Finished run of crystals with texts."""
    model: Path
    """Model of the graph, trained on them by `--split formula`."""
    cache: Path
    """Embeddings and indexes."""
    work: Path
    """Folder of what is done."""
    out: Path = RESULT
    part: Literal["test", "val"] = "test"
    """Crystals that are asked for."""
    queries: int = 400
    """How many of them, drawn."""
    longest: int | None = None
    """Take only crystals whose texts have at most so many characters: an encoder reads 512 tokens, and takes
    long for as many."""
    encoders: tuple[str, ...] = ("tfidf",)
    sizes: tuple[int, ...] = SIZES
    only: tuple[str, ...] = ()
    """For the benchmark's own use."""


class Corpus:
    """The crystals, their parts and the questions."""

    def __init__(self, config: Config) -> None:
        self.config = config
        rows = load_rows(config.data)
        self.ids = rows.column("material_id")
        self.texts = rows.column("description")
        parts = {row["id"]: row["split"] for row in ModelFolder(config.model).predictions}
        self.parts = np.array([parts.get(name, "none") for name in self.ids])
        formulas = [reduced_formula(species) for species in rows.column("species_at_sites")]
        shared = {f for f, p in zip(formulas, self.parts, strict=True) if p == "train"} & {
            f for f, p in zip(formulas, self.parts, strict=True) if p in ("test", "val")
        }
        assert not shared, "a formula is on both sides of the split"
        chance = np.random.default_rng(SEED)
        inside = np.flatnonzero(self.parts == config.part)
        self.asked = np.sort(chance.choice(inside, min(config.queries, len(inside)), replace=False))
        condensed = rows.column("condensed_structure")
        made: dict[str, Callable[[str], str]] = {"masked": masked, "bare": bare}
        self.questions = {
            task: [made.get(task, paraphrase)(condensed[n]) for n in self.asked] for task in TASKS
        }
        self.questions["paraphrase, translated"] = [
            asked(question)[1] for question in self.questions["paraphrase"]
        ]
        self.in_part = self.parts == config.part

    @cached_property
    def tfidf(self) -> tuple[TfidfVectorizer, Any]:
        """Of words and pairs of words, fitted on all texts, with their weights."""
        vectorizer = TfidfVectorizer(analyzer=lambda text: list(terms_of(text)), sublinear_tf=True)
        return vectorizer, vectorizer.fit_transform(self.texts)

    @cached_property
    def words(self) -> SearchIndex:
        return SearchIndex.open(self.config.data, "bm25", self.config.cache)


def tfidf_scores(corpus: Corpus, task: str) -> np.ndarray:
    """Cosine of words and pairs of words, as scikit-learn has it."""
    vectorizer, weights = corpus.tfidf
    return np.asarray((vectorizer.transform(corpus.questions[task]) @ weights.T).todense())


def bm25_scores(corpus: Corpus, task: str) -> np.ndarray:
    words = corpus.words.words
    return np.stack([words.scores(weighed(words_of(q))) for q in corpus.questions[task]])


def vector_scores(corpus: Corpus, task: str, encoder: str) -> np.ndarray:
    index = SearchIndex.open(corpus.config.data, encoder, corpus.config.cache)
    assert index.encoder is not None and index.vectors is not None
    cache = EmbeddingCache(corpus.config.cache)
    found = np.array(cache.embed(corpus.questions[task], index.encoder))
    return unit(found) @ index.vectors.T


def fused_scores(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Reciprocal rank fusion; what is in neither ranking has 0."""
    found = np.zeros(one.shape)
    for row, (words, vectors) in enumerate(zip(one, other, strict=True)):
        numbers, scores = fused([ranking(words, above=0.0), ranking(vectors)])
        found[row, numbers] = scores
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def graphs_of(corpus: Corpus) -> np.ndarray:
    """(n, width) readouts of all crystals, kept."""
    path = corpus.config.work / "graphs.npy"
    if not path.is_file():
        predictor = Predictor.from_pretrained(corpus.config.model, corpus.config.cache)
        kept, vectors = graph_vectors(predictor, crystals_of([corpus.config.data]))
        assert [record.material_id for record in kept] == corpus.ids
        np.save(path, vectors)
    return np.load(path)


def the_head(corpus: Corpus) -> tuple[ContrastiveHead, TfidfEncoder]:
    """What is learned from the training part, kept."""
    fitted, path = (corpus.config.work / f"{name}.safetensors" for name in ("encoder", "head"))
    learned = np.flatnonzero(corpus.parts == "train")
    texts = [corpus.texts[n] for n in learned]
    if not fitted.is_file():
        TfidfEncoder.fit(texts).save(fitted)
    encoder = TfidfEncoder.load(fitted)
    if not path.is_file():
        seen = views_of(texts, encoder, corpus.config.cache)
        ContrastiveHead.fit(seen, graphs_of(corpus)[learned], SEED).save(path, {})
    return ContrastiveHead.load(path)[0], encoder


def contrastive_scores(corpus: Corpus, task: str) -> np.ndarray:
    """Text against graph: no text of a crystal that is found was read; TF-IDF and head know the training
    part."""
    head, encoder = the_head(corpus)
    questions = unit(encoder.vectors(corpus.questions[task]))
    return head.of_texts(questions) @ head.of_graphs(graphs_of(corpus)).T


def all_scores(corpus: Corpus, task: str) -> dict[str, np.ndarray]:
    """(n_questions, n_texts) of every way of finding, by name; what takes long is kept."""
    single: dict[str, Callable[[], np.ndarray]] = {
        "TF-IDF": lambda: tfidf_scores(corpus, task),
        "BM25": lambda: bm25_scores(corpus, task),
        **{
            f"{name} vectors": lambda name=name: vector_scores(corpus, task, name)
            for name in corpus.config.encoders
        },
        GRAPHS: lambda: contrastive_scores(corpus, task),
    }
    found = {}
    for name, make in single.items():
        path = corpus.config.work / f"{corpus.config.part}-{task}-{name}.npy".replace(" ", "_")
        if not path.is_file():
            np.save(path, make())
        found[name] = np.load(path)
    for name in [one for one in found if one != "BM25"]:
        found[f"BM25 and {name}"] = fused_scores(found["BM25"], found[name])
    return found


def ranks(scores: np.ndarray, wanted: Sequence[int], among: np.ndarray) -> np.ndarray:
    """(n, 2) of each question: how many crystals score higher than the right one, and how many as high."""
    found = []
    for row, number in zip(scores, wanted, strict=True):
        own, others = row[number], row[among]
        found.append([int((others > own).sum()), int((others == own).sum()) - 1])
    return np.array(found)


def metrics(found: np.ndarray) -> dict[str, np.ndarray]:
    """(n,) recall@1, recall@10 and reciprocal rank of each question, means over the orders of equals."""
    higher, equal = found[:, 0], found[:, 1]
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, (higher + equal).max() + 2))])
    return {
        "recall@1": np.clip((1 - higher) / (equal + 1), 0, 1),
        "recall@10": np.clip((10 - higher) / (equal + 1), 0, 1),
        "MRR": (harmonic[higher + equal + 1] - harmonic[higher]) / (equal + 1),
    }


def interval(values: np.ndarray) -> list[float]:
    """95 % interval of a mean, by the bootstrap; the same samples for all values of one length."""
    chance = np.random.default_rng(SEED)
    means = [
        values[chance.integers(len(values), size=(500, len(values)))].mean(1)
        for _ in range(SAMPLES // 500)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return [round(float(low), 4), round(float(high), 4)]


def recall(config: Config, corpus: Corpus) -> dict[str, Any]:
    """The table: question, corpus, method."""
    everything = np.ones(len(corpus.ids), bool)
    answer: dict[str, Any] = {}
    for task in TASKS:
        answer[task] = {}
        scores = all_scores(corpus, task)
        for among, inside in (("all", everything), (config.part, corpus.in_part)):
            table: dict[str, Any] = {"chance": chance_of(int(inside.sum()))}
            values = {
                name: metrics(ranks(found, corpus.asked, inside)) for name, found in scores.items()
            }
            for name, found in values.items():
                table[name] = {
                    metric: {
                        "mean": round(float(value.mean()), 4),
                        "interval": interval(value),
                        **{
                            f"less {base}": {
                                "mean": round(float((value - values[base][metric]).mean()), 4),
                                "interval": interval(value - values[base][metric]),
                            }
                            for base in ("TF-IDF", "BM25")
                            if base != name
                        },
                    }
                    for metric, value in found.items()
                }
                shown = ", ".join(f"{m} {v['mean']:.3f}" for m, v in table[name].items())
                print(f"{task} | {among} | {name}: {shown}", flush=True)
            answer[task][among] = table
    return answer


def chance_of(n: int) -> dict[str, Any]:
    """What drawing n crystals at random gives."""
    values = {
        "recall@1": 1 / n,
        "recall@10": 10 / n,
        "MRR": sum(1 / k for k in range(1, n + 1)) / n,
    }
    return {metric: {"mean": round(value, 5)} for metric, value in values.items()}


def speed(config: Config) -> dict[str, Any]:
    """Each size and encoder in a process of its own."""
    answer: dict[str, Any] = {}
    for size in config.sizes:
        for name in config.encoders:
            path = config.work / f"speed-{size}-{name}.json"
            if not path.is_file():
                words = ["--data", config.data, "--model", config.model, "--cache", config.cache]
                words += ["--work", config.work, "--only", size, name]
                repeated(config, name, size)
                subprocess.run([sys.executable, __file__, *map(str, words)], check=True)
            answer[f"{size:,} texts, {name}"] = json.loads(path.read_text())
            print(size, name, answer[f"{size:,} texts, {name}"], flush=True)
    return answer


def repeated(config: Config, name: str, size: int) -> Path:
    """The index of the run's texts, under new ids: the same files as fitting them anew gives."""
    folder = config.work / f"index-{size}-{name}"
    if folder.is_dir():
        return folder
    index = SearchIndex.open(config.data, name, config.cache)
    n, turns = len(index), -(-size // len(index))
    partial = folder.with_suffix(".partial")
    partial.mkdir(exist_ok=True)
    crystals.write(partial / CRYSTALS, islice_rows(index.table, turns, size))
    words, having = index.words, np.diff(index.words.starts)
    kept = [np.arange(min(n, size - turn * n)) for turn in range(turns)]
    last = len(kept[-1])
    texts, weights, starts = [], [], [0]
    for number in range(len(words.terms)):
        some = slice(words.starts[number], words.starts[number + 1])
        own, before = words.texts[some], words.weights[some]
        parts = [own + turn * n for turn in range(turns - 1)]
        parts.append(own[own < last] + (turns - 1) * n)
        now = sum(map(len, parts))
        factor = idf(size, now) / idf(n, having[number])
        texts += parts
        weights += [before * factor] * (turns - 1) + [before[own < last] * factor]
        starts.append(starts[-1] + now)
    BM25(
        words.terms,
        np.array(starts),
        np.concatenate(texts).astype(np.int32),
        np.concatenate(weights).astype(np.float32),
        size,
    ).save(partial)
    assert index.vectors is not None
    shape = (size, index.vectors.shape[1])
    vectors = np.lib.format.open_memmap(partial / VECTORS, "w+", np.float32, shape)
    for turn, some in enumerate(kept):
        vectors[turn * n : turn * n + len(some)] = index.vectors[: len(some)]
    if isinstance(index.encoder, TfidfEncoder):
        index.encoder.save(partial / FITTED_ENCODER)
    partial.rename(folder)
    return folder


def idf(n_texts: int, having: int) -> float:
    return float(np.log1p((n_texts - having + 0.5) / (having + 0.5)))


def islice_rows(table: pa.Table, turns: int, size: int) -> Iterator[pa.Table]:
    """The rows of a table under new ids."""
    for turn in range(turns):
        some = table.slice(0, min(table.num_rows, size - turn * table.num_rows))
        ids = [f"{name}-{turn}" for name in some[crystals.ID].to_pylist()]
        yield some.set_column(0, crystals.ID, pa.array(ids))


def ask(config: Config) -> None:
    """Open an index and ask it, in this process."""
    size, name = int(config.only[0]), config.only[1]
    folder = config.work / f"index-{size}-{name}"
    encoder = None if name == TFIDF else TextEncoder(name, pooling="own")
    before, started = peak_gib(), time.perf_counter()
    index = SearchIndex.load(folder, encoder, config.cache)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    index.search(QUESTIONS[0])
    first = time.perf_counter() - started
    took = []
    for question in QUESTIONS[1:]:
        started = time.perf_counter()
        index.search(question)
        took.append(time.perf_counter() - started)
    like = []
    for number in range(3, len(index), len(index) // 5):
        name_of = crystals.row_of(index.table, number)[crystals.ID]
        started = time.perf_counter()
        index.like(name_of)
        like.append(time.perf_counter() - started)
    answer = {
        "texts": len(index),
        "seconds to answer": round(float(np.median(took)), 4),
        "slowest": round(max(took), 4),
        "seconds to find what is like a crystal": round(float(np.median(like)), 4),
        "seconds to load": round(seconds, 2),
        "first question after loading": round(first, 2),
        "GiB": peak_gib(),
        "GiB before": before,
        "GiB on disk": round(sum(p.stat().st_size for p in folder.iterdir()) / 2**30, 2),
    }
    write_json(config.work / f"speed-{size}-{name}.json", answer)


def shortened(config: Config) -> str:
    """A dataset of the crystals with short texts."""
    folder = config.work / f"at-most-{config.longest}"
    if not folder.is_dir():
        rows = load_rows(config.data)
        table = pa.concat_tables(rows.only(rows.schema.names).tables())
        lengths = pc.utf8_length(table["description"])
        (folder.with_suffix(".partial")).mkdir(exist_ok=True)
        write_table(
            folder.with_suffix(".partial") / "train-00000.parquet",
            table.filter(pc.less_equal(lengths, config.longest)),
        )
        folder.with_suffix(".partial").rename(folder)
    return str(folder)


def main() -> None:
    config = tyro.cli(Config, description=__doc__)
    config.work.mkdir(parents=True, exist_ok=True)
    if config.only:
        ask(config)
        return
    if config.longest is not None:
        config = replace(config, data=shortened(config))
    corpus = Corpus(config)
    parts = Counter(corpus.parts.tolist())
    answer: dict[str, Any] = {
        "crystals": len(corpus.ids),
        "digest of the texts": crystals.digest(load_rows(config.data)),
        "digest of the model": sha256_of(config.model / WEIGHTS).hex(),
        "parts": dict(parts),
        "questions": len(corpus.asked),
        "asked for": config.part,
        "characters of a text, at most": config.longest,
        "the same text as another": sum(n - 1 for n in Counter(corpus.texts).values()),
        "examples": {task: corpus.questions[task][0] for task in TASKS},
        "recall": recall(config, corpus),
    }
    if config.sizes:
        answer["speed"] = speed(config)
    write_json(config.out, {**answer, "setting": setting(("scikit-learn", "pyarrow"))})


if __name__ == "__main__":
    main()
