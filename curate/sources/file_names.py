"""What the name of a structure file says: its format, and the id of its crystal."""

from __future__ import annotations

import os
from pathlib import Path

KINDS = {
    ".cif": "cif",
    ".mcif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    ".contcar": "poscar",
    ".extxyz": "extxyz",
    ".xyz": "extxyz",
    ".json": "json",
    ".jsonl": "jsonl",
}


def kind(path: Path) -> str:
    """The file's format, from its name; empty where it is none of ours."""
    name = unpacked_name(path)
    by_ending = KINDS.get(Path(name).suffix.lower(), "")
    return by_ending or ("poscar" if name.upper().startswith(("POSCAR", "CONTCAR")) else "")


def name_of(path: Path) -> str:
    """The id of a file with one structure: its name without the ending, of a plain POSCAR its folder's."""
    return path.resolve().parent.name if is_plain_poscar(path) else bare_name(path)


def bare_name(path: Path) -> str:
    """The file's name without an ending that says its format: `POSCAR.1` and `x0.25` are whole."""
    name = unpacked_name(path)
    ending = Path(name).suffix
    return name[: -len(ending)] if ending.lower() in KINDS else name


def unpacked_name(path: Path) -> str:
    return path.name[:-3] if path.name.lower().endswith(".gz") else path.name


def is_plain_poscar(path: Path) -> bool:
    return unpacked_name(path).upper() in ("POSCAR", "CONTCAR")


def common_folder(paths: list[Path]) -> Path:
    """The innermost folder that holds all files."""
    return Path(os.path.commonpath([path.parent for path in paths]))
