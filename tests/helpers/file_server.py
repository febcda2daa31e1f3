"""Files over HTTP on 127.0.0.1, as figshare's storage gives them, and every way they fail to come."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 1 << 14


@dataclass
class Request:
    """What was asked and how much was sent."""

    path: str
    range: str | None
    sent: int = 0


@dataclass
class FileServer:
    """Every path has the same content. `faults` are used up one a request, "" is none.

    cut: half of the body, then a closed connection. stall: half, then silence. short: the first half
    as if it were all. flipped: one wrong byte. A number: that status. html, challenge: what bot
    walls answer. storm: 429 with Retry-After. plain: no Range, no ETag.
    """

    content: bytes
    tag: str = '"v1"'
    faults: dict[str, list[str]] = field(default_factory=dict)  # by path
    pace: float = 0.0  # s between chunks
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> FileServer:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.answer(self)

            def log_message(self, *arguments) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.stopped = threading.Event()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *exception) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        waiting = self.faults.get(handler.path, [])
        fault = waiting.pop(0) if waiting else ""
        request = Request(handler.path, handler.headers.get("Range"))
        self.requests.append(request)
        if fault.isdigit():
            _say(handler, int(fault), b"")
        elif fault == "storm":
            _say(handler, 429, b"", {"Retry-After": "0"})
        elif fault == "challenge":
            _say(handler, 202, b"", {"x-amzn-waf-action": "challenge"})
        elif fault == "html":
            _say(handler, 200, b"<html>are you human?</html>", {"Content-Type": "text/html"})
        else:
            self.send(handler, fault, request)

    def send(self, handler: BaseHTTPRequestHandler, fault: str, request: Request) -> None:
        content, start, status = self.content, 0, 200
        if fault == "short":
            content = content[: len(content) // 2]
        if fault == "flipped":
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        headers = {} if fault == "plain" else {"ETag": self.tag, "Accept-Ranges": "bytes"}
        if request.range and fault != "plain" and handler.headers.get("If-Range") == self.tag:
            start, status = int(request.range.removeprefix("bytes=").split("-")[0]), 206
            if start >= len(content):
                return _say(handler, 416, b"")
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        end = len(body) // 2 if fault in ("cut", "stall") else len(body)
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            for place in range(0, end, CHUNK):
                handler.wfile.write(body[place : min(end, place + CHUNK)])
                request.sent += min(end, place + CHUNK) - place
                time.sleep(self.pace)
        except OSError:
            return None  # the client is gone
        if fault == "stall":
            self.stopped.wait(30)
        if fault in ("cut", "stall"):
            handler.close_connection = True
        return None


def _say(handler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
