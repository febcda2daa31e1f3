"""What a result was measured with: versions, machine, command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "crysmmnet",
    "torch",
    "dgl",
    "transformers",
    "numpy",
    "scipy",
    "spglib",
    "pymatgen",
    "pymatgen-core",
    "matminer",
    "jarvis-tools",
    "robocrys",
)


def setting(more: tuple[str, ...] = ()) -> dict:
    """To be stored beside every number; `more` packages are named than the usual ones."""
    return {
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {shlex.join(sys.argv[1:])}".strip(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES + more},
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS", "unset"),
        "libc": " ".join(platform.libc_ver()),
    }


def checkout(commit: str, folder: Path) -> Path:
    """The folder, filled with the code of an earlier commit of this repository."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = ["git", "archive", commit]
    packed = subprocess.run(archive, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "x", "-C", folder], input=packed.stdout, check=True)
    return folder


def peak_gib() -> float:
    """Largest resident memory of this program so far; getrusage would count the one it started from."""
    status = Path("/proc/self/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(kib) / 2**20, 2)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "from source"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
