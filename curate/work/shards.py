"""Describe the shards of a run, in one process or in many ranks at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from curate.dataset.write import finish
from curate.describe import description as describing
from curate.describe.options import DescribeOptions
from curate.record import Description, SkippedEntry, StructureRecord
from curate.run.folder import Run
from curate.work.load_balance import longest_first
from curate.work.pool import FailedTask, Limits, work
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
    describe_shards(run, share, workers, describe, watch)
    if not run.missing_shards():
        with run.lock(wait=True):
            finish(run)


def describe_shards(
    run: Run, shards: Sequence[int], workers: int, describe: Describe, watch: Watch
) -> None:
    """Describe shards with the run's own options; those finished meanwhile elsewhere are skipped."""
    pending = [number for number in shards if not run.is_described(number)]
    if not pending:
        return
    record = run.settings_record
    options = DescribeOptions(**record["describe"])
    limits = Limits(workers, record["settings"]["timeout"], record["settings"]["memory"])
    sizes = run.sizes(shards)
    total = sum(map(len, sizes.values()))
    progress = total - sum(len(sizes[number]) for number in pending)
    entries: dict[int, list[StructureRecord | SkippedEntry]] = {}
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
        if isinstance(outcome, FailedTask):
            outcome = _failed(entry.material_id, outcome)
        found[number][position] = outcome
        progress += 1
        watch(Progress("describing", progress, total, outcome))
        if len(found[number]) == len(entries[number]):
            by_position = found.pop(number)
            run.write_descriptions(number, [by_position[i] for i in range(len(by_position))])
            del entries[number]


@dataclass(frozen=True)
class _Task:
    """What a worker does with an entry: describe it, or pass on why it could not be read."""

    describe: Describe

    def __call__(
        self, entry: StructureRecord | SkippedEntry, options: DescribeOptions
    ) -> Description:
        if isinstance(entry, StructureRecord):
            return self.describe(entry, options)
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
