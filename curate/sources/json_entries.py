"""Entries of a JSON file: one dictionary, a list of them, or one a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import IO, Any

CHUNK = 1 << 20  # characters


def entries(file: IO[str], is_lines: bool = False) -> Iterator[Any]:
    """What each place of a file holds, or the error against it; lists and lines are not read whole.

    NaN and Infinity, which Python writes, are read. `is_lines` says that each line is an entry.
    """
    start = file.read(1)
    while start.isspace():
        start = file.read(1)
    if not start:
        return
    if start == "[" and not is_lines:
        yield from listed(file)
        return
    first = [start + file.readline()]
    while not first[-1].strip() or len(first) == 1:
        if not (line := file.readline()):
            break
        first.append(line)
    if is_lines or (len(first) > 1 and is_dictionary(first[0])):
        yield from lines(chain(first, file))
        return
    text = "".join(first) + file.read()
    try:
        yield loaded(text)
    except (ValueError, RecursionError) as error:
        some = text.split("\n")  # no other mark ends a line: a text may hold it
        if len(some) > 1 and any(map(is_dictionary, some)):  # lines whose first is broken
            yield from lines(some)
        else:
            yield ValueError(f"no JSON: {error}")


def lines(some: Iterable[str]) -> Iterator[Any]:
    """An entry, or the error against it, for each line that is not blank."""
    for number, line in enumerate(some, 1):
        if not line.strip():
            continue
        try:
            yield loaded(line)
        except (ValueError, RecursionError) as error:  # whole numbers of 4,301 digits too
            yield ValueError(f"line {number} is no JSON: {error}")


def listed(file: IO[str]) -> Iterator[Any]:
    """The members of a list whose opening bracket is read already, one by one."""
    twice: list[str] = []
    decoder = json.JSONDecoder(object_pairs_hook=partial(dictionary, twice))
    text, at, is_end = "", 0, False
    number = n_commas = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            n_commas += text[at] == ","
            at += 1
        if at < len(text) and text[at] == "]":
            rest = text[at + 1 :]
            while not rest.strip() and (rest := file.read(CHUNK)):
                pass
            if rest.strip():
                yield ValueError("more follows the end of the list, which was not read")
            return
        twice.clear()
        try:
            member, end = decoder.raw_decode(text, at)
            if end == len(text) and not is_end:
                raise json.JSONDecodeError("may go on", text, end)
        except (ValueError, RecursionError) as error:
            if is_end:
                reason = "the list has no end" if at >= len(text) else str(error)
                yield ValueError(f"entry {number} can't be read, nor what follows it: {reason}")
                return
            more = file.read(max(CHUNK, len(text) - at))
            text, at, is_end = text[at:] + more, 0, not more
            continue
        if n_commas != (number > 0):
            yield ValueError(f"{n_commas} commas before entry {number}: something is missing there")
        yield twice_given(twice[0]) if twice else member
        number, at, n_commas = number + 1, end, 0


def loaded(text: str) -> Any:
    """What a text of JSON holds; ValueError where a dictionary has a name twice."""
    twice: list[str] = []
    found = json.loads(text, object_pairs_hook=partial(dictionary, twice))
    if twice:
        raise twice_given(twice[0])
    return found


def dictionary(twice: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The dictionary of these pairs; names that are there twice are noted."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice += [name for name in found if names.count(name) > 1][:1]
    return found


def twice_given(name: str) -> ValueError:
    return ValueError(f"it gives {name[:40]!r} twice")


def is_dictionary(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
