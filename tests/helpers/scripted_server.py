"""A server on 127.0.0.1 whose every answer a test writes itself, and the requests that it got."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes | Iterable[bytes]]


class ScriptedServer:
    """`answer` gets a request's path and gives status, headers and body; a body without a length goes
    on for as long as its pieces come."""

    def __init__(self, answer: Callable[[str], Answer]):
        self.answer = answer
        self.requests: list[
            tuple[str, dict[str, str]]
        ] = []  # path and headers, names in lower case

    def __enter__(self) -> ScriptedServer:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                owner.requests.append((self.path, headers))
                status, told, body = owner.answer(self.path)
                self.send_response(status)
                for name, value in told.items():
                    self.send_header(name, value)
                if isinstance(body, bytes):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    for piece in [body] if isinstance(body, bytes) else body:
                        self.wfile.write(piece)
                        if owner.stopped.is_set():
                            return
                except OSError:
                    return  # the client is gone

            def log_message(self, *arguments) -> None:
                pass

        self.stopped = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *exception) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()


def page(content: Any, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON."""
    return status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode()
