"""Call the Hugging Face Hub for a push, with retries and a readable sentence for each error."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from curate.errors import InputError, first_line
from curate.web.hub_client import NETWORK_ERRORS, cause, is_temporary, requested_wait
from curate.web.retry import LongWait, RetryPolicy, without_token

log = logging.getLogger(__name__)

T = TypeVar("T")


class PublishError(InputError):
    """A push that cannot be done; the message is one sentence that says what to do."""


def call_hub(policy: RetryPolicy, attempt: Callable[[], T], repo_id: str, token: str) -> T:
    """Call the Hub with retries.

    Args:
        policy: How often to try.
        attempt: The call; it must be safe to repeat.
        repo_id: OWNER/NAME, for messages.
        token: The secret that no message may contain.

    Returns:
        What `attempt` returned.

    Raises:
        PublishError: The call failed; the message holds neither the token nor the client's traceback.
    """

    def warn(error: BaseException, number: int, seconds: float) -> None:
        happened = cause(error)
        if isinstance(happened, HfHubHTTPError):
            reason = f"the Hub answers {happened.response.status_code}"
        else:
            reason = first_line(happened)
        reason = without_token(reason, token)
        log.warning("push to %s: %s; attempt %d in %.0f s", repo_id, reason, number, seconds)

    try:
        return policy.call(attempt, is_temporary, requested_wait, warn)
    except PublishError:
        raise
    except InputError as error:  # a bound of the client
        reason = without_token(str(error), token)
    except LongWait as error:
        reason = f"the Hub {error}; run the same push again later: what was sent stays there"
    except (OSError, RuntimeError, ValueError, httpx2.HTTPError) as error:
        reason = without_token(sentence(error, repo_id), token)
    # Raised outside the handler: the client's exception holds the request and its headers.
    raise PublishError(reason)


def sentence(error: BaseException, repo_id: str) -> str:
    """What went wrong with a push, and what to do about it."""
    happened = cause(error)
    again = "run the same push again to continue: what was sent stays there"
    if isinstance(happened, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: unset it to push"
    if isinstance(happened, json.JSONDecodeError):
        return f"the Hub's answers for {repo_id} can't be read; {again}"
    if isinstance(happened, NETWORK_ERRORS):
        return f"the connection to the Hub fails ({first_line(happened)}); {again}"
    if not isinstance(happened, HfHubHTTPError):
        return f"{repo_id} can't be pushed: {' '.join(str(happened).split())}"
    status = happened.response.status_code
    said = first_line(happened.server_message or happened.response.reason_phrase)
    if is_temporary(happened):
        where = f"{happened.response.request.method} {happened.response.request.url.path}"
        return f"the Hub keeps answering {status} ({said}) to {where}; {again}"
    if status == 401:
        return "the Hub does not accept the token: set HF_TOKEN or run `hf auth login`"
    if status == 403:
        return f"this token may not write to {repo_id} ({said}): use one with write access to it"
    return f"the Hub refuses the push to {repo_id} with {status}: {said}"
