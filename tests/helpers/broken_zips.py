"""Zips that are damaged or forged in one place, made from a good one."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from io import BytesIO

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def patched(content: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """The zip with other bytes at a place of every record that begins with `mark`."""
    whole, place = bytearray(content), content.find(mark)
    while place >= 0:
        whole[place + offset : place + offset + len(value)] = value
        place = content.find(mark, place + 4)
    return bytes(whole)


def encrypted(content: bytes) -> bytes:
    return patched(patched(content, LOCAL, 6, b"\x01\x00"), CENTRAL, 8, b"\x01\x00")


def unknown_method(content: bytes) -> bytes:
    return patched(patched(content, LOCAL, 8, b"\x63\x00"), CENTRAL, 10, b"\x63\x00")


def newer_version(content: bytes) -> bytes:
    return patched(content, CENTRAL, 6, b"\xff\x00")


def wrong_checksum(content: bytes) -> bytes:
    return patched(patched(content, LOCAL, 14, b"\1\2\3\4"), CENTRAL, 16, b"\1\2\3\4")


def garbled_data(content: bytes) -> bytes:
    """Every packed byte is wrong; the tables are right."""
    whole = bytearray(content)
    with zipfile.ZipFile(BytesIO(content)) as archive:
        for info in archive.infolist():
            start = info.header_offset + 30 + len(info.filename.encode())
            whole[start : start + info.compress_size] = b"\xff" * info.compress_size
    return bytes(whole)


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def garbled_directory(content: bytes) -> bytes:
    return patched(content, CENTRAL, 0, b"XXXX")


def many_members(content: bytes) -> bytes:
    """Its end announces a table of members of 4 GB."""
    return patched(content, END, 12, struct.pack("<I", 0xFFFFFFF0)) + bytes(0)


def dense(content: bytes) -> bytes:
    """Every member announces that it unpacks to 4 GB."""
    return patched(content, CENTRAL, 24, struct.pack("<I", 0xFFFFFFF0))


def moved(content: bytes) -> bytes:
    """Every member lies elsewhere than the table says."""
    return patched(content, CENTRAL, 42, struct.pack("<I", 7))


BREAKS: list[Callable[[bytes], bytes]] = [
    *(encrypted, unknown_method, newer_version, wrong_checksum, garbled_data),
    *(cut, garbled_directory, many_members, dense, moved),
]
