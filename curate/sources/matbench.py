"""Source `matbench`: a task of Matbench v0.1 on structures, with its official folds.

Dunn et al., npj Computational Materials 6, 138 (2020). Ids and folds are those of the package `matbench` 0.6.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import ijson
import numpy as np

from curate.errors import InputError, first_line
from curate.files import sha256_of
from curate.properties import MATBENCH, OPT, PBE, VRH
from curate.record import FOLD_PREFIX, SkippedEntry, StructureRecord
from curate.sources.base import (
    IN_SNAPSHOT,
    PreviousRun,
    Request,
    Snapshot,
    Source,
    SourceSettings,
)
from curate.sources.embedded import embedded_file, embedded_records
from curate.sources.entries import record_of
from curate.sources.sample import JARVIS_LICENSE
from curate.web.zipped_json import Strict
from curate.web.zips import DENSEST, LARGEST

log = logging.getLogger(__name__)

TaskName = Literal[
    "dielectric",
    "jdft2d",
    "log_gvrh",
    "log_kvrh",
    "mp_e_form",
    "mp_gap",
    "perovskites",
    "phonons",
]
N_FOLDS = 5
FOLD_SEED = 18012019  # of scikit-learn's KFold, as Matbench's authors chose it
URL = "https://ml.materialsproject.org/projects/{file}"
GZIP = b"\x1f\x8b"  # how a packed file begins
UNREADABLE = (ijson.JSONError, zlib.error, EOFError, OSError, UnicodeError, ValueError)
CC_BY = "CC-BY-4.0"  # the Materials Project's


@dataclass(frozen=True)
class Task:
    """One task: predict a property of a crystal from its structure."""

    n: int  # crystals
    target: str  # the property's name in Matbench
    unit: str
    level: str  # of theory
    license: str
    citation: str  # of the data; Matbench's own comes before it
    sha256: str  # of the published file
    is_embedded: bool = False


ELASTIC = "de Jong et al., Scientific Data 2, 150009 (2015)"
MP_2013 = "Jain et al., APL Materials 1, 011002 (2013)"
TASKS: dict[str, Task] = {
    "dielectric": Task(
        4_764,
        "n",
        "1",
        f"DFPT, {PBE.removeprefix('DFT, ')}",
        CC_BY,
        "Petousis et al., Scientific Data 4, 160134 (2017)",
        "83befa09bc2ec2f4b6143afc413157827a90e5e2e42c1eb507ccfa01bf26a1d6",
    ),
    "jdft2d": Task(
        636,
        "exfoliation_en",
        "meV/atom",
        OPT,
        JARVIS_LICENSE,
        "Choudhary et al., Scientific Reports 7, 5179 (2017)",
        "26057dc4524e193e32abffb296ce819b58b6e11d1278cae329a2f97817a4eddf",
        is_embedded=True,
    ),
    "log_gvrh": Task(
        10_987,
        "log10(G_VRH)",
        "log10(GPa)",
        VRH,
        CC_BY,
        ELASTIC,
        "098af941f4c663270f1fe21abf20ffad6fb85ecbfcba5786ceac03983ac29da7",
    ),
    "log_kvrh": Task(
        10_987,
        "log10(K_VRH)",
        "log10(GPa)",
        VRH,
        CC_BY,
        ELASTIC,
        "44b113ddb7e23aa18731a62c74afa7e5aa654199e0db5f951c8248a00955c9cd",
    ),
    "mp_e_form": Task(
        132_752,
        "e_form",
        "eV/atom",
        PBE,
        CC_BY,
        MP_2013,
        "dedcb1d4ba2e3e50dbdd45ba5bc647a00e9c2bcf8f8bf556dc8e92caa39eb21f",
    ),
    "mp_gap": Task(
        106_113,
        "gap pbe",
        "eV",
        PBE,
        CC_BY,
        MP_2013,
        "58b65746bd88329986ed66031a2ac1369c7c522f7bc9f9081528e07097c2c057",
    ),
    "perovskites": Task(
        18_928,
        "e_form",
        "eV/unit cell",
        "DFT, RPBE; oxygen against water vapour",
        "unknown",
        "Castelli et al., Energy & Environmental Science 5, 9034 (2012)",
        "4641e2417f8ec8b50096d2230864468dfa08278dc9d257c327f65d0305278483",
    ),
    "phonons": Task(
        1_265,
        "last phdos peak",
        "1/cm",
        "DFPT, PBEsol",
        CC_BY,
        "Petretto et al., Scientific Data 5, 180065 (2018)",
        "4db551f21ec5f577e6202725f10e34dfc509aa7df3a6bdaac497da7f6dbbb9b3",
        is_embedded=True,
    ),
}


@dataclass(frozen=True)
class MatbenchSettings(SourceSettings):
    """Which task of Matbench v0.1 is read, and from where."""

    db: ClassVar[str] = "matbench"

    task: TaskName | None = None
    """Which task on structures (regression); the dataset has its official folds as the column
    fold_matbench_TASK. jdft2d and phonons are embedded in the package and need no network."""
    input: Path | None = field(default=None, metadata=IN_SNAPSHOT)
    """Matbench's own file of the task, as matbench_log_gvrh.json.gz."""

    def check(self) -> None:
        if self.task is None:
            raise InputError(f"--db matbench needs --task; known: {', '.join(TASKS)}")
        if self.input is None and not TASKS[self.task].is_embedded:
            raise InputError(
                f"--task {self.task} is not embedded in the package: download {url_of(self.task)} "
                "and give the file as --input"
            )

    def open(self, request: Request) -> Source:
        self.check()
        assert self.task is not None
        return Matbench(self.task, self.input, request.previous)


class Matbench:
    """The crystals of one task, in the order of Matbench's ids."""

    def __init__(
        self, task: str, input: Path | None = None, previous: PreviousRun | None = None
    ) -> None:
        self.name, self.task = task, TASKS[task]
        self.input, self.previous = input, previous
        self.database = f"{MATBENCH.name} {task}"
        self.units = {self.task.target: self.task.unit}

    def snapshot(self) -> Snapshot:
        if self.previous is not None and self.previous.is_complete:
            return self.previous.snapshot
        version = f"{self.task.n:,} crystals; {self.task.level}"
        path = self.input or embedded_file(f"matbench_{self.name}")
        try:
            digest = sha256_of(path).hex()
        except OSError as error:
            raise InputError(f"--input {path} can't be read: {error.strerror}") from error
        if self.input is not None and digest != self.task.sha256:
            log.warning(
                "--input %s is not byte for byte the published %s", path, file_of(self.name)
            )
        return Snapshot(
            database=self.database,
            version=version if self.input is not None else f"{version}; embedded",
            sha256=digest,
            license=self.task.license,
            citation=f"{MATBENCH.citation}; {self.task.citation}",
            url=url_of(self.name),
        )

    def records(self) -> Iterator[StructureRecord | SkippedEntry]:
        """Every crystal with its target and the number of the fold whose test set it is in.

        Raises:
            InputError: The file is damaged, another task's, or not complete.
        """
        folds = official_folds(self.task.n)
        if self.input is None:
            found = enumerate(
                embedded_records(
                    f"matbench_{self.name}", self.task.target, self.database, self.task.license
                )
            )
            for number, record in found:
                yield self._with_fold(record, folds[number])
            return
        fields = {"source": self.database, "license": self.task.license}
        for number, row in numbered_rows(self.input, self.name):
            entry = row if row is None else {"structure": row[0], self.task.target: row[1]}
            yield self._with_fold(
                record_of(entry, material_id(self.name, number), fields), folds[number]
            )

    def _with_fold(
        self, record: StructureRecord | SkippedEntry, fold: int
    ) -> StructureRecord | SkippedEntry:
        if isinstance(record, SkippedEntry):
            return record
        known = {self.task.target: record.properties.get(self.task.target)}
        return replace(record, properties={**known, fold_column(self.name): str(fold)})


def file_of(task: str) -> str:
    """The name that Matbench gives the file of a task."""
    return f"matbench_{task}.json.gz"


def url_of(task: str) -> str:
    """Where Matbench's file of a task is published."""
    return URL.format(file=file_of(task))


def fold_column(task: str) -> str:
    """The column that holds the official fold of each crystal: 0 to 4, as text, since it is a label."""
    return f"{FOLD_PREFIX}{task}"


def material_id(task: str, number: int) -> str:
    """Matbench's id of a row, whose numbers are from 0: `mb-jdft2d-001`, `mb-log-gvrh-00001`."""
    width = len(str(TASKS[task].n))
    return f"mb-{task.replace('_', '-')}-{number + 1:0{width}d}"


def official_folds(n: int) -> np.ndarray:
    """The official fold of each row of a regression task.

    They are those of scikit-learn's `KFold(5, shuffle=True, random_state=18012019)` over the rows in the
    order of their ids: a permutation by NumPy's legacy generator, whose stream is frozen, cut in five.

    Args:
        n: Rows of the task.

    Returns:
        (n,) numbers of the fold whose test set the row is in.
    """
    order = np.arange(n)
    np.random.RandomState(FOLD_SEED).shuffle(order)
    folds = np.empty(n, int)
    for fold, members in enumerate(np.array_split(order, N_FOLDS)):
        folds[members] = fold
    return folds


def numbered_rows(path: Path, task: str) -> Iterator[tuple[int, list[Any] | None]]:
    """Rows of Matbench's file, one at a time.

    Args:
        path: A JSON object `{"index": …, "columns": ["structure", TARGET], "data": [[…, …], …]}`, packed by
            gzip or not.
        task: The task that it should be of.

    Yields:
        The row's number from 0 and its structure and target, in this order; None for a row of another
        form.

    Raises:
        InputError: The file can't be read, is another task's, or not complete.
    """
    n, target = TASKS[task].n, TASKS[task].target
    with opened(path) as file:
        index = next(ijson.items(file, "index"), None)
    with opened(path) as file:
        columns = next(ijson.items(file, "columns"), None)
    if not isinstance(columns, list) or sorted(map(str, columns)) != sorted(("structure", target)):
        told = ", ".join(map(str, columns)) if isinstance(columns, list) else "none"
        raise InputError(
            f"--input {path}: the columns of {file_of(task)} are structure and {target}; "
            f"this file's: {told[:200]}"
        )
    if not isinstance(index, list) or set(map(str, index)) != set(map(str, range(n))):
        told = f"{len(index):,}" if isinstance(index, list) else "no"
        raise InputError(
            f"--input {path}: {file_of(task)} has {n:,} rows, numbered from 0; this file has {told}"
        )
    is_swapped = columns[0] == target
    n_read = 0
    with opened(path) as file:
        for number, row in zip(index, ijson.items(file, "data.item", use_float=True), strict=False):
            is_pair = isinstance(row, list) and len(row) == 2
            yield int(number), (row[::-1] if is_swapped else row) if is_pair else None
            n_read += 1
    if n_read < n or len(index) != n:
        raise InputError(f"--input {path} holds {n_read:,} of the {n:,} rows of {file_of(task)}")


@contextmanager
def opened(path: Path) -> Iterator[Strict]:
    """The JSON of a file that may be packed by gzip; what is wrong with it is an InputError."""
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == GZIP
        most = min(LARGEST, DENSEST * path.stat().st_size)
        with gzip.open(path) if is_packed else path.open("rb") as unpacked:
            yield Strict(Bounded(unpacked, most))  # type: ignore[arg-type]
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"--input {path} can't be read ({first_line(error)})") from error


class Bounded:
    """A stream of which at most so many bytes are read."""

    def __init__(self, file: IO[bytes], most: int):
        self.file, self.left = file, most

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; ValueError where the file unpacks to an implausible size."""
        found = self.file.read(size)
        self.left -= len(found)
        if self.left < 0:
            raise ValueError("it would unpack to an implausible size")
        return found
