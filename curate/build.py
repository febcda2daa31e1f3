"""Source → frozen structures → descriptions → dataset; the same call again goes on where it stopped."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from curate import __version__
from curate import describe as describing
from curate.batches import in_batches
from curate.config import BuildConfig
from curate.counts import Counts, count
from curate.dataset import COLUMNS, write_dataset
from curate.describe import DescribeOptions
from curate.errors import InputError
from curate.pool import Limits, Lost, work
from curate.record import Description, Refusal, StructureRecord
from curate.run import Run
from curate.sources import Source, open_source, wanted_ids
from curate.sources.files import named
from curate.tokens import load_tokenizer

GENERATORS = ("robocrys", "pymatgen", "pymatgen-core", "matminer", "spglib", "numpy")

Describe = Callable[[StructureRecord, DescribeOptions], Description]


@dataclass(frozen=True)
class Progress:
    """One step forward, for whoever watches."""

    stage: str  # "downloading", in bytes, then "reading" and "describing", in crystals
    done: int
    total: int | None
    description: Description | None = None


def build(
    config: BuildConfig,
    source: Source | None = None,
    describe: Describe = describing.describe,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Counts:
    """Build the dataset of a run folder and return its counts.

    Raises InputError for what the user can mend; what is finished by then stays in the folder.
    """
    check(config)
    load_tokenizer(config.tokenizer)  # its absence shows now, not after the last description
    run = Run(config.out)
    with run.lock():
        source = source or open_source(
            config, lambda done, total: watch(Progress("downloading", done, total))
        )
        run.ask(question(config, source))
        if run.fetched is None:
            fetch(run, source, config, watch)
        news = describe_shards(run, config, describe, watch)
        counts = count(run)
        if counts.left:
            raise ValueError(f"{counts.left} structures are unaccounted for")
        if news or not run.dataset.exists():
            write_dataset(run, counts)
    return counts


def check(config: BuildConfig) -> None:
    """InputError for numbers that make no sense and for a missing library."""
    for name in ("workers", "shard_size", "timeout", "memory", "limit"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be above 0")
    names = config.describe.molecule_names
    if names != "formula" and find_spec("openbabel") is None:
        raise InputError(
            f"--molecule-names {names} needs openbabel: pip install 'crysmmnet[molecules]'"
        )


def question(config: BuildConfig, source: Source) -> dict[str, Any]:
    """All that changes the answer; a run folder holds the answer to exactly one question."""
    ids = wanted_ids(config)
    return {
        "source": asdict(source.snapshot()),
        "settings": {
            "db": config.db,
            "snapshot": config.snapshot,
            "filter": config.filter,
            "limit": config.limit,
            "descriptions": config.descriptions,
            "include_noncommercial": config.include_noncommercial,
            "ids_sha256": _sha256(ids) if ids else None,
            "shard_size": config.shard_size,
            "tokenizer": config.tokenizer,
            "timeout": config.timeout,
            "memory": config.memory,
        },
        "describe": asdict(config.describe),
        "versions": {
            "python": platform.python_version(),
            "crysmmnet": __version__,
            **{name: version(name) for name in GENERATORS},
        },
    }


def fetch(run: Run, source: Source, config: BuildConfig, watch) -> None:
    """Freeze the source in the run folder; InputError where an id comes twice or is missing."""
    n_entries = 0
    types: dict[str, str | None] = {}
    for number, shard in enumerate(in_batches(selected(source, config), config.shard_size)):
        run.write_structures(number, shard)
        n_entries += len(shard)
        for entry in shard:
            if isinstance(entry, StructureRecord):
                for name, value in entry.properties.items():
                    types[name] = wider(types.get(name), value)
        watch(Progress("reading", n_entries, config.limit))
    if not n_entries:
        raise InputError("the source holds no entries")
    if clash := types.keys() & COLUMNS:
        raise InputError(f"property {min(clash)} has the name of a dataset column; rename it")
    read_on = date.today().isoformat()
    summary = {
        "entries": n_entries,
        "shards": number + 1,
        "properties": types,
        "units": dict(getattr(source, "units", {})),  # where the database tells them
        "read_on": read_on,
    }
    run.finish_fetching(summary)


def selected(source: Source, config: BuildConfig) -> Iterator[StructureRecord | Refusal]:
    """The entries the build asks for, each id once."""
    wanted = wanted_ids(config)
    seen: set[str] = set()
    for entry in source.records():
        if config.limit is not None and len(seen) == config.limit:
            return
        if wanted is not None and entry.material_id not in wanted:
            continue
        if entry.material_id in seen:
            raise InputError(f"the source holds two entries with the id {entry.material_id}")
        seen.add(entry.material_id)
        yield entry
    if wanted and (missing := wanted - seen):
        raise InputError(f"--ids {config.ids}: the source has no entry {named(missing)}")


def describe_shards(run: Run, config: BuildConfig, describe: Describe, watch) -> bool:
    """Describe the shards that are not done; True if there were any."""
    done = set(run.described_shards())
    assert run.fetched is not None
    total = run.fetched["entries"]
    pending = [number for number in run.shards() if number not in done]
    if not pending:
        return False
    progress = sum(len(run.read_descriptions(number)) for number in done)
    entries: dict[int, list[StructureRecord | Refusal]] = {}
    found: dict[int, dict[int, Description]] = {}

    def tasks() -> Iterator[tuple[tuple[int, int], tuple]]:
        for number in pending:
            shard = entries[number] = run.read_structures(number)
            found[number] = {}
            # Longest first: a large cell started last would keep one worker busy alone.
            for position in sorted(range(len(shard)), key=lambda i: -_size(shard[i])):
                yield (number, position), (shard[position], config.describe)

    watch(Progress("describing", progress, total))  # workers take some seconds to start
    limits = Limits(config.workers, config.timeout, config.memory)
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
    return True


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


def _size(entry: StructureRecord | Refusal) -> int:
    return entry.nsites if isinstance(entry, StructureRecord) else 0


def wider(type_name: str | None, value: Any) -> str | None:
    """The column type that holds the values so far and this one: boolean, number or string."""
    if value is None:
        return type_name
    found = {bool: "boolean", int: "number", float: "number"}.get(type(value), "string")
    return found if type_name in (None, found) else "string"


def _sha256(ids: set[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
