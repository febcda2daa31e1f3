"""Retry policy for calls to remote services, and what their errors tell about waiting."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

TEMPORARY_STATUSES = (408, 425, 429, 500, 502, 503, 504)  # HTTP; the same request may succeed later
LONGEST_REQUESTED_WAIT = 900.0  # s that a service may ask for before another attempt
T = TypeVar("T")
Warn = Callable[[BaseException, int, float], None]  # error, number of the next attempt, seconds


class LongWait(Exception):
    """A service asks to wait longer than is waited; the message goes on from the service's name."""

    def __init__(self, seconds: float):
        asked = f"{seconds:,.0f} s" if seconds < 1e12 else "for ever"
        super().__init__(
            f"asks to wait {asked}, and at most {LONGEST_REQUESTED_WAIT:.0f} s are waited"
        )


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and after which waiting times, a call is repeated after a temporary error."""

    attempts: int = 8
    first_wait: float = 2.0
    """Seconds before the second attempt; doubled for each further one."""
    longest_wait: float = 120.0
    """Seconds between two attempts, unless the service asks for more."""

    def call(
        self,
        attempt: Callable[[], T],
        is_temporary: Callable[[BaseException], bool],
        requested_wait: Callable[[BaseException], float | None],
        warn: Warn,
    ) -> T:
        """Call `attempt` until it succeeds, fails for good, or the attempts are used up.

        Args:
            attempt: The call; it must be safe to repeat.
            is_temporary: Whether the same call may succeed after this error.
            requested_wait: Seconds the service asks to wait, None where it does not ask.
            warn: Called before each wait.

        Returns:
            What `attempt` returned.

        Raises:
            LongWait: The service asks for more than LONGEST_REQUESTED_WAIT.
            BaseException: The last error of `attempt`.
        """

        def wait(state: RetryCallState) -> float:
            requested = requested_wait(_error_of(state))
            if requested is not None and not requested <= LONGEST_REQUESTED_WAIT:
                raise LongWait(requested) from _error_of(state)
            backoff = wait_exponential_jitter(
                self.first_wait, self.longest_wait, jitter=self.first_wait
            )
            return backoff(state) if requested is None else requested

        def before_sleep(state: RetryCallState) -> None:
            assert state.next_action is not None
            warn(_error_of(state), state.attempt_number + 1, state.next_action.sleep)

        retrying = Retrying(
            stop=stop_after_attempt(self.attempts),
            retry=retry_if_exception(is_temporary),
            wait=wait,
            before_sleep=before_sleep,
            reraise=True,
        )
        return retrying(attempt)


def _error_of(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None
    return error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response's header Retry-After asks to wait; None where there is none."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]+", value):  # `isdigit` takes ² for one
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError, LookupError):
        return None


def without_token(text: str, token: str) -> str:
    """The text with a secret token replaced by `<token>`."""
    return text.replace(token, "<token>") if token else text


def root_cause(error: BaseException) -> BaseException:
    """The innermost of the errors that clients wrap around each other."""
    return list(chain_of(error))[-1]


def is_unknown_host(error: BaseException) -> bool:
    """Whether no name server knows the host, so that repeating the call is of no use."""
    return any(
        isinstance(link, socket.gaierror) and link.errno == socket.EAI_NONAME
        for link in chain_of(error)
    )


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it was raised from, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
