"""Build a dataset: read a source, describe its crystals, write the files.

Calling it again resumes an interrupted build, or updates one that is finished.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from curate import __version__
from curate.config import BuildConfig, DescribeConfig
from curate.dataset.token_lengths import load_tokenizer
from curate.dataset.write import finish
from curate.describe import description as describing
from curate.describe.options import in_dialect
from curate.errors import InputError
from curate.properties import parse_units, without_unit
from curate.record import SkippedEntry
from curate.run.counts import Counts, count
from curate.run.folder import Run
from curate.run.update import take_place
from curate.sources.base import PreviousRun, Read, ReadEach, Request, Source
from curate.update import previous_run, update
from curate.work.claims import forget_claims
from curate.work.freeze import fetch
from curate.work.load_balance import largest_first, shares
from curate.work.pool import FailedTask, Limits, in_processes
from curate.work.progress import Progress, Watch
from curate.work.reading import read_each
from curate.work.shards import Describe, describe_claimed, describe_shards, describe_share

log = logging.getLogger(__name__)
GENERATORS = ("robocrys", "pymatgen", "pymatgen-core", "matminer", "spglib", "numpy")


def build(
    config: BuildConfig,
    source: Source | None = None,
    describe: Describe = describing.describe,
    watch: Watch = lambda progress: None,
) -> Counts:
    """Build the dataset of a run folder, or resume an interrupted build.

    Args:
        config: The settings, as the command line gives them.
        source: What is read; by default the source that the settings choose.
        describe: Writes the text of one crystal; called in worker processes.
        watch: Called with each step of progress.

    Returns:
        The counts of the run; on a cluster, the counts so far.

    Raises:
        InputError: The user can correct something; what is finished by then stays in the folder.
    """
    check(config)
    config = replace(config, describe=in_dialect(config.describe, config.text_dialect))
    load_tokenizer(config.tokenizer)  # its absence shows now, not after the last description
    run = Run(config.out)
    with run.lock():
        take_place(run)  # of an update that was stopped
        ids, units = wanted_ids(config), parse_units(config.units)

        def opened(previous: PreviousRun | None) -> Source:
            return source or config.source.open(
                Request(
                    ids,
                    units,
                    previous,
                    lambda done, total: watch(Progress("downloading", done, total)),
                    in_a_worker(config),
                )
            )

        damaged = run.damaged_structures()
        if config.update and not damaged and run.fetched is not None:
            if config.executor == "slurm":
                from curate.work.slurm import check_no_job

                check_no_job(run)  # what its tasks describe would be moved away under them
            update(
                run,
                opened,
                lambda now: settings_record(config, now, ids),
                lambda new, now: fetch(new, now, config, ids, watch),
                default_settings(config),
                units,
                watch,
            )
        source = opened(previous_run(run, not damaged))
        run.check_settings(settings_record(config, source, ids), default_settings(config))
        for error in damaged:
            log.warning("the source is read again: %s (%s)", error.path, error.reason)
        if damaged or run.fetched is None:
            fetch(run, source, config, ids, watch)
        run.drop_damaged_descriptions()
        run.drop_damaged_verification()
        state_units(run, units)
        missing = run.missing_shards()
        if missing and config.executor == "slurm":
            from curate.work.slurm import submit  # only a cluster's user pays for its launcher

            submit(run, missing, config, describe)
        if missing and config.executor != "local":
            return count(run)
        sizes = run.sizes(run.shards())
        describe_shards(run, largest_first(sizes), config.workers, describe, watch, sizes)
        counts = finish(run, in_processes(config.workers))
        forget_claims(run)
        return counts


def in_a_worker(config: BuildConfig) -> ReadEach:
    """Reading of local files with the limits of describing: one that takes too long costs itself."""
    limits = Limits(1, config.timeout, config.memory)

    def read(function: Read, tasks: Sequence[tuple]) -> Iterator[tuple[int, Any]]:
        for number, value in read_each(function, tasks, limits):
            if isinstance(value, FailedTask):
                value = SkippedEntry("", value.status, value.error_type, value.error_message)
            yield number, value

    return read


def describe_rank(config: DescribeConfig, watch: Watch = lambda progress: None) -> None:
    """Describe one rank's share of a run whose structures are complete, or what no other task has claimed.

    Args:
        config: Run folder, and rank and number of ranks, which need not know of each other; without
            these, shards are claimed.
        watch: Called with each step of progress.

    Raises:
        InputError: The installed versions are not those of the run, or its structures are incomplete.
    """
    for name, least in (("of", 1), ("rank", 0), ("workers", 1)):
        value = getattr(config, name)
        if value is not None and value < least:
            raise InputError(f"--{name} {value}: must be at least {least}")
    if (config.rank is None) != (config.of is None):
        raise InputError("--rank and --of belong together; without both, shards are claimed")
    if config.rank is not None and config.of is not None and config.rank >= config.of:
        raise InputError(f"--rank {config.rank} --of {config.of}: ranks count from 0")
    run = Run.load(config.run)
    run.check_settings({**run.settings_record, "versions": versions()})
    if run.fetched is None:
        raise InputError(f"{config.run} is not read whole yet: run the command that began it again")
    sizes = run.sizes(run.shards())
    if config.rank is None or config.of is None:
        describe_claimed(run, largest_first(sizes), config.workers, watch=watch)
        if left := run.missing_shards():
            log.info(
                "%d shards are being described by others; if none is at work any more, remove %s and "
                "start again",
                len(left),
                run.claims,
            )
        return
    share = shares(sizes, config.of)[config.rank]
    run.drop_damaged_descriptions(set(share) & set(run.described_shards()))
    describe_share(run, share, config.workers, watch=watch)


def check(config: BuildConfig) -> None:
    """InputError for settings that do not fit together, and for a missing library."""
    config.source.check()
    for name in ("workers", "shard_size", "timeout", "memory", "limit"):
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be above 0")
    for name, value in asdict(config.slurm).items():
        if value is not None and config.executor != "slurm":
            raise InputError(f"--{name.replace('_', '-')} belongs to --executor slurm")
        if isinstance(value, int) and value <= 0:
            raise InputError(f"--{name.replace('_', '-')} {value}: must be above 0")
    if config.executor == "slurm" and config.slurm.tasks is None:
        raise InputError("--executor slurm needs --tasks N")
    if config.executor == "slurm" and find_spec("datatrove") is None:
        raise InputError("--executor slurm needs datatrove: pip install 'crysmmnet[slurm]'")
    names = config.describe.molecule_names
    if names != "formula" and find_spec("openbabel") is None:
        raise InputError(
            f"--molecule-names {names} needs openbabel: pip install 'crysmmnet[molecules]'"
        )


def settings_record(
    config: BuildConfig, source: Source, ids: set[str] | None = None
) -> dict[str, Any]:
    """What defines a run, for run.json: the source's snapshot, and all settings that change the dataset.

    Args:
        config: The build's settings.
        source: What will be read.
        ids: The material ids that are wanted; None for all.
    """
    return {
        "source": asdict(source.snapshot()),
        "settings": {
            "db": config.source.db,
            **config.source.recorded(),
            "limit": config.limit,
            "ids_sha256": _sha256(ids) if ids else None,
            "shard_size": config.shard_size,
            "tokenizer": config.tokenizer,
            "timeout": config.timeout,
            "memory": config.memory,
        },
        "describe": asdict(config.describe),
        "versions": versions(),
    }


def default_settings(config: BuildConfig) -> dict[str, Any]:
    """What a setting means where a run.json does not name it.

    A source's new setting is at its default there. Version 0.1.0 recorded some settings for every
    source; at these values they say nothing about the others.
    """
    recorded_for_all = {
        "snapshot": "dft_3d_2021",
        "filter": None,
        "descriptions": "own",
        "include_noncommercial": False,
    }
    return {**recorded_for_all, **type(config.source)().recorded()}


def wanted_ids(config: BuildConfig) -> set[str] | None:
    """The ids of --ids in the spelling of their database; None where all are wanted."""
    if config.ids is None:
        return None
    try:
        ids = {line.strip() for line in config.ids.read_text().splitlines()} - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--ids {config.ids} can't be read: {error}") from error
    if not ids:
        raise InputError(f"--ids {config.ids} holds no ids")
    return set(map(config.source.canonical_id, ids))


def versions() -> dict[str, str]:
    """Versions of Python and of every package that shapes a text."""
    return {
        "python": platform.python_version(),
        "crysmmnet": __version__,
        **{name: version(name) for name in GENERATORS},
    }


def state_units(run: Run, given: Mapping[str, str]) -> None:
    """Add a user's units to those of a frozen source; warn of numbers that have none.

    Raises:
        InputError: A unit is given for something that is no property of the source.
    """
    assert run.fetched is not None
    types, units = run.fetched["properties"], run.fetched.get("units", {})
    if strange := given.keys() - types.keys():
        raise InputError(
            f"--units: the source has no property {min(strange)}; it has "
            f"{', '.join(sorted(types)) or 'none'}"
        )
    if {**units, **given} != units:
        units = {**units, **given}
        run.finish_fetching({**run.fetched, "units": units})
    numbers = [name for name, type_name in types.items() if type_name == "number"]
    if missing := without_unit(numbers, units):
        words = " ".join(shlex.quote(f"{name}=UNIT") for name in missing)
        log.warning(
            "no unit is known for %s; to state it add --units %s", ", ".join(missing), words
        )


def _sha256(ids: set[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
