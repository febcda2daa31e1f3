"""Open zips from outside: what damages or forges them is one sentence, and what they hold has bounds."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path

from curate.errors import first_line

LARGEST = 16 * 2**30  # bytes unpacked; the largest known table has 2
DENSEST = 200  # times smaller when packed; tables of crystals pack 5 to 10 times
MOST_MEMBERS = 1_000_000  # the paper's corpus has some 130,000
ENCRYPTED = 0x1  # of a member's flags
SHORTEST_ENTRY = 46  # bytes of a member in the table at a zip's end
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
ZIP_ERRORS = (  # what Python's reader raises for zips that are damaged, forged or of another kind
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,  # a method or a version that it does not know
    RuntimeError,  # an encrypted member
    OverflowError,
    UnicodeError,
    OSError,
    ValueError,
)


def open_zip(path: Path) -> zipfile.ZipFile:
    """The zip, with its table of members read.

    Raises:
        ValueError: It holds implausibly many members; the message goes on from the zip's name.
        ZIP_ERRORS: It can't be read; see `complaint`.
    """
    n_members = announced_members(path)
    if n_members > MOST_MEMBERS:
        raise ValueError(f"holds {n_members:,} members, and at most {MOST_MEMBERS:,} are read")
    return zipfile.ZipFile(path)


def announced_members(path: Path) -> int:
    """How many members the end of a zip announces, by number and by the size of their table."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2**16 - 22))
        tail = file.read()
        place = tail.rfind(END)
        if place < 0 or len(tail) < place + 22:
            return 0  # no zip, which its reader says better
        number, table = struct.unpack_from("<HI", tail, place + 10)
        if place >= 20 and tail[place - 20 :].startswith(LOCATOR_64):
            (start,) = struct.unpack_from("<Q", tail, place - 12)
            file.seek(min(start, size))
            end = file.read(56)
            if end.startswith(END_64) and len(end) == 56:
                number, table = struct.unpack_from("<QQ", end, 32)
    return max(number, min(table, size) // SHORTEST_ENTRY)


def check_member(member: zipfile.ZipInfo) -> None:
    """Raise ValueError, whose message goes on from the zip's name, for a member that is not read."""
    if member.flag_bits & ENCRYPTED:
        raise ValueError(
            f"holds {member.filename} encrypted; unpack it and pack it without password"
        )
    if member.file_size > min(LARGEST, DENSEST * max(member.compress_size, 1)):
        raise ValueError(
            f"would unpack {member.compress_size:,} bytes to {member.file_size:,}, "
            "which no table of crystals does"
        )


def complaint(error: BaseException) -> str:
    """What one of ZIP_ERRORS says, in words that go on from the zip's name."""
    if isinstance(error, EOFError):
        return "is cut off"
    if isinstance(error, NotImplementedError):
        return f"is packed in a way that can't be read ({first_line(error)}); pack it with deflate"
    return f"is damaged ({first_line(error)}); get it again"
