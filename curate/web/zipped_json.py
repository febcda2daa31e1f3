"""Stream the entries of a JSON list out of a zip, without ever holding all of them in memory."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ijson

from curate.errors import InputError, first_line
from curate.web.zips import ZIP_ERRORS, check_member, complaint, open_zip

BARE_WORD = re.compile(
    rb'"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?', re.DOTALL
)
MAY_BE_LARGE = re.compile(rb"(?<![0-9.])[0-9]{19}|[0-9][eE]\+?[0-9]{3}")
LARGEST = 2**63 - 1  # that the parser reads; beyond it the whole file would be lost
ESCAPE_OR_QUOTE = re.compile(rb'\\.|"', re.DOTALL)


def check_zip(path: Path, name: str | None = None) -> None:
    """Raise ValueError unless the file is a zip that holds `name` alone, with the right checksum."""
    try:
        with open_zip(path) as archive:
            _member(archive, name)
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} does not fit")
    except ZIP_ERRORS as error:
        raise ValueError(_said(error)) from error


def entries(path: Path, name: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the entries of the JSON list in a zip.

    Args:
        path: The zip.
        name: Its member; None for a zip with one member.

    Raises:
        InputError: The file is not such a zip, holds other members, or would unpack to an
            implausible size.
    """
    try:
        archive = open_zip(path)
    except ZIP_ERRORS as error:
        raise InputError(f"{path} {_said(error)}") from error
    with archive:
        try:
            found = _member(archive, name)
            with archive.open(found) as raw:
                yield from ijson.items(Strict(raw), "item", use_float=True)
        except ijson.JSONError as error:
            raise InputError(f"{path} can't be read: {first_line(error)}") from error
        except ZIP_ERRORS as error:
            raise InputError(f"{path} {_said(error)}") from error


def _said(error: BaseException) -> str:
    return str(error) if type(error) is ValueError else complaint(error)


def _member(archive: zipfile.ZipFile, name: str | None) -> zipfile.ZipInfo:
    members = [info for info in archive.infolist() if not info.is_dir()]
    names = sorted(info.filename for info in members)
    if len(members) != 1 or (name is not None and names != [name]):
        raise ValueError(f"holds {', '.join(names[:5]) or 'nothing'}, not {name or 'one file'}")
    (member,) = members
    check_member(member)
    return member


class Strict:
    """A JSON stream without what the parser can't read and others write: NaN and Infinity become null,
    whole numbers beyond 2^63 floats, and numbers beyond every float texts."""

    def __init__(self, raw: IO[bytes]):
        self.raw = raw
        self.carry = b""
        self.in_string = False

    def read(self, size: int = -1) -> bytes:
        """About `size` bytes, empty only at the end."""
        if size == 0:
            return b""
        while True:
            chunk = self.raw.read(size)
            whole, self.carry = self.carry + chunk, b""
            if chunk:  # no word and no escape goes across a comma
                end = whole.rfind(b",") + 1
                whole, self.carry = whole[:end], whole[end:]
            if whole or not chunk:
                return self._mended(whole)

    def _mended(self, text: bytes) -> bytes:
        started_in_string = self.in_string
        if b"\\" in text:
            quotes = sum(found == b'"' for found in ESCAPE_OR_QUOTE.findall(text))
        else:
            quotes = text.count(b'"')
        self.in_string ^= quotes % 2 == 1
        if b"NaN" not in text and b"Infinity" not in text and not MAY_BE_LARGE.search(text):
            return text
        opened = b'"' if started_in_string else b""
        closed = b'"' if self.in_string else b""
        mended = BARE_WORD.sub(_readable, opened + text + closed)
        return mended[len(opened) : len(mended) - len(closed)]


def _readable(found: re.Match[bytes]) -> bytes:
    word = found[0]
    if word.startswith(b'"'):
        return word
    if word.endswith((b"NaN", b"Infinity")):
        return b"null"
    number = float(word)
    if math.isinf(number):
        return b'"' + word + b'"'
    is_whole = word.lstrip(b"-").isdigit()
    return repr(number).encode() if is_whole and abs(number) > LARGEST else word
