"""Read Parquet files of the Hugging Face Hub where they lie; the only source that uses the Hub's client.

Row groups are read through the client's file system, a range of bytes at a time, so that memory does not
grow with the files. A range is checked for its length, since a body may end early without an error.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi, HfFileSystem, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from curate.errors import InputError, first_line
from curate.web.hub_client import (
    NETWORK_ERRORS,
    cause,
    guard_client,
    is_temporary,
    keep_token,
    requested_wait,
)
from curate.web.retry import LongWait, RetryPolicy, without_token

COMMIT = re.compile("[0-9a-f]{40}")
MOST_FILES = 200_000  # of a repository; the Hub advises a tenth
ROWS_AT_ONCE = 512
BYTES_AT_ONCE = 32 * 2**20  # of row groups that are asked for together
BUFFER = 8 * 2**20  # bytes asked for at once of a column of a larger row group
MOST_FOOTER = 256 * 2**20  # bytes; of ten thousand row groups with twenty columns it has a tenth
AGAIN = "run the same command again to go on"
log = logging.getLogger(__name__)
T = TypeVar("T")


class ShortRange(ConnectionError):
    """Other bytes came than were asked for."""


class HubReader:
    """One dataset on the Hub; methods raise InputError where it can't be read."""

    def __init__(self, name: str, retry: RetryPolicy | None = None, api: HfApi | None = None):
        self.name = name
        self.retry = retry or RetryPolicy()
        given = api.token if api else None
        self.token = given if isinstance(given, str) else get_token() or ""
        self.api = HfApi(endpoint=api.endpoint if api else None, token=self.token or False)
        self.files = HfFileSystem(
            endpoint=self.api.endpoint, token=self.token or False, skip_instance_cache=True
        )
        guard_client()
        if self.token:
            keep_token(self.api.endpoint, self.token)

    @property
    def address(self) -> str:
        """The dataset's page."""
        return f"{self.api.endpoint}/datasets/{self.name}"

    def commit(self, revision: str | None) -> str:
        """The commit that a branch or tag stands for now; that of main for None."""
        info = self._call(lambda: self.api.dataset_info(self.name, revision=revision))
        if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
            raise InputError(f"{self.address}: the Hub does not say which commit it is at")
        return info.sha

    def card(self, commit: str) -> Mapping[str, Any]:
        """The YAML head of the dataset's card."""
        info = self._call(lambda: self.api.dataset_info(self.name, revision=commit))
        return info.card_data.to_dict() if info.card_data else {}

    def paths(self, commit: str) -> list[str]:
        """All files of the repository."""

        def listed() -> list[str]:
            tree = self.api.list_repo_tree(
                self.name, recursive=True, revision=commit, repo_type="dataset"
            )
            entries = list(islice(tree, MOST_FILES + 1))
            if len(entries) > MOST_FILES:
                raise InputError(f"{self.address} lists more than {MOST_FILES:,} files")
            return [entry.path for entry in entries if isinstance(entry, RepoFile)]

        return self._call(listed)

    def schema(self, commit: str, path: str) -> pa.Schema:
        """The columns of a file."""
        return self._call(lambda: self._open(commit, path)[1].schema.to_arrow_schema(), path)

    def batches(
        self, commit: str, path: str, columns: Sequence[str], start: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of a file from number `start` on, some at a time, with the number of the first of them.

        After an error, reading goes on with the row group that it met.
        """
        batches: Iterator[pa.RecordBatch] | None = None
        done = start

        def following() -> pa.RecordBatch | None:
            nonlocal batches
            try:
                if batches is None:
                    batches = self._batches(commit, path, columns, done)
                return next(batches, None)
            except BaseException:
                batches = None
                raise

        while (batch := self._call(following, path)) is not None:
            yield done, batch
            done += len(batch)

    def _batches(
        self, commit: str, path: str, columns: Sequence[str], start: int
    ) -> Iterator[pa.RecordBatch]:
        raw, metadata = self._open(commit, path)
        sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        group, before = 0, 0
        while group < len(sizes) and before + sizes[group] <= start:
            before += sizes[group]
            group += 1
        skipped = start - before
        while group < len(sizes):
            together, n_bytes = self._together(metadata, columns, group)
            is_small = n_bytes <= BYTES_AT_ONCE
            file = pq.ParquetFile(
                pa.PythonFile(raw, mode="r"),
                metadata=metadata,
                pre_buffer=is_small,
                buffer_size=0 if is_small else BUFFER,
                page_checksum_verification=True,
            )
            for batch in file.iter_batches(ROWS_AT_ONCE, together, list(columns)):
                if skipped >= len(batch):
                    skipped -= len(batch)
                    continue
                yield batch.slice(skipped)
                skipped = 0
            group += len(together)

    def _together(
        self, metadata: pq.FileMetaData, columns: Sequence[str], first: int
    ) -> tuple[list[int], int]:
        """Row groups from `first` on that are asked for together, and their bytes."""
        wanted = set(columns)
        groups: list[int] = []
        total = 0
        for number in range(first, metadata.num_row_groups):
            group = metadata.row_group(number)
            chunks = map(group.column, range(group.num_columns))
            n_bytes = sum(
                chunk.total_compressed_size
                for chunk in chunks
                if chunk.path_in_schema.split(".")[0] in wanted
            )
            if groups and total + n_bytes > BYTES_AT_ONCE:
                break
            groups.append(number)
            total += n_bytes
        return groups, total

    def _open(self, commit: str, path: str) -> tuple[ExactFile, pq.FileMetaData]:
        raw = ExactFile(self.files.open(f"datasets/{self.name}@{commit}/{path}", cache_type="none"))
        if raw.size < 12:
            raise InputError(f"{self.address}, {path} is {raw.size} bytes long, which no table is")
        raw.seek(raw.size - 8)
        length, magic = int.from_bytes(raw.read(4), "little"), raw.read(4)
        if magic != b"PAR1" or length > min(raw.size - 12, MOST_FOOTER):
            raise InputError(f"{self.address}, {path} is no Parquet file, or is cut off")
        raw.seek(0)
        return raw, pq.read_metadata(pa.PythonFile(raw, mode="r"))

    def _call(self, attempt: Callable[[], T], path: str = "") -> T:
        """What a call returns, repeated after temporary errors."""
        where = f"{self.address}, {path}" if path else self.address
        try:
            return self.retry.call(attempt, _is_temporary, requested_wait, self._warn)
        except InputError:
            raise
        except LongWait as error:
            reason = f"{where}: the Hub {error}; {AGAIN} later"
        except Exception as error:  # the client and pyarrow fail in many ways
            reason = without_token(f"{where}: {self._sentence(error)}", self.token)
        # Raised outside the handler: the client's exception holds the request and its headers.
        raise InputError(reason)

    def _sentence(self, error: Exception) -> str:
        happened = cause(error)
        if isinstance(happened, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set: unset it to read from the Hub"
        if isinstance(happened, GatedRepoError):
            return "its terms must be accepted on that page first, and HF_TOKEN set"
        if isinstance(happened, RevisionNotFoundError):
            return "there is no such --revision"
        if isinstance(happened, RepositoryNotFoundError):
            return "there is no such dataset, or it is private and HF_TOKEN is not set"
        if isinstance(happened, ShortRange):
            return f"{happened}; {AGAIN}"
        if isinstance(happened, HfHubHTTPError):
            status = happened.response.status_code
            said = first_line(happened.server_message or happened.response.reason_phrase)
            if status in (401, 403):
                return (
                    f"the Hub answers {status} ({said}): set HF_TOKEN to a token that may read it"
                )
            how = f"keeps answering {status} ({said}); {AGAIN}"
            return f"the Hub {how if is_temporary(error) else f'answers {status} ({said})'}"
        if isinstance(happened, NETWORK_ERRORS):
            return f"the connection fails ({first_line(happened)}); {AGAIN}"
        return f"it can't be read ({first_line(error)})"

    def _warn(self, error: BaseException, number: int, seconds: float) -> None:
        happened = cause(error)
        if isinstance(happened, HfHubHTTPError):
            reason = f"the Hub answers {happened.response.status_code}"
        else:
            reason = without_token(first_line(happened), self.token)
        log.warning("%s: %s; attempt %d in %.0f s", self.name, reason, number, seconds)


class ExactFile(io.RawIOBase):
    """A file of the Hub whose reads give the bytes that were asked for, or a ShortRange."""

    def __init__(self, file):
        super().__init__()
        self.file = file
        self.size: int = file.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the file."""
        left = self.size - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted == 0:
            return b""
        data = self.file.read(wanted)
        if len(data) != wanted:
            raise ShortRange(f"{len(data):,} bytes came where {wanted:,} were asked for")
        return data


def _is_temporary(error: BaseException) -> bool:
    # pyarrow says OSError of pages whose checksum or compression is broken: they are asked for again
    return is_temporary(error) or type(error) is OSError
