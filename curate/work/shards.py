"""Describe the shards of a run, in one process or in many ranks at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from curate.batches import in_batches
from curate.dataset.parts import columns_of, is_described, parts, write_part
from curate.dataset.write import finish
from curate.describe import description as describing
from curate.describe.options import DescribeOptions
from curate.record import Description, SkippedEntry, StructureRecord
from curate.run.folder import Run
from curate.sources.base import Entry
from curate.work.claims import claim_part, claimed, forget_claims
from curate.work.load_balance import Sizes, longest_first
from curate.work.pool import FailedTask, Limits, in_processes, work
from curate.work.progress import Progress, Watch

Describe = Callable[[StructureRecord, DescribeOptions], Description]


def describe_share(
    run: Run,
    share: Sequence[int],
    workers: int,
    describe: Describe = describing.describe,
    watch: Watch = lambda progress: None,
) -> None:
    """Describe a rank's shards and, if no other shard is left, write the dataset.

    Args:
        run: The run, whose structures are complete.
        share: Numbers of the rank's shards.
        workers: Processes side by side.
        describe: Writes the text of one crystal.
        watch: Called after each crystal.
    """
    describe_shards(run, share, workers, describe, watch, run.sizes(share))
    finish_last(run, workers)


def describe_claimed(
    run: Run,
    shards: Sequence[int],
    workers: int,
    describe: Describe = describing.describe,
    watch: Watch = lambda progress: None,
) -> None:
    """Describe what no other task has claimed, help with what is not finished, and, if no shard is left,
    write the dataset.

    Args:
        run: The run, whose structures are complete.
        shards: Numbers of all shards, in the order in which they should be described.
        workers: Processes side by side.
        describe: Writes the text of one crystal.
        watch: Called after each crystal.
    """
    in_hand: set[int] = set()
    is_at_work = True
    while is_at_work:  # once more after the own ones are finished: others' may not be
        is_at_work = describe_shards(
            run, claimed(run, shards, in_hand), workers, describe, watch, in_hand=in_hand
        )
    finish_last(run, workers)


def write_claimed_parts(run: Run, workers: int) -> None:
    """Write the parts of the dataset whose shards are described and that no other task has claimed.

    Args:
        run: The run.
        workers: Processes side by side; so many parts are claimed at a time, and the others left to others.
    """
    columns = columns_of(run)
    write_each = in_processes(workers)
    described = (part for part in parts(run.sizes(run.shards())) if is_described(run, part))
    mine = (part for part in described if claim_part(run, part.number))
    for some in in_batches(mine, workers):
        try:
            write_each(write_part, [(run.folder, part, columns) for part in some])
        except FileNotFoundError:  # another is writing the dataset with these parts, and took them
            return


def finish_last(run: Run, workers: int) -> None:
    """Write the parts of the dataset that are left, and the dataset if every shard is described.

    Of many tasks that end together each writes some parts, and one the card; the others do not even count.
    """
    if not run.is_dataset_newest:
        write_claimed_parts(run, workers)
    if run.missing_shards():
        return
    with run.lock(wait=True):
        if not run.is_dataset_newest:
            finish(run, in_processes(workers))
        forget_claims(run)
        shutil.rmtree(run.parts, ignore_errors=True)  # of a task that was late


def describe_shards(
    run: Run,
    shards: Iterable[int],
    workers: int,
    describe: Describe,
    watch: Watch,
    sizes: Sizes | None = None,
    in_hand: set[int] | None = None,
) -> bool:
    """Describe shards with the run's own options; those finished meanwhile elsewhere are left.

    Args:
        run: The run.
        shards: Their numbers, taken as they are needed.
        workers: Processes side by side.
        describe: Writes the text of one crystal; in this process where the record brings it.
        watch: Called after each crystal.
        sizes: Of all shards that will be described, where they are known beforehand.
        in_hand: Holds the numbers of the shards that are begun and not finished.

    Returns:
        Whether there was any to describe.
    """
    pending = (number for number in shards if not run.is_described(number))
    first = next(pending, None)
    if first is None:
        return False
    record = run.settings_record
    options = DescribeOptions(**record["describe"])
    limits = Limits(workers, record["settings"]["timeout"], record["settings"]["memory"])
    total = None if sizes is None else sum(size.entries for size in sizes.values())
    progress = sum(size.entries for n, size in (sizes or {}).items() if run.is_described(n))
    in_hand = set() if in_hand is None else in_hand
    entries: dict[int, list[Entry]] = {}
    digests: dict[int, str] = {}  # of the entries as they were read
    found: dict[int, dict[int, Description]] = {}

    def drop(number: int) -> None:
        del entries[number], found[number], digests[number]
        in_hand.discard(number)

    def keep(number: int, position: int, outcome: Description) -> None:
        nonlocal progress
        found[number][position] = outcome
        progress += 1
        watch(Progress("describing", progress, total, outcome))
        if len(found[number]) == len(entries[number]):
            by_position = found[number]
            if not run.is_described(number):
                descriptions = [by_position[i] for i in range(len(by_position))]
                run.write_descriptions(number, descriptions, digests[number])
            drop(number)

    def tasks() -> Iterator[tuple[tuple[int, int], tuple]]:
        nonlocal progress
        for number in chain([first], pending):
            in_hand.add(number)
            digests[number] = run.structures_digest(number)
            shard = entries[number] = run.read_structures(number)
            kept = run.kept_descriptions(number)
            found[number] = {
                position: kept[entry.material_id]
                for position, entry in enumerate(shard)
                if entry.material_id in kept
            }
            progress += len(found[number])
            atoms = [getattr(entry, "nsites", 0) for entry in shard]
            left = [position for position in longest_first(atoms) if position not in found[number]]
            for position in left:
                if run.is_described(number):  # by someone else meanwhile
                    progress += len(shard) - len(found[number])
                    drop(number)
                    break
                entry = shard[position]
                if isinstance(entry, SkippedEntry):
                    keep(number, position, _skipped(entry))
                elif entry.description is not None:  # is kept as it is: no work for a worker
                    keep(number, position, describe(entry, options))
                else:
                    yield (number, position), (entry, options)

    watch(Progress("describing", progress, total))  # workers take some seconds to start
    for (number, position), outcome in work(describe, tasks(), limits):
        if number not in entries:
            continue
        if isinstance(outcome, FailedTask):
            outcome = _failed(entries[number][position].material_id, outcome)
        keep(number, position, outcome)
    return True


def _skipped(entry: SkippedEntry) -> Description:
    """In place of a description, why the entry could not be read."""
    return Description(
        material_id=entry.material_id,
        status=entry.status,
        stage="read",
        error_type=entry.error_type,
        error_message=entry.error_message,
    )


def _failed(material_id: str, task: FailedTask) -> Description:
    return Description(
        material_id=material_id,
        status=task.status,
        stage="worker",
        seconds=task.seconds,
        error_type=task.error_type,
        error_message=task.error_message,
    )
