"""Failed call to a service in, waiting time or one clear sentence out; the sentences are the Hub's."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from curate.errors import InputError

log = logging.getLogger(__name__)

# What the line does: the client's own errors, the Python ones of its xet uploads, and a gateway's
# error page where the client expects JSON.
BROKEN_LINE = (httpx2.TransportError, ConnectionError, TimeoutError, json.JSONDecodeError)
BUSY = (408, 409, 412, 425, 429, 500, 502, 503, 504)  # the same call may succeed later
T = TypeVar("T")


class PublishError(InputError):
    """A push that can't be done; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Patience:
    """How long a call is repeated while a service is busy or the line is bad."""

    attempts: int = 8
    first_wait: float = 2.0
    """Seconds before the second attempt; doubled for each further one."""
    longest_wait: float = 120.0
    """Seconds between two attempts, unless the service asks for more."""

    def repeat(
        self,
        attempt: Callable[[], T],
        is_passing: Callable[[BaseException], bool],
        asked_wait: Callable[[BaseException], float | None],
        say_why: Callable[[RetryCallState], None],
    ) -> T:
        """The attempt's result; its last error where that doesn't pass or attempts run out.

        The attempt must be safe to repeat: it is called again after every passing fault.
        """
        retrying = Retrying(
            stop=stop_after_attempt(self.attempts),
            retry=retry_if_exception(is_passing),
            wait=lambda state: self._wait(state, asked_wait),
            before_sleep=say_why,
            reraise=True,
        )
        return retrying(attempt)

    def insist(self, attempt: Callable[[], T], repo_id: str, token: str) -> T:
        """The result of a call to the Hub, or PublishError without token or client's traceback."""

        def say_why(state: RetryCallState) -> None:
            _say_why(state, repo_id, token)

        try:
            return self.repeat(attempt, is_passing, asked_wait, say_why)
        except PublishError:
            raise
        except (OSError, RuntimeError, ValueError, httpx2.HTTPError) as error:
            reason = without_token(sentence(error, repo_id), token)
        # Raised outside the handler: the client's exception holds the request and its headers.
        raise PublishError(reason)

    def _wait(
        self, state: RetryCallState, asked_wait: Callable[[BaseException], float | None]
    ) -> float:
        assert state.outcome is not None
        error = state.outcome.exception()
        assert error is not None
        asked = asked_wait(error)
        backoff = wait_exponential_jitter(
            self.first_wait, self.longest_wait, jitter=self.first_wait
        )
        return backoff(state) if asked is None else asked


def cause(error: BaseException | None) -> BaseException | None:
    """What happened on the wire: the client wraps it in errors of its own."""
    for link in chain_of(error):
        if isinstance(link, (HfHubHTTPError, *BROKEN_LINE)):
            return link
    return error


def is_passing(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    happened = cause(error)
    if isinstance(happened, HfHubHTTPError):
        # A large file's address is signed for a limited time; the next attempt gets a new one.
        is_expired = (
            happened.response.status_code == 403 and happened.response.request.method == "PUT"
        )
        return is_expired or happened.response.status_code in BUSY
    return isinstance(happened, BROKEN_LINE) and not isinstance(happened, OfflineModeIsEnabled)


def asked_wait(error: BaseException) -> float | None:
    """Seconds the Hub asks to wait, by Retry-After or RateLimit; None where it doesn't."""
    happened = cause(error)
    if not isinstance(happened, HfHubHTTPError):
        return None
    headers = happened.response.headers
    limit = parse_ratelimit_headers(headers)
    if happened.response.status_code == 429 and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    return retry_after(headers)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds a response asks to wait, by its header Retry-After; None where it doesn't."""
    asked = headers.get("Retry-After", "")
    if asked.isdigit():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def sentence(error: BaseException, repo_id: str) -> str:
    """What went wrong with a push, and what to do about it."""
    happened = cause(error)
    assert happened is not None
    again = "run the same push again to go on: what was sent stays there"
    if isinstance(happened, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: unset it to push"
    if isinstance(happened, json.JSONDecodeError):
        return f"the Hub's answers for {repo_id} can't be read; {again}"
    if isinstance(happened, BROKEN_LINE):
        return f"the connection to the Hub fails ({first_line(happened)}); {again}"
    if not isinstance(happened, HfHubHTTPError):
        return f"{repo_id} can't be pushed: {' '.join(str(happened).split())}"
    status = happened.response.status_code
    said = first_line(happened.server_message or happened.response.reason_phrase)
    if is_passing(happened):
        where = f"{happened.response.request.method} {happened.response.request.url.path}"
        return f"the Hub goes on answering {status} ({said}) to {where}; {again}"
    if status == 401:
        return "the Hub does not accept the token: set HF_TOKEN or run `hf auth login`"
    if status == 403:
        return f"this token may not write to {repo_id} ({said}): use one with write access to it"
    return f"the Hub refuses the push to {repo_id} with {status}: {said}"


def without_token(text: str, token: str) -> str:
    """The same text with the token blotted out."""
    return text.replace(token, "<token>") if token else text


def _say_why(state: RetryCallState, repo_id: str, token: str) -> None:
    assert state.outcome is not None and state.next_action is not None
    happened = cause(state.outcome.exception())
    if isinstance(happened, HfHubHTTPError):
        reason = f"the Hub answers {happened.response.status_code}"
    else:
        reason = first_line(happened)
    log.warning(
        "push to %s: %s; attempt %d in %.0f s",
        repo_id,
        without_token(reason, token),
        state.attempt_number + 1,
        state.next_action.sleep,
    )


def deepest(error: BaseException) -> BaseException:
    """What lies under the errors that clients wrap around each other."""
    return list(chain_of(error))[-1]


def is_unknown_host(error: BaseException) -> bool:
    """Whether no name server knows the host; the same call later changes nothing."""
    return any(
        isinstance(link, socket.gaierror) and link.errno == socket.EAI_NONAME
        for link in chain_of(error)
    )


def first_line(error: object) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
