"""Keep the token at the Hub: its client sends it to whatever address an answer names as the next one."""

from __future__ import annotations

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils import parse_ratelimit_headers
from huggingface_hub.utils._http import default_client_factory  # what it sets by itself

from curate.hub.faults import PublishError
from curate.web.bounds import stays_at_host
from curate.web.retry import LONGEST_REQUESTED_WAIT, LongWait, retry_after

_endpoints: dict[str, set[str]] = {}  # by token: where it may go


def keep_token(endpoint: str, token: str) -> None:
    """From now on, a request that would take the token to another host than the endpoint's is a
    PublishError, and a wait beyond LONGEST_REQUESTED_WAIT, which the client would sleep through, a
    LongWait. The client is one for all threads, so this is set once and stays."""
    if not _endpoints:
        set_client_factory(_guarded)
    _endpoints.setdefault(token, set()).add(endpoint)


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
            raise PublishError(
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
