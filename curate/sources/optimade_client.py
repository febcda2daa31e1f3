"""Read the pages of an OPTIMADE server; the only file that knows optimade-python-tools' client.

A page a call, by the client's own hook for paging from outside. Its query of all pages loses what it
has when one page fails, repeats a 429 for ever, and counts each against an upper limit of pages at
which it stops without an error; it also keeps all entries in memory.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from optimade.client import OptimadeClient
from optimade.exceptions import BadRequest
from optimade.filterparser import LarkParser

from curate import __version__
from curate.errors import InputError, first_line
from curate.web.retry import (
    TEMPORARY_STATUSES,
    RetryPolicy,
    is_unknown_host,
    retry_after,
    root_cause,
)

ENTRIES_A_PAGE = 100  # many servers allow no more; some allow less and refuse
LONGEST_DELAY = 5.0  # s a server may ask for between two pages, as in the client
TIMEOUT = 60.0  # s without a byte
BASE_ADDRESS = "--input needs its base address, such as https://oqmd.org/optimade"
AGAIN = "run the same command again later"
log = logging.getLogger(__name__)


NETWORK_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


class Unreadable(Exception):
    """An answer that does not follow OPTIMADE."""


Fault = requests.RequestException | Unreadable


@dataclass(frozen=True)
class Page:
    """One answer of the server."""

    data: Any  # entries, or what the server says of itself
    meta: Mapping[str, Any]
    next: str | None  # address of the following page


class OptimadeReader:
    """The structures of one OPTIMADE server."""

    def __init__(self, url: str, retry: RetryPolicy | None = None, timeout: float = TIMEOUT):
        self.url = url
        self.retry = retry or RetryPolicy()
        self.fault: Fault | None = None
        self.is_known = False  # whether it has answered as an OPTIMADE server
        self.client = OptimadeClient(
            base_urls=url,
            max_results_per_provider=sys.maxsize,  # its "unlimited" fails where no total is told
            headers={"User-Agent": f"crysmmnet/{__version__}"},
            http_timeout=timeout,
            use_async=False,
            silent=True,
            http_client=reporting_session(self._note),
        )

    def info(self, of: str = "") -> Page:
        """What the server says of itself, or of its structures with `of="/structures"`."""
        page = self._ask(f"info{of}", "", None, None, None)
        if not isinstance(page.data, dict):
            raise InputError(f"{self.url} does not answer as an OPTIMADE server; {BASE_ADDRESS}")
        return page

    def pages(self, filter: str | None, fields: Sequence[str] | None) -> Iterator[Page]:
        """The pages of a query, in the server's order; InputError where one can't be had.

        Without fields the server chooses them.
        """
        check_filter(filter)
        query = quote(filter or "", safe="")  # the client writes it into the address as it is
        try:
            page = self._ask("structures", query, fields, ENTRIES_A_PAGE, None)
        except InputError:
            if not self._refuses():
                raise
            page = self._ask("structures", query, fields, None, None)  # pages of its own size
        while True:
            if not isinstance(page.data, list):
                raise InputError(f"{self.url} answers without a list of structures")
            yield page
            if page.next is None:
                return
            time.sleep(min(page.meta.get("request_delay") or 0.0, LONGEST_DELAY))
            page = self._ask("structures", query, fields, None, page.next)

    def _ask(
        self,
        endpoint: str,
        query: str,
        fields: Sequence[str] | None,
        entries: int | None,
        address: str | None,
    ) -> Page:
        def ask() -> Page:
            self.fault = None
            answers = self.client.get_one(
                endpoint,
                query,
                self.url,
                response_fields=list(fields) if fields else None,
                page_limit=entries,
                paginate=False,
                override_url=address,
            )
            answer = answers[self.url]
            if self.fault is not None:
                raise self.fault
            if answer.errors:
                raise Unreadable(first_line(answer.errors[0]))
            self.is_known = True
            following = answer.links.get("next")
            if isinstance(following, dict):
                following = following.get("href")
            return Page(answer.data, answer.meta, following)

        try:
            return self.retry.call(ask, self._is_temporary, requested_wait, self._warn)
        except (requests.RequestException, Unreadable) as error:
            raise InputError(self._sentence(error)) from None

    def _note(self, fault: Fault) -> None:
        self.fault = fault

    def _refuses(self) -> bool:
        """Whether the last answer was a refusal that a smaller page may change."""
        return self.fault is not None and status_of(self.fault) in (400, 403, 422)

    def _is_temporary(self, error: BaseException) -> bool:
        if isinstance(error, requests.HTTPError):
            return status_of(error) in TEMPORARY_STATUSES
        if isinstance(error, Unreadable):
            return self.is_known  # a gateway's page
        return isinstance(error, NETWORK_ERRORS) and not is_unknown_host(error)

    def _warn(self, error: BaseException, number: int, seconds: float) -> None:
        status = status_of(error)
        why = f"it answers {status}" if status else first_line(root_cause(error))
        log.warning("%s: %s; attempt %d in %.0f s", self.url, why, number, seconds)

    def _sentence(self, error: BaseException) -> str:
        """What went wrong, and what to do about it."""
        status = status_of(error)
        if isinstance(error, Unreadable) and self.is_known:
            return f"{self.url} keeps sending what can't be read ({error}); {AGAIN}"
        if isinstance(error, Unreadable):
            return f"{self.url} does not answer as an OPTIMADE server ({error}); {BASE_ADDRESS}"
        if status in TEMPORARY_STATUSES:
            return f"{self.url} keeps answering {status}; {AGAIN}"
        if status == 404:
            return f"{self.url} answers 404 as no OPTIMADE server does; {BASE_ADDRESS}"
        if status is not None:
            return f"{self.url} refuses the query with {status}: {said(error)}"
        if is_unknown_host(error):
            host = urlsplit(self.url).hostname
            return f"{host} is not known: mind the spelling, or this machine has no network"
        if isinstance(error, NETWORK_ERRORS):
            why = first_line(root_cause(error))
            return f"the connection to {self.url} fails ({why}); {AGAIN}"
        return f"--input {self.url} can't be asked: {first_line(error)}"


def reporting_session(note: Callable[[Fault], None]) -> type[requests.Session]:
    """A session class that reports errors to `note` and gives the client an empty answer instead.

    The client would make a line of text of each, and print it even where it is told to be silent.
    """

    class Session(requests.Session):
        def get(self, url, **options):  # type: ignore[override]
            try:
                answer = super().get(url, **options)
                answer.raise_for_status()
                if not isinstance(answer.json(), dict):
                    raise Unreadable("its answer is no JSON object")
                return answer
            except requests.JSONDecodeError:
                note(Unreadable("its answer is no JSON"))
            except (requests.RequestException, Unreadable) as fault:
                note(fault)
            empty = requests.Response()
            empty.status_code, empty.raw = 200, io.BytesIO(b"{}")
            return empty

    return Session


def check_filter(filter: str | None) -> None:
    """InputError where the filter does not follow OPTIMADE's grammar."""
    if filter is None:
        return
    try:
        LarkParser().parse(filter)
    except BadRequest as error:
        column = getattr(error.__cause__, "column", -1)
        where = f" (character {column})" if column > 0 else ""
        raise InputError(
            f"--filter {filter!r} is not an OPTIMADE filter{where}; one reads like "
            '\'elements HAS ALL "Ga","N" AND nelements=2\''
        ) from None


def status_of(error: BaseException) -> int | None:
    """The server's answer; None where it gave none."""
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def requested_wait(error: BaseException) -> float | None:
    """Seconds the server asks to wait; None where it doesn't."""
    response = getattr(error, "response", None)
    return None if response is None else retry_after(response.headers)


def said(error: BaseException) -> str:
    """The server's reason, from the body of its refusal."""
    response = error.response  # type: ignore[attr-defined]
    try:
        return first_line(response.json()["errors"][0]["detail"])
    except (ValueError, LookupError, TypeError):
        return str(response.reason)
