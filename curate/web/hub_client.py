"""The Hugging Face Hub's client: where its token may go, what an answer may take, which errors pass.

Its client is one for all threads of a process, so what is set here is set once and stays.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers
from huggingface_hub.utils._http import default_client_factory  # what it sets by itself

from curate.errors import InputError
from curate.web.bounds import LARGEST_ANSWER, LONGEST_ANSWER, stays_at_host
from curate.web.retry import (
    LONGEST_REQUESTED_WAIT,
    TEMPORARY_STATUSES,
    LongWait,
    chain_of,
    retry_after,
)

# Network errors: the HTTP client's, Python's (raised by uploads through xet), and a gateway's HTML
# page where JSON is expected.
NETWORK_ERRORS = (httpx2.TransportError, ConnectionError, TimeoutError, json.JSONDecodeError)
# Also temporary at the Hub: a repository being created (409), another commit in between (412).
HUB_TEMPORARY = (*TEMPORARY_STATUSES, 409, 412)
LARGEST_PACKED = 4 * 2**20  # bytes of an answer that is sent packed
SLOWEST = 50_000  # bytes a second of a range of a file, beyond LONGEST_ANSWER
RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")

_endpoints: dict[str, set[str]] = {}  # by token: where it may go
_is_guarded = False


def guard_client() -> None:
    """From now on the Hub's client keeps to bounds.

    A wait beyond LONGEST_REQUESTED_WAIT, which it would sleep through, is a LongWait; an answer with
    more bytes than were asked for, or than any answer of the Hub's interface has, is an InputError, as is
    one that takes longer than LONGEST_ANSWER. Files that are downloaded whole have no bound here.
    """
    global _is_guarded
    if not _is_guarded:
        set_client_factory(_guarded)
        _is_guarded = True


def keep_token(endpoint: str, token: str) -> None:
    """From now on, a request that would take the token to another host than the endpoint's is an
    InputError: the client sends it to whatever address an answer names as the next one."""
    guard_client()
    _endpoints.setdefault(token, set()).add(endpoint)


def cause(error: BaseException) -> BaseException:
    """The HTTP or network error below the errors that the client wraps around it."""
    for link in chain_of(error):
        if isinstance(link, (HfHubHTTPError, *NETWORK_ERRORS)):
            return link
    return error


def is_temporary(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    happened = cause(error)
    if isinstance(happened, HfHubHTTPError):
        # A large file's address is signed for a limited time; the next attempt gets a new one.
        is_expired = (
            happened.response.status_code == 403 and happened.response.request.method == "PUT"
        )
        return is_expired or happened.response.status_code in HUB_TEMPORARY
    return isinstance(happened, NETWORK_ERRORS) and not isinstance(happened, OfflineModeIsEnabled)


def requested_wait(error: BaseException) -> float | None:
    """Seconds the Hub asks to wait, by Retry-After or RateLimit; None where it does not ask."""
    happened = cause(error)
    if not isinstance(happened, HfHubHTTPError):
        return None
    headers = happened.response.headers
    limit = parse_ratelimit_headers(headers)
    if happened.response.status_code == 429 and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    return retry_after(headers)


def _guarded() -> httpx2.Client:
    client = default_client_factory()
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], _check_request],
        "response": [*hooks["response"], _check_response],
    }
    return client


def _check_request(request: httpx2.Request) -> None:
    url = str(request.url)
    for token, endpoints in list(_endpoints.items()):
        is_told = any(token in value for value in request.headers.values())
        if is_told and not any(stays_at_host(endpoint, url) for endpoint in endpoints):
            raise InputError(
                f"{min(endpoints)} names an address at {request.url.host}:{request.url.port or ''} for "
                "what needs your token, which goes nowhere else: see whether HF_ENDPOINT is right"
            )


def _check_response(response: httpx2.Response) -> None:
    limit = parse_ratelimit_headers(response.headers)
    waits = [retry_after(response.headers)] if response.status_code >= 400 else []
    if limit is not None and response.status_code == 429 and limit.remaining == 0:
        waits.append(float(limit.reset_in_seconds))
    for seconds in waits:
        if seconds is not None and not seconds <= LONGEST_REQUESTED_WAIT:
            raise LongWait(seconds)
    most = _most_bytes(response)
    if most is not None:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            most = min(most, LARGEST_PACKED)
        response.stream = _Bounded(response.stream, most, str(response.request.url.host))


def _most_bytes(response: httpx2.Response) -> int | None:
    """How long the body may be; None for a file that is downloaded whole."""
    asked = RANGE.fullmatch(response.request.headers.get("Range", ""))
    if response.status_code >= 400 or "/api/" in response.request.url.path:
        return LARGEST_ANSWER
    return int(asked[2]) - int(asked[1]) + 1 if asked else None


class _Bounded(httpx2.SyncByteStream):
    """A body up to a number of bytes and of seconds."""

    def __init__(self, stream, most: int, host: str):
        self.stream, self.most, self.host = stream, most, host

    def __iter__(self) -> Iterator[bytes]:
        left, deadline = self.most, time.monotonic() + LONGEST_ANSWER + self.most / SLOWEST
        for chunk in self.stream:
            left -= len(chunk)
            if left < 0:
                raise InputError(f"{self.host} sends more than {self.most:,} bytes in one answer")
            if time.monotonic() > deadline:
                raise InputError(f"{self.host} takes too long for one answer; try again later")
            yield chunk

    def close(self) -> None:
        self.stream.close()
