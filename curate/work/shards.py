"""The shards of a run in, their descriptions beside them out; by one process or by many ranks at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from curate.dataset.write import write_dataset
from curate.describe import description as describing
from curate.describe.options import DescribeOptions
from curate.record import Description, Refusal, StructureRecord
from curate.run.counts import Counts, count
from curate.run.folder import Run
from curate.work.load_balance import longest_first
from curate.work.pool import Limits, Lost, work

Describe = Callable[[StructureRecord, DescribeOptions], Description]


@dataclass(frozen=True)
class Progress:
    """One step forward, for whoever watches."""

    stage: str  # "downloading", in bytes, then "reading" and "describing", in crystals
    done: int
    total: int | None
    description: Description | None = None


Watch = Callable[[Progress], None]


def describe_share(
    run: Run,
    share: Sequence[int],
    workers: int,
    describe: Describe = describing.describe,
    watch: Watch = lambda progress: None,
) -> None:
    """What one of several ranks does: describe its shards and, if it is the last, write the dataset."""
    describe_shards(run, share, workers, describe, watch)
    if not run.missing_shards():
        with run.lock(wait=True):
            finish(run)


def finish(run: Run) -> Counts:
    """The dataset of a run whose shards are all described, written where it is not up to date."""
    counts = count(run)
    if counts.left:
        raise ValueError(f"{counts.left} structures are unaccounted for")
    if not run.is_dataset_current:
        write_dataset(run, counts)
        run.sweep()
    return counts


def describe_shards(
    run: Run, shards: Sequence[int], workers: int, describe: Describe, watch: Watch
) -> None:
    """Describe shards as the run's question asks; one that exists by the time of its turn is left."""
    pending = [number for number in shards if not run.is_described(number)]
    if not pending:
        return
    question = run.question
    options = DescribeOptions(**question["describe"])
    limits = Limits(workers, question["settings"]["timeout"], question["settings"]["memory"])
    sizes = run.sizes(shards)
    total = sum(map(len, sizes.values()))
    progress = total - sum(len(sizes[number]) for number in pending)
    entries: dict[int, list[StructureRecord | Refusal]] = {}
    found: dict[int, dict[int, Description]] = {}

    def tasks() -> Iterator[tuple[tuple[int, int], tuple]]:
        nonlocal progress
        for number in pending:
            if run.is_described(number):  # by someone else meanwhile
                progress += len(sizes[number])
                continue
            shard = entries[number] = run.read_structures(number)
            found[number] = {}
            for position in longest_first(sizes[number]):
                yield (number, position), (shard[position], options)

    watch(Progress("describing", progress, total))  # workers take some seconds to start
    for (number, position), outcome in work(_Task(describe), tasks(), limits):
        entry = entries[number][position]
        if isinstance(outcome, Lost):
            outcome = _lost(entry.material_id, outcome)
        found[number][position] = outcome
        progress += 1
        watch(Progress("describing", progress, total, outcome))
        if len(found[number]) == len(entries[number]):
            by_position = found.pop(number)
            run.write_descriptions(number, [by_position[i] for i in range(len(by_position))])
            del entries[number]


@dataclass(frozen=True)
class _Task:
    """What a worker does with an entry: describe it, or pass on why it was refused."""

    describe: Describe

    def __call__(self, entry: StructureRecord | Refusal, options: DescribeOptions) -> Description:
        if isinstance(entry, StructureRecord):
            return self.describe(entry, options)
        return Description(
            material_id=entry.material_id,
            status=entry.status,
            stage="read",
            error_type=entry.error_type,
            error_message=entry.error_message,
        )


def _lost(material_id: str, lost: Lost) -> Description:
    return Description(
        material_id=material_id,
        status=lost.status,
        stage="worker",
        seconds=lost.seconds,
        error_type=lost.error_type,
        error_message=lost.error_message,
    )
