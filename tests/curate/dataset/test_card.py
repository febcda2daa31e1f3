"""The card says what is in the dataset, and nothing that is not."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.dataset.card import cell, inert
from curate.dataset.text_statistics import measured_texts, text_facts
from curate.dataset.token_lengths import TokenLengths, load_tokenizer
from curate.errors import InputError

STORED = Path(__file__).parents[2] / "data" / "sample_card.md"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ti", "##o", "##2", "is", "rutile"]


def test_the_card_of_four_sample_crystals_is_as_stored(built):
    card = (built / "dataset" / "README.md").read_text()
    for name, version in json.loads((built / "run.json").read_text())["versions"].items():
        card = card.replace(f"| {name} | {version} |", f"| {name} | * |")
        card = card.replace(f"with {name} {version}.", f"with {name} *.")
    read_on = json.loads((built / "structures.json").read_text())["read_on"]
    card = card.replace(f"| read on | {read_on} |", "| read on | * |")
    card = re.sub(r"description: sha256 [0-9a-f]{64}", "description: sha256 *", card)
    assert card == STORED.read_text()


@pytest.fixture
def vocabulary(tmp_path):
    """A tokenizer folder as MatSciBERT's: a word list and no tokenizer.json."""
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    return folder


def test_tokens_are_counted_with_start_and_end(vocabulary):
    tokenizer = load_tokenizer(str(vocabulary))
    assert tokenizer.encode("TiO2 is rutile").tokens == [
        *("[CLS]", "ti", "##o", "##2", "is", "rutile", "[SEP]")
    ]
    assert len(tokenizer.encode("rutile " * 600)) == 602  # not cut


def test_a_tokenizer_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"neither tokenizer\.json nor vocab\.txt"):
        load_tokenizer(str(tmp_path))


def test_repeated_texts_are_counted_also_across_splits(tmp_path, vocabulary):
    rows = {
        "description": ["TiO2", "TiO2", "TiO2 is rutile", "rutile", "is"],
        "split_task": ["train", "test", "test", "train", None],
    }
    pq.write_table(pa.table(rows), tmp_path / "train-00000.parquet")
    texts = measured_texts(tmp_path / "train-00000.parquet", str(vocabulary))
    facts = text_facts(tmp_path, [texts], "words")
    assert (facts.n_different, facts.n_sharing) == (4, 2)
    assert facts.seen == {"task": 1}
    assert list(facts.tokens.lengths) == [3, 3, 5, 5, 7]


def test_quantiles_are_lengths_that_occur():
    lengths = TokenLengths("none", tuple(range(1, 101)) + (600,) * 100)
    assert [lengths.quantile(q) for q in (0.0, 0.25, 1.0)] == [1, 51, 600]
    assert lengths.share_cut == 0.5


def test_text_from_outside_is_inert_in_a_card():
    odd = "a\n---\n# b <script>x</script> ![c](http://d) `e` {{ f }}\x1b\ud800"
    said = inert(odd)
    assert said.count("\n") == 0 and "<" not in said and "](" not in said
    assert "{{" not in said and said.endswith(r"\x1b\ud800")
    for plain in ("list[double]", "Å³", "mp-149, mp-2", " --- | --- |", "https://a.org/b_c?d=e&f"):
        assert inert(plain) == plain
    assert inert(7) == 7
    assert cell("a|b `c`") == "a&#124;b 'c'"
