"""Flip bits in, cut and empty the files of a run folder; all must be noticed, and made anew by the build."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builds import Crystals, some
from plain_build import contents, describe

from curate.build import build
from curate.config import BuildConfig
from curate.errors import InputError
from curate.run.folder import Run


def small_build(folder: Path) -> None:
    config = BuildConfig(out=folder, workers=1, shard_size=4)
    build(config, source=Crystals(some(12)), describe=describe)


def changed(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """The bytes with one change, and its kind."""
    kind = chance.choice(["bit flipped"] * 7 + ["cut", "emptied", "block zeroed", "bytes added"])
    at = chance.randrange(len(data))
    match kind:
        case "bit flipped":
            return kind, data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case "cut":
            return kind, data[:at]
        case "emptied":
            return kind, b""
        case "block zeroed":
            zeroed = data[:at] + bytes(len(data[at : at + 64])) + data[at + 64 :]
            return kind, zeroed if zeroed != data else data[:at]
    return kind, data[:at] + chance.randbytes(3) + data[at:]


def attack(n: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Kind, result and file of n changes; every twentieth folder is built again and compared."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        small_build(run)
        before = contents(run)
        shutil.copytree(run, Path(name) / "kept")
        files = [run / file for file in before]
        for number in range(n):
            path = chance.choice(files)
            data = path.read_bytes()
            kind, other = changed(data, chance)
            path.write_bytes(other)
            is_noticed = path in [error.path for error in Run(run).damage()]
            yield kind, "noticed" if is_noticed else "silent", path.name
            if number % 20 == 0:
                yield "built again", built_again(run, before), f"{kind} in {path.name}"
                shutil.rmtree(run)
                shutil.copytree(Path(name) / "kept", run)
            path.write_bytes(data)


def built_again(run: Path, before: dict[str, str]) -> str:
    """What the command that built the run makes of a damaged one."""
    try:
        small_build(run)
    except InputError as error:  # other settings, as far as can be told
        return "noticed" if "its digest does not fit" in str(error) else f"silent: {error}"
    return "made anew" if contents(run) == before else "silent: other bytes"
