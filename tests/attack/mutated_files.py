"""Mutated structure files of every format: each is read or refused with a reason, in time."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builds import some

from curate.record import StructureRecord
from curate.run.folder import Run, table_of
from curate.sources.files import read_file
from curate.work.frozen_pages import storable_entry
from curate.work.pool import FailedTask, Limits
from curate.work.reading import read_each

FORMATS = {"cif": "cif", "vasp": "poscar", "json": "json", "extxyz": ""}
ODD = (
    b"1e400",
    b"-0",
    b"nan",
    b"99999999999999999999",
    b"\xff\xfe",
    b"\0",
    b"'",
    b'"',
    b"\xf0\x9f",
)
ODD += (b"data_", b"loop_\n", b"{", b"]", b"\r", b"\t", b"?", b".", b"1/0", b"x,y,z", b"Xx", b"D")
LIMITS = Limits(1, 20.0, 1.0)


def originals() -> list[tuple[str, bytes]]:
    """Ending and content of good files."""
    found = []
    for record in some(24):
        structure = record.to_pymatgen()
        for ending, kind in FORMATS.items():
            text = structure.to(fmt=kind) if kind else extxyz(record)
            found.append((ending, text.encode()))
    return found


def extxyz(record: StructureRecord) -> str:
    lattice = " ".join(str(x) for row in record.lattice_vectors for x in row)
    lines = [str(record.nsites), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 energy=-1.5']
    sites = zip(record.species_at_sites, record.cartesian_site_positions, strict=True)
    lines += [f"{symbol} {x} {y} {z}" for symbol, (x, y, z) in sites]
    return "\n".join(lines * 2) + "\n"


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """The bytes after one to four changes."""
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 4, 40, 400))
        match chance.randrange(7):
            case 0:
                data = data[:at] + data[at + length :]
            case 1:
                data = data[:at] + chance.choice(ODD) + data[at:]
            case 2:
                data = data[:at] + data[at : at + length] * chance.randint(2, 9) + data[at:]
            case 3:
                data = data[:at] + chance.choice(others)[at:]
            case 4 if data:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            case 5:
                lines = data.splitlines(keepends=True)
                chance.shuffle(lines)
                data = b"".join(lines)
            case _:
                data = data.replace(b"0", chance.choice(ODD), 1)
    return data


def attack(n: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Format, result and file of n mutated files."""
    chance, good = random.Random(seed), originals()
    with tempfile.TemporaryDirectory() as name:
        tasks = []
        for number in range(n):
            ending, data = chance.choice(good)
            others = [other for kind, other in good if kind == ending]
            path = Path(name) / f"m{number}.{ending}"
            path.write_bytes(mutated(data, others, chance))
            tasks.append((path,))
        found: dict[int, list] = {number: [] for number in range(n)}
        for number, entry in read_each(read_file, tasks, LIMITS):
            found[number].append(entry)
        run = Run(Path(name) / "run")
        run.check_settings({"source": {}, "settings": {}, "describe": {}, "versions": {}})
        for number, entries in found.items():
            path = tasks[number][0]
            yield path.suffix[1:], result(run, number, entries), path.name


def result(run: Run, number: int, entries: list) -> str:
    """Whether a file was read or refused, and what it gave is stored as it is."""
    if not entries:
        return "silent: no entry and no reason"
    if failed := [entry for entry in entries if isinstance(entry, FailedTask)]:
        return "noticed" if failed[0].status == "timeout" else f"silent: {failed[0].error_message}"
    kept = [storable_entry(entry) for entry in entries]
    run.write_structures(number, table_of(kept))
    if repr(run.read_structures(number)) != repr(kept):  # NaN is no NaN
        return "silent: stored otherwise"
    return "read" if all(isinstance(e, StructureRecord) for e in entries) else "noticed"
