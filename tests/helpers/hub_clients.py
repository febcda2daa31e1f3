"""Real clients of a test Hub, each in a process of its own: they read HF_ENDPOINT when imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hub_server import HubServer

TOKEN = "hf_planted_0123456789abcdefghijklmn"


def environment(
    hub: HubServer, home: Path, token: str | None = TOKEN, **more: str
) -> dict[str, str]:
    """Environment variables of a client that knows only this Hub and has an empty cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {
        **kept,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
        **({"HF_TOKEN": token} if token else {}),
        **more,
    }


def start(
    hub: HubServer, home: Path, *arguments: str, token: str | None = TOKEN, **more: str
) -> subprocess.Popen[str]:
    """Python with these arguments, its output to be read."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment(hub, home, token, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    hub: HubServer, home: Path, *arguments: str, token: str | None = TOKEN, **more: str
) -> subprocess.CompletedProcess[str]:
    """The same, waited for."""
    process = start(hub, home, *arguments, token=token, **more)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
