"""Rows of Parquet files or of a dataset on the Hub, a thousand in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset

AT_ONCE = 1_000  # rows as Python objects
LARGE = ("condensed_structure",)  # columns that only those read who ask for them

Read = Callable[[Sequence[str]], pa.Table]


class Rows:
    """Rows in order, with fast sequential and slow random access."""

    def __init__(
        self,
        pieces: Sequence[tuple[int, Read]],
        schema: pa.Schema,
        revision: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        """Of pieces (length, what reads some columns of it); `revision` is the Hub's commit."""
        self.pieces, self.schema, self.revision = pieces, schema, revision
        self.columns = columns or [name for name in schema.names if name not in LARGE]
        self.ends = list(accumulate(length for length, _ in pieces))
        self._piece: tuple[int, pa.Table] | None = None
        self._open: tuple[range, list[dict[str, Any]]] = (range(0), [])

    @classmethod
    def from_files(cls, files: Sequence[Path]) -> Rows:
        """The rows of Parquet files with the same columns, one row group at a time."""
        opened = [pq.ParquetFile(file) for file in files]
        pieces = [
            (file.metadata.row_group(number).num_rows, partial(_row_group, file, number))
            for file in opened
            for number in range(file.num_row_groups)
        ]
        for path, file in zip(files, opened, strict=True):
            if file.schema_arrow.names != opened[0].schema_arrow.names:
                raise InputError(f"{path} has other columns than {files[0]}")
        return cls(pieces, opened[0].schema_arrow)

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Rows:
        """The rows of a dataset that `load_dataset` keeps memory-mapped."""
        starts = range(0, len(dataset), AT_ONCE)
        pieces = [
            (min(AT_ONCE, len(dataset) - start), partial(_slice, dataset, start))
            for start in starts
        ]
        paths = [str(file["filename"]) for file in dataset.cache_files]
        commits = {match[1] for path in paths if (match := re.search(r"/([0-9a-f]{40})/", path))}
        revision = commits.pop() if len(commits) == 1 else None
        return cls(pieces, dataset.features.arrow_schema, revision)

    def only(self, columns: Iterable[str]) -> Rows:
        """The same rows with some of the columns, LARGE ones included."""
        wanted = [name for name in columns if name in self.schema.names]
        return Rows(self.pieces, self.schema, self.revision, wanted)

    def tables(self) -> Iterator[pa.Table]:
        """The rows in pieces, as Arrow tables."""
        return (read(self.columns) for _, read in self.pieces)

    def column(self, name: str) -> list[Any]:
        """All values of a column."""
        return [value for _, read in self.pieces for value in read([name])[name].to_pylist()]

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> dict[str, Any]:
        numbers, rows = self._open
        if number not in numbers:
            numbers, rows = self._open = self._around(number)
        return rows[number - numbers.start]

    def _around(self, number: int) -> tuple[range, list[dict[str, Any]]]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        piece = next(i for i, end in enumerate(self.ends) if number < end)
        length, read = self.pieces[piece]
        if self._piece is None or self._piece[0] != piece:
            self._piece = (piece, read(self.columns))
        first = self.ends[piece] - length
        start = first + (number - first) // AT_ONCE * AT_ONCE
        rows = self._piece[1].slice(start - first, AT_ONCE).to_pylist()
        return range(start, start + len(rows)), rows


def _row_group(file: pq.ParquetFile, number: int, columns: Sequence[str]) -> pa.Table:
    return file.read_row_group(number, columns=list(columns), use_threads=False)


def _slice(dataset: Dataset, start: int, columns: Sequence[str]) -> pa.Table:
    chosen = dataset.select_columns(list(columns)).with_format("arrow")
    return chosen[start : min(start + AT_ONCE, len(dataset))]
