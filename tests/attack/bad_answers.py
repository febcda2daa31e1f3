"""Answers of an OPTIMADE server with anything in the place of anything: refused in one sentence, or read."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Iterator
from typing import Any

from scripted_server import Answer, ScriptedServer, page

from curate.errors import InputError
from curate.sources.optimade import Optimade
from curate.sources.optimade_client import OptimadeReader
from curate.web.retry import RetryPolicy

HASTY = RetryPolicy(attempts=2, first_wait=0.01, longest_wait=0.02)
SECONDS = 20.0
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    "",
    "²",
    "\0",
    "[/b]",
    "\x1b[31m",
    [],
    {},
    [[]],
)
ODD += ({"href": "http://127.0.0.2/"}, "x" * 100_000, "../../etc", "a\nb: c", ["Na"] * 3, {"a": {}})
ENTRY = {
    "id": "x-1",
    "type": "structures",
    "attributes": {
        "lattice_vectors": [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]],
        "cartesian_site_positions": [[0, 0, 0]],
        "species_at_sites": ["Na"],
        "species": [{"name": "Na", "chemical_symbols": ["Na"], "concentration": [1.0]}],
        "dimension_types": [1, 1, 1],
        "last_modified": "2026-01-01T00:00:00Z",
        "_tst_energy": -1.5,
    },
}
FIELD = {"description": "of formation", "unit": "eV", "type": "float"}
PAGES: dict[str, Any] = {
    "/v1/info/structures": {"data": {"properties": {"_tst_energy": FIELD}}, "meta": {}},
    "/v1/info": {
        "data": {"license": None, "api_version": "1.2.0"},
        "meta": {"provider": {"prefix": "tst", "name": "Test", "description": "of tests"}},
    },
    "/v1/structures": {"data": [ENTRY], "meta": {"data_returned": 1}, "links": {"next": None}},
}


def spoiled(content: Any, chance: random.Random) -> Any:
    """The content with something odd in a place of it."""
    content = copy.deepcopy(content)
    node = content
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = chance.choice(keys)
        child = node[key]
        if isinstance(child, dict | list) and child and chance.random() < 0.8:
            node = child
        elif chance.random() < 0.2 and isinstance(node, dict):
            del node[key]
            return content
        else:
            node[key] = chance.choice(ODD)
            return content


def answer(kind: str, path: str, chance: random.Random) -> Answer:
    """A bad answer of a kind."""
    content = next(known for start, known in PAGES.items() if path.startswith(start))
    match kind:
        case "odd content":
            return page(spoiled(content, chance))
        case "status":
            headers = {"Retry-After": chance.choice(["99999999", "-1", "x", "0"])}
            return page(
                content,
                chance.choice([204, 301, 304, 400, 403, 404, 429, 500, 503, 599]),
                **headers,
            )
        case "no JSON":
            body = json.dumps(content).encode()
            return (
                200,
                {},
                body[: chance.randrange(len(body))] + chance.randbytes(chance.randrange(4)),
            )
    return 200, {"Content-Type": "application/json"}, (b" " * 2**20 for _ in range(4096))


def attack(n: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Kind, result and words of n conversations, in each of which one kind of answer is bad."""
    chance = random.Random(seed)
    for _ in range(n):
        kind = chance.choice(["odd content"] * 8 + ["status", "no JSON"])
        spoil = chance.choice(list(PAGES))

        def answers(path: str, kind=kind, spoil=spoil) -> Answer:
            start = next((known for known in PAGES if path.startswith(known)), None)
            if start is None:
                return page({}, 404)
            return answer(kind, path, chance) if start == spoil else page(PAGES[start])

        began = time.monotonic()
        with ScriptedServer(answers) as server:
            try:
                source = Optimade(server.url, client=OptimadeReader(server.url, retry=HASTY))
                source.snapshot()
                entries = list(source.records())
                said, result = f"{len(entries)} entries", "read"
            except InputError as error:
                said = str(error)
                result = "noticed" if said.isprintable() else "silent: control characters"
            except Exception as error:
                said, result = f"{spoil}: {type(error).__name__}: {error}", "silent: traceback"
        if time.monotonic() - began > SECONDS:
            result = "silent: took too long"
        yield kind, result, said[:300]
