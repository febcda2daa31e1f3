"""docs/search.md is what its generator writes from the results, and what it concludes is in them."""

import re
import runpy
import shlex
from pathlib import Path

import tyro

from model import cli
from model.config import SearchConfig

DOCS = Path(__file__).parents[1] / "docs"
MAKER = runpy.run_path(str(DOCS / "make_search.py"))
WHOLE = MAKER["results"]("search.json")


def test_the_page_is_what_its_generator_writes():
    assert (DOCS / "search.md").read_text() == MAKER["page"]()


def test_its_commands_parse():
    text = (DOCS / "search.md").read_text()
    commands = [
        shlex.split(line, comments=True)
        for line in re.findall(r"^crysmmnet (search .*)$", text, re.M)
    ]
    assert len(commands) == 4
    for command in commands:
        assert isinstance(tyro.cli(cli.Command, args=command), SearchConfig)


def test_what_it_concludes_is_what_was_measured():
    masked, bare, _, other = (found["all"] for found in WHOLE["recall"].values())
    assert masked["BM25"]["recall@10"]["mean"] == masked["TF-IDF"]["recall@10"]["mean"] == 1
    assert masked[MAKER["GRAPHS"]]["recall@10"]["mean"] > 0.95
    fused = bare["BM25 and TF-IDF"]["recall@10"]
    assert min(fused["less BM25"]["interval"][0], fused["less TF-IDF"]["interval"][0]) > 0
    assert other["BM25 and tfidf vectors"]["recall@10"]["less TF-IDF"]["interval"][0] > 0
    assert bare[MAKER["GRAPHS"]]["recall@10"]["mean"] < 0.05
    others = MAKER["results"]("search-short.json")["recall"]["paraphrase"]["all"]
    assert others["minilm vectors"]["recall@10"]["less BM25"]["interval"][0] > 0.2
    for name, most in (("10,000 texts, tfidf", 0.2), ("1,000,000 texts, tfidf", 1.0)):
        assert WHOLE["speed"][name]["seconds to answer"] < most
        assert WHOLE["speed"][name]["slowest"] < most
