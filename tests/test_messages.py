"""The page of messages: what it quotes is said by the code, and what a newcomer meets has a line there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "messages.md").read_text()
ROWS = re.findall(r"^\| (.*?) \|", PAGE, re.M)
QUOTED = [quote for row in ROWS for quote in re.findall(r"`([^`]+)`", row) if " " in quote]
MET = (  # whose refusals a newcomer meets: each has a line
    "curate/sources/__init__.py",
    "curate/sources/files.py",
    "curate/sources/targets.py",
    "curate/run/folder.py",
    "curate/run/sealed.py",
    "model/data/materials.py",
    "model/model_folder.py",
    "model/text/encoder.py",
    "model/training/settings_record.py",
)
REFUSALS = {"InputError", "DamagedFile"}
HOLE = "…"


def template(node: ast.AST) -> str | None:
    """A text of the code with holes for what it fills in; None where it is no text."""
    match node:
        case ast.Constant(value=str()):
            return re.sub(r"%[sdr]", HOLE, node.value)
        case ast.JoinedStr():
            return "".join(template(part) or HOLE for part in node.values)
        case ast.BinOp(op=ast.Add()):
            return (template(node.left) or HOLE) + (template(node.right) or HOLE)
    return None


def said(path: Path) -> set[str]:
    """All texts of a file but its docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    nodes = (node for node in ast.walk(tree) if id(node) not in docstrings)
    return {text for text in map(template, nodes) if text}


def refused(path: Path) -> set[str]:
    """The sentences with which a file refuses; those that only pass another's on are left out."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", "")
            is_parent = isinstance(node.func, ast.Attribute) and node.func.attr == "__init__"
            if name in REFUSALS or is_parent:
                found.add(template(node.args[0]) or "")
    return {text for text in found if re.search(r"(?<!-)\b[a-z]+\b \w", text)}


def is_quote_of(quote: str, text: str) -> bool:
    """Whether the quote's words occur in the text, in order; a hole stands for anything."""
    place = 0
    for words in filter(None, (part.strip() for part in quote.split(HOLE))):
        place = text.find(words, place)
        if place < 0:
            return False
        place += len(words)
    return True


ALL = set().union(
    *(said(path) for room in ("curate", "model") for path in (ROOT / room).rglob("*.py"))
)


@pytest.mark.parametrize("quote", QUOTED)
def test_what_the_page_quotes_is_said_by_the_code(quote):
    assert any(is_quote_of(quote, text) for text in ALL)


@pytest.mark.parametrize("file", MET)
def test_what_a_newcomer_meets_has_a_line(file):
    for text in refused(ROOT / file):
        assert any(
            is_quote_of(quote, text) and len(quote.replace(HOLE, "").strip()) > 12
            for quote in QUOTED
        ), f"docs/how-to/messages.md lacks: {text}"


def test_a_quote_that_nobody_says_is_noticed():
    assert len(QUOTED) > 40
    assert is_quote_of("--x …: no CIF there", "--x …: no CIF or POSCAR there") is False
    assert is_quote_of("… holds no … here", "… holds no such … here")
    assert not any(is_quote_of("… holds no moonshine", text) for text in ALL)
    assert "… is damaged (…); the command that built the run makes it anew" in refused(
        ROOT / "curate" / "run" / "sealed.py"
    )
