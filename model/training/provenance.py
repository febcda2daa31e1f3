"""Record where a training's data came from and what it ran on."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from curate import __version__
from curate.files import sha256_of
from model.data.prepared_folder import Origin
from model.network.message_passing import Backend

HERE = ("torch", "numpy")  # what trains
LIBRARIES = ("torch", "transformers", "datasets", "numpy")  # what also reads the dataset


def provenance(origin: Origin, passing: str, seconds: float) -> dict[str, Any]:
    """What training.json holds: data with revision, SHA-256 of what was read, machine, duration.

    `passing` is the library that passes messages, as `message_passing` names it.
    """
    return {
        "data": origin.data,
        "revision": origin.revision,
        "contents_sha256": origin.contents,
        "code_sha256": code_sha256(),
        "hardware": hardware(),
        "message_passing": passing,
        "seconds": round(seconds, 3),
        "versions": {**origin.versions, **versions(HERE)},
    }


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Of Python, of this package and of these libraries."""
    return {
        "python": platform.python_version(),
        "crysmmnet": __version__,
        **{name: version(name) for name in libraries},
    }


def code_sha256() -> str:
    """SHA-256 of the Python files of both packages, by their names: which code a result was made with."""
    total = hashlib.sha256()
    for package in ("curate", "model"):
        place = Path(str(files(package)))
        for path in sorted(place.rglob("*.py")):
            name = f"{package}/{path.relative_to(place).as_posix()}"
            total.update(f"{name} {sha256_of(path).hex()}\n".encode())
    return total.hexdigest()


def message_passing(library: Backend) -> str:
    """The library that passes messages, with its version: `dgl 1.1.3`."""
    return f"{library} {version(library)}"


def hardware() -> str:
    """What the training ran on, in words: `NVIDIA H100 80GB HBM3`, or the processor and threads."""
    if torch.cuda.is_available():
        n_devices = int(os.environ.get("WORLD_SIZE", "1"))
        return f"{n_devices} × {torch.cuda.get_device_name()}"
    return f"{processor()}, {torch.get_num_threads()} threads"


def processor() -> str:
    """The processor's name, as Linux knows it."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)$", info.read_text(), re.M) if info.exists() else []
    return names[0].strip() if names else platform.machine()
