"""The Materials Project's REST interface on 127.0.0.1: the routes that its client calls here.

Written after the real client's calls and MP's own server: heartbeat without a key; documents by ids
in any form, paged by `_limit` and `_skip`, with the fields of `_fields`. Every answer can be made to
fail: see `Fault`.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import mp_crystals
import uvicorn
from emmet.core.types.typing import format_identifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

KEY = "k3yOfATestAccount0123456789abcde"  # 32 letters and digits, as a real one
LONGEST_ADDRESS = 16_000  # characters; a longer one is answered with 414


@dataclass
class Fault:
    """What goes wrong at one route, the next `times` times it is called."""

    route: str
    status: int | None = None  # None: the connection is cut in the middle of the answer
    times: int = 1
    retry_after: int | str | None = None  # s
    location: str | None = None  # where a redirect goes
    body: str = "<html><h1>gateway</h1></html>"
    delay: float = 0.0  # s before the answer


@dataclass(frozen=True)
class Call:
    """One request."""

    route: str
    parameters: dict[str, str]
    status: int  # 0 where the connection was cut
    time: float  # s, monotonic


@dataclass
class MPServer:
    """The server and what it holds, to be read and set by tests."""

    summary: list[dict[str, Any]] = field(default_factory=list)
    robocrys: list[dict[str, Any]] = field(default_factory=list)
    version: str = mp_crystals.VERSION
    has_gnome: bool = False  # whether the account accepted GNoME's terms
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        routes = [
            Route("/heartbeat", self.answering("heartbeat", self.heartbeat)),
            Route("/materials/summary/", self.answering("summary", self.documents)),
            Route("/materials/robocrys/", self.answering("robocrys", self.documents)),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical")
        config.h11_max_incomplete_event_size = 1_000_000
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True
        )

    def __enter__(self) -> MPServer:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join()

    @property
    def environment(self) -> dict[str, str]:
        """What lets the real client find the server."""
        return {"MP_API_ENDPOINT": self.url, "MP_API_KEY": KEY}

    def fail(self, route: str, status: int | None, **fields) -> None:
        """Plan a fault; see `Fault`."""
        self.faults.append(Fault(route, status, **fields))

    def count(self, route: str, status: int = 200) -> int:
        """How often a route was answered with this status."""
        return sum(call.route == route and call.status == status for call in self.calls)

    def answering(self, route: str, endpoint):
        """The endpoint with planned faults and a log entry."""

        async def answer(request: Request) -> Response:
            response = await self.failing(route)
            if response is None and len(str(request.url)) > LONGEST_ADDRESS:
                response = HTMLResponse("<html>URI Too Long</html>", 414)
            is_open = route == "heartbeat" or request.headers.get("x-api-key") == KEY
            if response is None and not is_open:
                response = JSONResponse({"message": "Invalid authentication"}, 401)
            response = response or endpoint(request, route)
            self.calls.append(
                Call(
                    route,
                    dict(request.query_params),
                    0 if isinstance(response, Cut) else response.status_code,
                    time.monotonic(),
                )
            )
            return response

        return answer

    async def failing(self, route: str) -> Response | None:
        for fault in self.faults:
            if fault.route == route and fault.times > 0:
                fault.times -= 1
                await asyncio.sleep(fault.delay)
                if fault.status is None:
                    return Cut("{")
                told = {"Retry-After": fault.retry_after, "Location": fault.location}
                headers = {name: str(value) for name, value in told.items() if value is not None}
                return HTMLResponse(fault.body, fault.status, headers)
        return None

    def heartbeat(self, request: Request, route: str) -> Response:
        return JSONResponse(
            {
                "status": "OK",
                "time": "now",
                "version": "0.87.3",
                "db_version": self.version,
                "access_controlled_batch_ids": ["gnome_r2scan_statics"],
            }
        )

    def documents(self, request: Request, route: str) -> Response:
        asked = request.query_params
        found = getattr(self, route)
        if not self.has_gnome:
            found = [doc for doc in found if doc["builder_meta"]["license"] != "BY-NC"]
        if route == "summary":  # withdrawn entries only where they are asked for
            is_wanted = asked.get("deprecated", "false").lower() == "true"
            found = [doc for doc in found if bool(doc["deprecated"]) == is_wanted]
        if "material_ids" in asked:
            ids = {legacy(spelled) for spelled in asked["material_ids"].split(",")}
            found = [doc for doc in found if legacy(doc["material_id"]) in ids]
        if "batch_id" in asked:  # the client's question whether the account sees GNoME's entries
            found = [doc for doc in found if doc["builder_meta"]["license"] == "BY-NC"]
        if "license" in asked:
            found = [doc for doc in found if doc["builder_meta"]["license"] == asked["license"]]
        skip, limit = int(asked.get("_skip", 0)), int(asked.get("_limit", 100))
        page = found[skip : skip + min(limit, 1000)]
        if fields := asked.get("_fields"):
            page = [{name: doc.get(name) for name in fields.split(",")} for doc in page]
        return JSONResponse({"data": page, "meta": {"total_doc": len(found)}})


class Cut(Response):
    """An answer that breaks off before its announced length."""

    async def __call__(self, scope, receive, send) -> None:
        headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        raise ConnectionResetError


def legacy(spelled: str) -> str:
    return str(format_identifier(spelled, legacy=True))
