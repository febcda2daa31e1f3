"""optimade-python-tools' own server on 127.0.0.1 with crystals of the embedded sample, and its faults.

The server is this file run as a program. `/planned` is ours: PUT the faults of the next answers, GET
the addresses that were asked for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CONTROL = "/planned"
DISORDERED, UNKNOWN, IMPLIED, SLAB, SILENT = "tst-2", "tst-3", "tst-4", "tst-5", "tst-6"


def documents(n: int) -> list[dict[str, Any]]:
    """tst-1 to tst-n as OPTIMADE's JSON, five of them no ordered crystals."""
    from optimade.adapters.structures.pymatgen import from_pymatgen

    from curate.sources.sample import Sample

    found = []
    for number, record in zip(range(1, n + 1), Sample().records(), strict=False):
        attributes = from_pymatgen(record.to_pymatgen()).model_dump(mode="json")
        attributes["species"].sort(
            key=lambda kind: kind["name"] != attributes["species_at_sites"][0]
        )
        attributes["last_modified"] = "2026-01-01T00:00:00Z"
        attributes["space_group_it_number"] = record.spacegroup_number
        attributes["energy"] = record.properties["formation_energy_peratom"]
        attributes["label"] = record.material_id
        found.append({"id": f"tst-{number}", "type": "structures", "attributes": attributes})
    by_id = {document["id"]: document["attributes"] for document in found}
    by_id[DISORDERED]["structure_features"] = ["disorder"]
    by_id[DISORDERED]["species"][0] |= {
        "chemical_symbols": ["Cu", "Au"],
        "concentration": [0.25, 0.75],
    }
    by_id[UNKNOWN]["species"][0]["chemical_symbols"] = ["X"]
    by_id[IMPLIED]["structure_features"] = ["implicit_atoms"]
    by_id[SLAB] |= {"dimension_types": [1, 1, 0], "nperiodic_dimensions": 2}
    by_id[SILENT]["cartesian_site_positions"] = None
    by_id[SILENT]["energy"] = None
    return found


class OptimadeServer:
    """The running server; settings are those of its ServerConfig."""

    def __init__(self, folder: Path, entries: Iterable[dict[str, Any]], **settings):
        self.config_file = folder / "config.json"  # in place of one in the home folder
        self.config_file.write_text("{}")
        path = folder / "structures.jsonl"
        header = {"x-optimade": {"meta": {"api_version": "1.2.0"}}}
        lines = [header, *entries]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        field = {
            "name": "energy",
            "type": "float",
            "unit": "eV/atom",
            "description": "of formation",
        }
        label = {"name": "label", "type": "string", "description": "another id"}
        self.settings = {
            "insert_from_jsonl": str(path),
            "insert_test_data": False,
            "log_dir": str(folder / "log"),
            "log_level": "error",
            "provider": {"prefix": "tst", "name": "Test database", "description": "of tests"},
            "provider_fields": {"structures": [field, label]},
            "validate_api_response": False,  # its model knows no structure without positions
            **settings,
        }

    def __enter__(self) -> OptimadeServer:
        command = [sys.executable, __file__, json.dumps(self.settings)]
        environment = {**os.environ, "OPTIMADE_CONFIG_FILE": str(self.config_file)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self.process.stdout is not None
        port = next((line for line in self.process.stdout if line.startswith("port ")), "")
        assert port, (
            "the server does not start; `python tests/helpers/optimade_server.py {}` shows why"
        )
        self.url = f"http://127.0.0.1:{port.split()[1]}"
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.communicate()

    def fail(self, *faults: dict[str, Any]) -> None:
        """Plan the next answers to questions for structures: {} is none, else a status with `headers`
        and `body`, or `cut` in the middle."""
        body = json.dumps(faults).encode()
        urllib.request.urlopen(
            urllib.request.Request(self.url + CONTROL, data=body, method="PUT")
        ).close()

    def asked(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        with urllib.request.urlopen(self.url + CONTROL) as answer:
            return json.loads(answer.read())


class Faulty:
    """The real application, with planned faults in front of it."""

    def __init__(self, application):
        self.application = application
        self.planned: list[dict[str, Any]] = []
        self.asked: list[str] = []

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.application(scope, receive, send)
        if scope["path"] == CONTROL:
            if scope["method"] == "PUT":
                self.planned[:] = json.loads((await receive())["body"])
                self.asked.clear()
            told, self.asked = json.dumps(self.asked).encode(), []
            return await answer(send, 200, told)
        self.asked.append(f"{scope['path']}?{scope['query_string'].decode()}")
        is_query = scope["path"].endswith("/v1/structures")
        fault = self.planned.pop(0) if self.planned and is_query else {}
        if not fault:
            return await self.application(scope, receive, send)
        length = {"Content-Length": "1000"} if fault.get("cut") else {}
        headers = {**fault.get("headers", {}), **length}
        await answer(send, fault.get("status", 200), fault.get("body", "").encode(), headers)
        return None


async def answer(send, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def serve(settings: dict[str, Any]) -> None:
    """Answer until terminated; the port is a line of standard output."""
    import socket

    import uvicorn
    from optimade.server.config import ServerConfig
    from optimade.server.create_app import create_app

    listener = socket.create_server(("127.0.0.1", 0))
    root = f"http://127.0.0.1:{listener.getsockname()[1]}"
    license = settings.pop("license", None)
    config = ServerConfig(base_url=root, **settings)
    config.__dict__["license"] = (
        license  # an ordinary assignment would look its page up on spdx.org
    )
    application = create_app(config)
    settings_of_uvicorn = {"log_level": "error", "loop": "asyncio", "http": "h11"}
    print("port", listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(Faulty(application), **settings_of_uvicorn)).run(
        sockets=[listener]
    )


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
