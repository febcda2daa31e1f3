"""Limits on what a service may do to a client made with requests: hosts, bytes and seconds."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

LARGEST_ANSWER = 256 * 2**20  # bytes unpacked; a page of a thousand crystals has a tenth of it
LONGEST_ANSWER = 300.0  # s from the question to the last byte
CHUNK = 2**16  # bytes
DEFAULT_PORTS = {"http": 80, "https": 443}
ADDRESS = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+([/?#][\x21-\x5b\x5d-\x7e]*)?")
T = TypeVar("T")


class Refusal(requests.RequestException):
    """An answer that is not taken whatever it says; the message goes on from the server's name."""


def is_address(url: str) -> bool:
    """Whether a text is a plain HTTP address, without a user name or a password in it."""
    if not ADDRESS.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0  # a wrong port is a ValueError
    except ValueError:
        return False


def stays_at_host(known: str, url: str) -> bool:
    """Whether an address is at the host and port of a known one, and not less protected than it."""
    if not (is_address(known) and is_address(url)):
        return False
    one, other = urlsplit(known), urlsplit(url)
    if one.hostname != other.hostname:
        return False
    ports = [parts.port or DEFAULT_PORTS[parts.scheme] for parts in (one, other)]
    if one.scheme == other.scheme:
        return ports[0] == ports[1]
    return other.scheme == "https" and ports == [80, 443]


def check_redirect(response: requests.Response, **_) -> None:
    """Raise Refusal for a redirect to another host: requests would take each header there."""
    if not response.is_redirect:
        return
    location = response.headers["location"]
    try:
        target = urljoin(response.url, location)
    except ValueError:
        target = location
    if not stays_at_host(response.url, target):
        raise Refusal(
            f"sends on to another address, {target[:200]}, which is not followed",
            response=response,
        )


class BoundedAdapter(HTTPAdapter):
    """Reads each answer whole, up to a number of bytes and of seconds; beyond them it is a Refusal."""

    def __init__(self, most_bytes: int = LARGEST_ANSWER, most_seconds: float = LONGEST_ANSWER):
        super().__init__()
        self.most_bytes, self.most_seconds = most_bytes, most_seconds

    def send(self, request, stream=False, *arguments, **options):  # type: ignore[override]
        def whole(is_late: threading.Event) -> requests.Response:
            response = super(BoundedAdapter, self).send(request, True, *arguments, **options)
            body = bytearray()
            for chunk in response.iter_content(CHUNK):
                body += chunk
                if len(body) > self.most_bytes or is_late.is_set():
                    response.close()
                    raise Refusal(f"sends more than {self.most_bytes:,} bytes in one answer")
            response._content = bytes(body)  # as `Response.content` does, which has no limit
            return response

        return within(self.most_seconds, whole)


def within(seconds: float, call: Callable[[threading.Event], T]) -> T:
    """What a call returns or raises; a Refusal where it takes longer.

    A time limit between two bytes is none for a server that sends one at a time, and it doesn't hold
    for an address that is looked up. The call runs in a thread of its own, which is left alone then.

    Args:
        seconds: How long it may take.
        call: Gets an event that is set when nobody waits for it any more.
    """
    outcome: Future[T] = Future()
    is_late = threading.Event()

    def work() -> None:
        try:
            outcome.set_result(call(is_late))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        if outcome.done():  # it is the call's own
            raise
        raise Refusal(f"takes more than {seconds:.0f} s for one answer") from None
    finally:
        is_late.set()
