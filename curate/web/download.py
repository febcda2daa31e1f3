"""Download one file from several addresses: resumed after an interruption, checked, atomic."""

from __future__ import annotations

import fcntl
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from curate import __version__
from curate.errors import InputError, first_line
from curate.files import sync, write_json
from curate.web.retry import (
    TEMPORARY_STATUSES,
    LongWait,
    RetryPolicy,
    is_unknown_host,
    retry_after,
)

log = logging.getLogger(__name__)

LARGEST_FILE = 8 * 2**30  # bytes; the largest known table has a hundredth of it
LONGEST_TRANSFER = 6 * 3600.0  # s for one request, at whose end the next one goes on
Watch = Callable[[int, int | None], None]  # bytes so far and in all


class TemporaryFault(Exception):
    """An error that the next attempt may not meet."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait  # s, where the server asks for it


class Refused(Exception):
    """An answer that another attempt at this address would not change."""


@dataclass
class Download:
    """A file that several addresses offer; one that refuses is not tried again."""

    urls: Sequence[str]
    path: Path  # where it goes
    check: Callable[[Path], None]  # raises ValueError for a damaged file
    by_hand: str  # what to do where every address refuses
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout: float = 30.0  # s without a byte
    watch: Watch = lambda done, total: None
    most_bytes: int = LARGEST_FILE
    most_seconds: float = LONGEST_TRANSFER

    def fetch(self) -> Path:
        """Download the file, unless it is there already.

        What has arrived stays beside the path and is not requested again, even after a kill.

        Returns:
            The path of the file.

        Raises:
            InputError: No address gives the file; the message says what to do.
        """
        if self.path.exists():
            return self.path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        refusals: dict[str, str] = {}
        turn = 0

        def attempt() -> None:
            nonlocal turn
            left = [url for url in self.urls if url not in refusals]
            url = left[turn % len(left)]
            turn += 1
            try:
                self._transfer_from_known(url)
            except Refused as refusal:
                refusals[url] = str(refusal)
                if len(refusals) == len(self.urls):
                    reasons = "; ".join(f"{url} {why}" for url, why in refusals.items())
                    raise InputError(
                        f"{self.path.name} can't be downloaded: {reasons}; {self.by_hand}"
                    ) from None
                raise TemporaryFault(f"{url} {refusal}", wait=0.0) from refusal

        with self._alone():
            try:
                self.retry.call(attempt, _is_temporary, _requested_wait, self._warn)
            except LongWait as error:
                raise InputError(
                    f"{self.path.name} can't be downloaded now: the server {error}; run the same "
                    f"command again later, or {self.by_hand}"
                ) from None
            except (TemporaryFault, httpx2.TransportError) as error:
                raise InputError(
                    f"{self.path.name} can't be downloaded now ({first_line(error)}); "
                    f"run the same command again to resume the download, or {self.by_hand}"
                ) from None
        return self.path

    def _transfer_from_known(self, url: str) -> None:
        try:
            self._transfer(url)
        except httpx2.TransportError as error:
            if is_unknown_host(error):
                raise Refused("is not known to any name server (no network?)") from error
            raise
        except httpx2.TooManyRedirects as error:
            raise Refused("redirects in a circle") from error
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise Refused(f"is no address ({first_line(error)})") from error

    def _transfer(self, url: str) -> None:
        """Request the missing part once; on success the checked file is in its place."""
        have, known = self.part.stat().st_size if self.part.exists() else 0, self._known()
        headers = {"User-Agent": f"crysmmnet/{__version__}", "Accept-Encoding": "identity"}
        if have and known.get("tag"):
            headers |= {"Range": f"bytes={have}-", "If-Range": known["tag"]}
        timeout = httpx2.Timeout(self.timeout, connect=min(self.timeout, 10.0))
        with httpx2.stream(
            "GET", url, headers=headers, timeout=timeout, follow_redirects=True
        ) as response:
            if response.status_code == 416:  # the part is longer than the file there now
                self._forget()
                raise TemporaryFault(f"{url} no longer has the file that was begun", wait=0.0)
            check_response(response)
            start, total = body_range(response)
            if start not in (0, have):
                raise TemporaryFault("the server sent another part than asked for")
            if total is not None and total > self.most_bytes:
                raise Refused(f"announces {total:,} bytes, of which {self.most_bytes:,} are taken")
            end = time.monotonic() + self.most_seconds
            self._remember({"tag": strong_tag(response), "total": total})
            with self.part.open("r+b" if self.part.exists() else "wb", buffering=0) as file:
                file.truncate(start)
                file.seek(start)
                for chunk in response.iter_raw():
                    file.write(chunk)
                    self.watch(file.tell(), total)
                    if file.tell() > self.most_bytes:
                        self._forget()
                        raise Refused(f"sends more than {self.most_bytes:,} bytes")
                    if time.monotonic() > end:
                        raise TemporaryFault(f"{url} took more than {self.most_seconds:.0f} s")
        self._finish(url, total)

    def _finish(self, url: str, total: int | None) -> None:
        have = self.part.stat().st_size
        if total is not None and have != total:
            raise TemporaryFault(f"{url} sent {have:,} of {total:,} bytes")
        try:
            self.check(self.part)
        except ValueError as error:
            self._forget()
            raise TemporaryFault(f"{url} sent a damaged file: {error}") from error
        sync(self.part)
        self.part.replace(self.path)
        sync(self.path.parent)
        self.note.unlink(missing_ok=True)

    @property
    def part(self) -> Path:
        return self.path.with_name(self.path.name + ".part")

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".part.json")

    def _known(self) -> dict:
        """What is known of the file that the part belongs to."""
        try:
            known = json.loads(self.note.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _remember(self, known: dict) -> None:
        write_json(self.note, known)

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """InputError where another process downloads the same file."""
        with self.path.with_name(self.path.name + ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"another process is downloading {self.path}") from None
            yield

    def _warn(self, error: BaseException, number: int, seconds: float) -> None:
        log.warning("%s: %s; again in %.0f s", self.path.name, first_line(error), seconds)


def check_response(response: httpx2.Response) -> None:
    """Raise Refused or TemporaryFault for every answer that does not carry the file."""
    status, kind = response.status_code, response.headers.get("Content-Type", "")
    if status in TEMPORARY_STATUSES:
        raise TemporaryFault(f"{response.url} answers {status}", retry_after(response.headers))
    if status == 202 or response.headers.get("x-amzn-waf-action"):
        raise Refused(f"answers {status} without a file, which is how it turns programs away")
    if status not in (200, 206):
        raise Refused(f"answers {status} {response.reason_phrase}".rstrip())
    if kind.startswith("text/html"):
        raise Refused("sends a web page in place of the file")


def body_range(response: httpx2.Response) -> tuple[int, int | None]:
    """Offset of the body in the file, and the size of the file if the server states it."""
    if response.status_code == 206:
        unit, _, span = response.headers.get("Content-Range", "").partition(" ")
        first, _, total = span.partition("/")
        start = _number(first.partition("-")[0])
        if unit != "bytes" or start is None:
            raise TemporaryFault("the server sent a part without saying which")
        return start, _number(total)
    return 0, _number(response.headers.get("Content-Length", ""))


def _number(text: str) -> int | None:
    """A number of bytes; None for what is none, as ² and a thousand digits."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def strong_tag(response: httpx2.Response) -> str | None:
    """The tag that identifies this content; without it a transfer cannot be resumed."""
    tag = response.headers.get("ETag", "")
    if not tag or tag.startswith("W/"):
        tag = response.headers.get("Last-Modified", "")
    return tag if tag and tag.isascii() and tag.isprintable() else None  # it is sent back


def _is_temporary(error: BaseException) -> bool:
    return isinstance(error, TemporaryFault | httpx2.TransportError)


def _requested_wait(error: BaseException) -> float | None:
    return error.wait if isinstance(error, TemporaryFault) else None
