"""Read the pages of an OPTIMADE server; the only file that knows optimade-python-tools' client.

A page a call, by the client's own hook for paging from outside. Its query of all pages loses what it
has when one page fails, repeats a 429 for ever, and counts each against an upper limit of pages at
which it stops without an error; it also keeps all entries in memory.
"""

from __future__ import annotations

import io
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import requests
from optimade.client import OptimadeClient
from optimade.exceptions import BadRequest
from optimade.filterparser import LarkParser

from curate import __version__
from curate.errors import InputError, first_line
from curate.web.bounds import BoundedAdapter, Refusal, check_redirect, stays_at_host
from curate.web.retry import (
    TEMPORARY_STATUSES,
    LongWait,
    RetryPolicy,
    is_unknown_host,
    retry_after,
    root_cause,
)

ENTRIES_A_PAGE = 100  # many servers allow no more; some allow less and refuse
LONGEST_DELAY = 5.0  # s a server may ask for between two pages, as in the client
MOST_ENTRIES = 50_000_000  # that a query gives; the largest known database has a tenth of it
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
    address: str | None = None  # its own, as the page before it told it


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

    def pages(
        self,
        filter: str | None,
        fields: Sequence[str] | None,
        start: str | None = None,
        n_before: int = 0,
    ) -> Iterator[Page]:
        """The pages of a query, in the server's order; InputError where one can't be had.

        Args:
            filter: Which structures; None for all.
            fields: Their properties; None for those that the server chooses.
            start: Address of the page to begin with; None for the first.
            n_before: Structures on the pages before it.
        """
        check_filter(filter)
        query = quote(filter or "", safe="")  # the client writes it into the address as it is
        if start is not None:
            page = self._ask("structures", query, fields, None, self._address(start))
        else:
            page = self._first(query, fields)
        page = replace(page, address=start)
        progress = Progress(self.url, n_before)
        while True:
            if not isinstance(page.data, list):
                raise InputError(f"{self.url} answers without a list of structures")
            progress.check(page)
            yield page
            if page.next is None:
                return
            time.sleep(delay(page.meta))
            following = page.next
            page = self._ask("structures", query, fields, None, self._address(following))
            page = replace(page, address=following)

    def _first(self, query: str, fields: Sequence[str] | None) -> Page:
        try:
            return self._ask("structures", query, fields, ENTRIES_A_PAGE, None)
        except InputError:
            if not self._refuses():
                raise
            return self._ask("structures", query, fields, None, None)  # pages of its own size

    def _address(self, following: str) -> str:
        """The address of the next page; InputError where it is not at this server."""
        try:
            address = urljoin(f"{self.url}/v1/structures", following)
        except ValueError:
            address = following
        if address.startswith("http:") and self.url.startswith("https:"):
            secure = "https" + address[4:]  # a server behind a proxy may not know of it
            address = secure if stays_at_host(self.url, secure) else address
        if not stays_at_host(self.url, address):
            raise InputError(
                f"{self.url} says that its next page is at another host, {first_line(following)}, which is "
                f"not followed; {AGAIN}, or give that host's own address"
            )
        return address

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
            try:
                answers = self.client.get_one(
                    endpoint,
                    query,
                    self.url,
                    response_fields=list(fields) if fields else None,
                    page_limit=entries,
                    paginate=False,
                    override_url=address,
                )
            except Exception as error:  # it fails in many ways at an answer it does not expect
                raise Unreadable(first_line(error)) from error
            answer = answers[self.url]
            if self.fault is not None:
                raise self.fault
            if answer.errors:  # the client's own words where an answer has another shape
                raise Unreadable(first_line(answer.errors[0]))
            self.is_known = True
            following = answer.links.get("next")
            if isinstance(following, dict):
                following = following.get("href")
            if following is not None and not (isinstance(following, str) and following):
                raise Unreadable("the address of its next page is no text")
            return Page(answer.data, answer.meta, following)

        try:
            return self.retry.call(ask, self._is_temporary, requested_wait, self._warn)
        except LongWait as error:
            raise InputError(f"{self.url} {error}; {AGAIN}") from None
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
        if isinstance(error, Refusal):
            return f"{self.url} {error}; {BASE_ADDRESS}, or {AGAIN}"
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
        def __init__(self):
            super().__init__()
            for scheme in ("http://", "https://"):
                self.mount(scheme, BoundedAdapter())
            self.hooks["response"].append(check_redirect)

        def get(self, url, **options):  # type: ignore[override]
            try:
                answer = super().get(url, **options)
                answer.raise_for_status()
                check_shape(answer.content)
                return answer
            except (requests.RequestException, Unreadable) as fault:
                note(fault)
            except (ValueError, LookupError) as error:  # an address or a redirect that is none
                note(Refusal(f"gives an address that can't be asked ({first_line(error)})"))
            empty = requests.Response()
            empty.status_code, empty.raw = 200, io.BytesIO(b"{}")
            return empty

    return Session


SHAPES: dict[str, tuple[type, ...]] = {  # of the parts of an answer that are there
    "meta": (dict,),
    "links": (dict, type(None)),
    "errors": (list,),
    "included": (list,),
    "data": (list, dict, type(None)),
}


def check_shape(content: bytes) -> None:
    """Unreadable where an answer is no JSON object of the parts that every answer of OPTIMADE has."""
    try:
        answer = json.loads(content)
    except RecursionError:
        raise Unreadable("its answer is nested too deeply") from None
    except ValueError:  # also a number of thousands of digits, and bytes that are no text
        raise Unreadable("its answer is no JSON") from None
    if not isinstance(answer, dict):
        raise Unreadable("its answer is no JSON object")
    for name, kind in SHAPES.items():
        if name in answer and not isinstance(answer[name], kind):
            raise Unreadable(f"the part {name!r} of its answer has another shape")
    if answer.get("data") == [] and (answer.get("links") or {}).get("next"):
        raise Refusal("sends a page without structures that is not the last")


class Progress:
    """Whether each page brings something that the pages before it have not."""

    def __init__(self, url: str, n_entries: int = 0):
        self.url = url
        self.seen: set[int] = set()  # hashes of the pages' ids, and of their addresses
        self.n_entries = n_entries

    def check(self, page: Page) -> None:
        """InputError where the pages go round in a circle or have no end."""
        self.n_entries += len(page.data)
        if self.n_entries > MOST_ENTRIES:
            self._stop(f"more than {MOST_ENTRIES:,} structures")
        told = page.meta.get("data_returned")
        if isinstance(told, int) and not isinstance(told, bool) and self.n_entries > told >= 0:
            self._stop(f"{self.n_entries:,} structures where it announced {told:,}")
        ids = [entry.get("id") if isinstance(entry, dict) else None for entry in page.data]
        for mark in filter(None, (page.next, repr(ids) if ids else None)):
            if hash(mark) in self.seen:
                self._stop("the same page again as the next one")
            self.seen.add(hash(mark))

    def _stop(self, what: str) -> None:
        raise InputError(f"{self.url} sends {what}; {AGAIN}, or narrow the query with --filter")


def delay(meta: Mapping[str, Any]) -> float:
    """Seconds that the server asks to wait between two pages, within reason."""
    asked = meta.get("request_delay")
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not math.isfinite(asked):
        return 0.0
    return float(min(max(asked, 0.0), LONGEST_DELAY))


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
