"""Read documents and tables of the Materials Project; the only file that knows its client."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from curate.errors import InputError
from curate.files import first_line, sync, sync_tree
from curate.web.bounds import LONGEST_ANSWER, BoundedAdapter, Refusal, check_redirect, within
from curate.web.retry import (
    TEMPORARY_STATUSES,
    LongWait,
    RetryPolicy,
    chain_of,
    is_unknown_host,
    retry_after,
    root_cause,
    without_token,
)

if TYPE_CHECKING:
    from mp_api.client import MPRester

WHERE_KEYS_ARE = "https://next-gen.materialsproject.org/api shows yours"
AGAIN = "run the same command again later"
ENDPOINT = "see whether MP_API_ENDPOINT is the right address, or run the same command again later"
TIMEOUT = 20  # s, as the client's own
NETWORK_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    json.JSONDecodeError,  # a gateway's page
)
SPLITS = (400, 414, 422)  # statuses that the client understands itself
log = logging.getLogger(__name__)
T = TypeVar("T")


def api_key() -> str:
    """The key of MP_API_KEY or of pymatgen's settings; InputError where there is none or it can't be one."""
    key = os.environ.get("MP_API_KEY", "").strip()
    if not key:
        from pymatgen.core import SETTINGS

        key = str(SETTINGS.get("PMG_MAPI_KEY") or "").strip()
    if not key:
        raise InputError(f"--db mp needs an API key in MP_API_KEY: {WHERE_KEYS_ARE}")
    if not re.fullmatch(r"[A-Za-z0-9]{32}", key):
        raise InputError(
            "MP_API_KEY (or pymatgen's PMG_MAPI_KEY) holds no API key: one has 32 letters and "
            f"digits; {WHERE_KEYS_ARE}"
        )
    return key


class MPClient:
    """The Materials Project's REST interface and its bulk tables."""

    def __init__(
        self,
        endpoint: str | None = None,
        tables: Path | None = None,
        retry: RetryPolicy | None = None,
    ):
        self.key = api_key()
        from mp_api.client.core.settings import MAPI_CLIENT_SETTINGS
        from mp_api.client.core.utils import validate_endpoint

        self.endpoint = validate_endpoint(endpoint)
        self.tables = tables or Path(MAPI_CLIENT_SETTINGS.LOCAL_DATASET_CACHE) / "curate"
        self.retry = retry or RetryPolicy()
        self.session = requests.Session()  # for what needs no key
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, BoundedAdapter())
        self.session.hooks["response"].append(check_redirect)
        # It reports each step of a download; what matters is reported here.
        logging.getLogger("mp_api.client.core.client").setLevel(logging.ERROR)

    def version(self) -> str:
        """The database version that is served now."""

        def ask() -> str:
            answer = self.session.get(f"{self.endpoint}heartbeat", timeout=TIMEOUT)
            raise_for_retry(answer)
            return version_in(answer)

        return self._call(ask)

    def summaries(
        self, ids: Sequence[str], fields: Iterable[str], deprecated: bool = False
    ) -> list[dict[str, Any]]:
        """Summary documents of up to 1,000 ids, in one call; withdrawn entries or the others."""
        return self._ask(
            lambda: self.rester.materials.summary.search(
                material_ids=list(ids),
                deprecated=deprecated,
                fields=list(fields),
                chunk_size=1_000,
            )
        )

    def texts(self, ids: Sequence[str], fields: Iterable[str]) -> list[dict[str, Any]]:
        """Documents with the published texts of up to 1,000 ids, in one call."""
        return self._ask(
            lambda: self.rester.materials.robocrys.search_docs(
                material_ids=list(ids), fields=list(fields), chunk_size=1_000
            )
        )

    def _ask(self, search: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """The documents that a search finds; InputError where the server sends something else."""
        # Each part of the client asks for the server's version first, without a time limit.
        found = self._call(lambda: within(2 * LONGEST_ANSWER, lambda _: search()))
        if not all(
            isinstance(one, dict) and isinstance(one.get("material_id"), str) for one in found
        ):
            raise InputError(
                f"the Materials Project's server sends documents without id; {ENDPOINT}"
            )
        return found

    def table(self, collection: str, version: str, renew: bool = False) -> Path:
        """Folder of a whole collection (`summary`, `robocrys`) in Parquet, downloaded once a version.

        It has one folder `version=…` below it for each database version in the table.
        """
        home = self.tables / version
        home.mkdir(parents=True, exist_ok=True)
        folder, partial = home / collection, home / f"{collection}.partial"
        with (home / f"{collection}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a build beside this one may be downloading it
            if renew:
                shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                log.info("downloading the table %s of database version %s", collection, version)
                self._call(lambda: self._download(collection, partial, folder))
        return folder

    def _download(self, collection: str, partial: Path, folder: Path) -> None:
        shutil.rmtree(partial, ignore_errors=True)
        rester = self._open(partial).materials
        search = {"summary": rester.summary.search, "robocrys": rester.robocrys.search_docs}
        search[collection]()
        downloaded = partial / "build" / "collections" / collection
        sync_tree(downloaded)
        downloaded.rename(folder)
        sync(folder.parent)
        shutil.rmtree(partial)

    @cached_property
    def rester(self) -> MPRester:
        return self._open()

    def _open(self, folder: Path | None = None) -> MPRester:
        from mp_api.client import MPRester

        # It asks for the server's version first, without a time limit.
        rester = within(
            LONGEST_ANSWER,
            lambda _: MPRester(
                self.key,
                endpoint=self.endpoint,
                use_document_model=False,
                mute_progress_bars=folder is None or not sys.stderr.isatty(),
                local_dataset_cache=folder or self.tables,
            ),
        )
        # Its own three retries within a second would use up a server's patience, and lose what
        # the answer said about waiting.
        for scheme in ("http://", "https://"):
            rester.session.mount(scheme, BoundedAdapter())
        # requests takes a key in a header along to wherever an answer redirects.
        rester.session.hooks["response"] += [check_redirect, raise_for_retry]
        return rester

    def _call(self, attempt: Callable[[], T]) -> T:
        """Call with retries; InputError, without the key or the client's traceback, if that fails."""

        def warn(error: BaseException, number: int, seconds: float) -> None:
            why = without_token(reason(cause(error)), self.key)
            log.warning("Materials Project: %s; attempt %d in %.0f s", why, number, seconds)

        try:
            return self.retry.call(attempt, is_temporary, requested_wait, warn)
        except InputError:
            raise
        except LongWait as error:
            message = f"the Materials Project {error}; {AGAIN}"
        except Exception as error:  # requests, the client and the bulk tables have no common one
            if isinstance(error, OSError) and error.errno is not None and error.filename:
                raise  # the disk, not the line
            message = without_token(sentence(error), self.key)
        # Raised outside the handler: the client's exception holds the request and its headers.
        raise InputError(message)


def raise_for_retry(response: requests.Response, **_) -> None:
    """Raise an error with status and headers, for the retry policy; the client keeps only their text."""
    if response.status_code >= 400 and response.status_code not in SPLITS:
        response.raise_for_status()


def version_in(heartbeat: requests.Response) -> str:
    """The database version that a heartbeat tells; it becomes the name of a folder."""
    told = heartbeat.json()
    version = told.get("db_version") if isinstance(told, dict) else None
    if not isinstance(version, str) or not re.fullmatch(
        r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", version
    ):
        raise InputError(
            f"the Materials Project's server tells no database version ({version!r:.80}); {ENDPOINT}"
        )
    return version


def cause(error: BaseException) -> BaseException:
    """The HTTP or network error below the errors that the client wraps around it."""
    for link in chain_of(error):
        if isinstance(link, requests.RequestException | json.JSONDecodeError):
            return link
    return error


def is_temporary(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    happened = cause(error)
    if is_storage_error(happened):
        return storage_status(happened) in (None, *TEMPORARY_STATUSES)
    if isinstance(happened, requests.HTTPError) and happened.response is not None:
        return happened.response.status_code in TEMPORARY_STATUSES
    return isinstance(happened, NETWORK_ERRORS) and not is_unknown_host(happened)


def is_storage_error(error: BaseException) -> bool:
    """Whether the bucket of the bulk tables failed; its reader says so only in the message."""
    return "Generic S3 error" in str(error)


def storage_status(error: BaseException) -> int | None:
    """The bucket's answer; None where it gave none."""
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else None


def requested_wait(error: BaseException) -> float | None:
    """Seconds the server asks to wait; None where it doesn't."""
    happened = cause(error)
    if isinstance(happened, requests.HTTPError) and happened.response is not None:
        return retry_after(happened.response.headers)
    return None


def sentence(error: BaseException) -> str:
    """What went wrong, and what to do about it."""
    happened = cause(error)
    if isinstance(happened, Refusal):
        return f"the Materials Project's server {reason(happened)}; {ENDPOINT}"
    if isinstance(happened, requests.HTTPError) and happened.response is not None:
        status, path = happened.response.status_code, happened.response.request.path_url
        if status in (401, 403):
            return f"the Materials Project does not accept the API key ({status}): {WHERE_KEYS_ARE}"
        asked = path.split("?")[0]
        if status in TEMPORARY_STATUSES:
            return f"the Materials Project keeps answering {status} to {asked}; {AGAIN}"
        return f"the Materials Project answers {status} to {asked}; a newer mp-api may be needed"
    if isinstance(happened, json.JSONDecodeError):
        return f"the Materials Project's answers can't be read; {AGAIN}"
    if is_storage_error(happened) or isinstance(happened, NETWORK_ERRORS):
        return f"the connection to the Materials Project fails ({reason(happened)}); {AGAIN}"
    return f"the Materials Project's client fails: {type(happened).__name__}: {reason(happened)}"


def reason(happened: BaseException) -> str:
    """A few words about what happened."""
    if is_storage_error(happened):
        return f"the bucket of its bulk tables answers {storage_status(happened) or 'nothing'}"
    return first_line(root_cause(happened))
