"""The syntax of CIF 1.1: a file's text as data blocks of items and loops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# a comment, a quoted value (its closing quote stands before a space) or a bare word
WORD = re.compile(r"""\s*(?:(\#.*)|'(.*?)'(?=\s|$)|"(.*?)"(?=\s|$)|(\S+))""")
CIF_2 = "#\\#CIF_2.0"
TRIPLE = re.compile(r"""(?:(?<=\s)|^)(\'\'\'|\"\"\")(.*?)\1(?=\s|$)""", re.DOTALL)
UNKNOWN = ("?", ".")  # not known, and not applicable or the dictionary's default


@dataclass
class Block:
    """One `data_` block: values by tag, in small letters, a list for each tag."""

    name: str
    values: dict[str, list[str]] = field(default_factory=dict)
    loops: dict[str, int] = field(default_factory=dict)  # number of the loop a tag stands in
    uneven: dict[int, str] = field(default_factory=dict)  # loops whose values fill no whole rows
    repeated: set[str] = field(default_factory=set)  # tags given twice, with different values

    def first(self, *tags: str) -> str | None:
        """The value of the first of these tags that has one; None where all are unknown."""
        for tag in tags:
            for value in self.values.get(tag, ())[:1]:
                if value.strip() and value.strip() not in UNKNOWN:
                    return value.strip()
        return None

    def column(self, *tags: str) -> list[str] | None:
        """All values of the first of these tags that is there."""
        return next((self.values[tag] for tag in tags if tag in self.values), None)

    def add(self, tag: str, values: list[str]) -> None:
        """Keep a tag's values; `a.b` of newer dictionaries is the older `a_b`."""
        tag = tag.lower().replace(".", "_")
        first = self.values.get(tag, values)
        if all(value.strip() in (*UNKNOWN, "") for value in values):
            self.values.setdefault(tag, values)
            return
        if all(value.strip() in (*UNKNOWN, "") for value in first):
            first = values  # the other said nothing
        self.values[tag] = first
        if first != values and list(map(_unspaced, first)) != list(map(_unspaced, values)):
            self.repeated.add(tag)

    def check_once(self, beginnings: tuple[str, ...]) -> None:
        """ValueError where a tag that begins so is given twice, with different values."""
        for tag in sorted(self.repeated):
            if tag.startswith(beginnings):
                raise ValueError(f"it gives {tag} twice")


def blocks(text: str) -> list[Block]:
    """The data blocks of a CIF in their order; ValueError where there is none."""
    found: list[Block] = []
    words = list(tokens(text))
    at = 0
    while at < len(words):
        word, is_bare = words[at]
        at += 1
        start = word[:5].lower() if is_bare else ""
        if start == "data_":
            found.append(Block(word[5:]))
        elif not found:
            continue  # nothing counts before the first block
        elif start == "loop_":
            tags = []
            while at < len(words) and words[at][1] and words[at][0].startswith("_"):
                tags.append(words[at][0])
                at += 1
            values = []
            while at < len(words) and not _ends_values(*words[at]):
                values.append(words[at][0])
                at += 1
            _add_loop(found[-1], tags, values)
        elif is_bare and word[0] == "_" and at < len(words) and not _ends_values(*words[at]):
            found[-1].add(word, [words[at][0]])
            at += 1
    if not found:
        raise ValueError("it has no data_ line, with which every CIF begins")
    return found


def tokens(text: str) -> Iterator[tuple[str, bool]]:
    """The words of a CIF, and whether each stands bare, without quotes."""
    field: list[str] | None = None  # lines of a text field, between lines that begin with ;
    if text.startswith(CIF_2):
        text = TRIPLE.sub(_as_text_field, text)
    for line in text.split("\n"):  # no other mark ends a line, as a comment may hold it
        if field is not None and line.startswith(";"):
            yield "\n".join(field), False
            field, line = None, line[1:]
        elif field is not None:
            field.append(line)
            continue
        elif line.startswith(";"):
            field = [line[1:]]
            continue
        for comment, single, double, bare in WORD.findall(line):
            if bare:
                yield bare, True
            elif not comment:
                yield single or double, False
    if field is not None:
        raise ValueError("a text field, which begins with a line ';', has no end")


def _as_text_field(match: re.Match[str]) -> str:
    """A value between three quotes, as CIF 2.0 has them, between semicolons."""
    return "\n;" + match[2].replace("\n;", "\n ;") + "\n;\n"


def _unspaced(value: str) -> str:
    return "".join(value.split()).lower()


def _ends_values(word: str, is_bare: bool) -> bool:
    return is_bare and (
        word.startswith("_") or word.lower().startswith(("data_", "loop_", "save_", "global_"))
    )


def _add_loop(block: Block, tags: list[str], values: list[str]) -> None:
    number = len(block.loops)
    for tag in tags:
        block.loops[tag.lower().replace(".", "_")] = number
    if tags and len(values) % len(tags):
        block.uneven[number] = f"{len(values)} values under {len(tags)} names"
    for column, tag in enumerate(tags):
        block.add(tag, values[column :: len(tags)])
