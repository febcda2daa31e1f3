"""What run folders take on disk: bytes a crystal of each part.

    python benchmarks/disk.py RUN …

Each RUN is a finished run folder; its name is the row's name. Writes results/disk.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro
from setting import setting

from curate.run.folder import Run

RESULT = Path(__file__).parent / "results" / "disk.json"


@dataclass(frozen=True)
class Config:
    """Which runs are measured."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Finished run folders."""


def main() -> None:
    """Write the sizes."""
    tables = []
    for folder in tyro.cli(Config, description=__doc__).runs:
        run = Run.load(folder)
        assert run.fetched is not None
        n = run.fetched["entries"]
        parts = (run.structures, run.descriptions, run.dataset)
        sizes = {part.name: round(size_of(part) / n) for part in parts}
        tables.append({"run": folder.name, "crystals": n, "bytes_a_crystal": sizes})
    known = {**setting(("pyarrow",)), "command": "python benchmarks/disk.py RUN …"}
    result = {"runs": tables, "setting": known}
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(RESULT.read_text())


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
