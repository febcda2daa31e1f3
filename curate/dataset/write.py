"""Write the dataset of a run in the form that `datasets.load_dataset` opens."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.dataset.card import dataset_card
from curate.dataset.parts import (
    CONFIGS,
    WrittenPart,
    columns_of,
    parts,
    write_file,
    write_part,
    written_part,
)
from curate.files import sha256_of, sync, sync_tree, write_text
from curate.run.counts import COUNTED, Counts, count, tally
from curate.run.folder import Run
from curate.run.schema import CHANGES

OLD = "dataset.old"  # the dataset that is replaced, until the new one is in its place
WriteEach = Callable[[Callable[..., Any], Sequence[tuple]], Iterable[Any]]


def in_turn(function: Callable[..., Any], tasks: Sequence[tuple]) -> list[Any]:
    """What the function returns for each task, computed in this process."""
    return [function(*task) for task in tasks]


def finish(run: Run, write_each: WriteEach = in_turn) -> Counts:
    """Write the dataset of a run whose shards are all described, unless it is up to date.

    Args:
        run: The run.
        write_each: Calls a function for each part of the dataset, maybe in several processes.

    Returns:
        The counts of the run.

    Raises:
        ValueError: Structures are left without a description or a reason.
    """
    if run.missing_shards():
        raise ValueError(f"{run.folder}: shards are left that are not described")
    shutil.rmtree(run.folder / OLD, ignore_errors=True)  # of a killed build
    counts = count(run) if run.is_dataset_current else write_dataset(run, write_each)
    shutil.rmtree(run.parts, ignore_errors=True)
    return counts


def write_dataset(run: Run, write_each: WriteEach = in_turn) -> Counts:
    """Write RUN/dataset anew: the described rows, the manifest of all rows, what changed, and the card.

    Parts that are written are taken as they are (`curate.dataset.parts`). Arguments and errors are those
    of `finish`.
    """
    columns = columns_of(run)
    wanted = parts(run.sizes(run.shards()))
    for _ in write_each(write_part, [(run.folder, part, columns) for part in wanted]):
        pass
    found = [written_part(run, part, columns) for part in wanted]
    written = [part for part in found if part is not None]
    counts = tally(run, manifests(written))
    if len(written) < len(wanted) or counts.left:
        raise ValueError(f"{run.folder}: {counts.left} structures are unaccounted for")
    made_of = run.contents(
        {path: digest for part in written for path, digest in part.shards.items()}
    )
    partial = run.folder / "dataset.partial"
    shutil.rmtree(partial, ignore_errors=True)
    digests: dict[str, str] = {}
    for config in CONFIGS:
        (partial / config).mkdir(parents=True)
        for part in written:
            name = f"{config}/train-{part.part.number:05d}.parquet"
            sync(part.files[config])
            part.files[config].rename(partial / name)
            digests[name] = part.digests[config]
    digests |= write_changes(run, partial)
    card = dataset_card(run, counts, partial, [part.texts for part in written], digests)
    write_text(partial / "README.md", card)
    sync_tree(partial)
    replace_folder(partial, run.dataset)
    run.record_dataset(made_of, digests_of(run.dataset, digests))
    return counts


def digests_of(dataset: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """SHA-256 of each file of a dataset folder, by its path there.

    Args:
        dataset: The folder.
        known: Those of files that need not be read again.
    """
    known = known or {}
    files = (path for path in sorted(dataset.rglob("*")) if path.is_file())
    names = (str(path.relative_to(dataset)) for path in files)
    return {name: known.get(name) or sha256_of(dataset / name).hex() for name in names}


def write_changes(run: Run, dataset: Path) -> dict[str, str]:
    """Write the config `changes` of a dataset folder, where the run was ever updated; the files' digests."""
    digests = {}
    for number in run.changes_shards():
        name = f"changes/train-{number:05d}.parquet"
        table = pa.Table.from_pylist(run.read_changes(number), schema=CHANGES)
        write_file(dataset / name, [table], CHANGES)
        digests[name] = sha256_of(dataset / name).hex()
    return digests


def manifests(written: Iterable[WrittenPart]) -> Iterator[pa.Table]:
    """The counted columns of the parts' manifests."""
    for part in written:
        yield pq.read_table(part.files["manifest"], columns=list(COUNTED))


def replace_folder(new: Path, old: Path) -> None:
    """Replace the folder `old` by `new`, whose files are on disk."""
    gone = old.with_name(OLD)
    shutil.rmtree(gone, ignore_errors=True)
    if old.exists():
        old.rename(gone)
    new.rename(old)
    sync(old.parent)
    shutil.rmtree(gone, ignore_errors=True)
