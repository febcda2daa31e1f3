"""Entries of a JSON file: one dictionary, a list of them, or one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    first = start + file.readline()
    rest = ""
    while not rest.strip() and (line := file.readline()):
        rest += line
    if is_lines or (rest.strip() and is_dictionary(first)):
        yield from lines(first, rest, file)
        return
    text = first + rest + file.read()
    try:
        yield json.loads(text)
    except (ValueError, RecursionError) as error:
        some = text.splitlines()
        if len(some) > 1 and any(map(is_dictionary, some)):  # lines whose first is broken
            yield from lines(some[0], "\n".join(some[1:]), None)
        else:
            yield ValueError(f"no JSON: {error}")


def lines(first: str, rest: str, file: IO[str] | None) -> Iterator[Any]:
    """An entry, or the error against it, for each line that is not blank."""
    number = 0
    for some in ([first], rest.splitlines(), file or ()):
        for line in some:
            number += 1
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:  # whole numbers of 4,301 digits too
                yield ValueError(f"line {number} is no JSON: {error}")


def listed(file: IO[str]) -> Iterator[Any]:
    """The members of a list whose opening bracket is read already, one by one."""
    decoder = json.JSONDecoder()
    text, at, is_end = "", 0, False
    number = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if at < len(text) and text[at] == "]":
            return
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
        yield member
        number, at = number + 1, end


def is_dictionary(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
