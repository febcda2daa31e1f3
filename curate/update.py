"""Update a finished run: read its source again, keep what is as it was, leave the rest to be described."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from curate.errors import InputError
from curate.run.changes import CHANGES_OF_UPDATES, are_equal, write_changes
from curate.run.folder import Run, differences
from curate.run.sealed import DamagedFile
from curate.run.update import discard, mark_ready, staged, take_place
from curate.sources.base import PreviousRun, Snapshot, Source
from curate.work.progress import Progress, Watch

log = logging.getLogger(__name__)

CHOOSE_ENTRIES = {"limit", "ids_sha256"}  # settings of all sources that an update may change
NOT_COMPARED = ("read_on", "sizes", "benchmarks")  # the day, and what follows from the entries
CHOOSES_TEXTS = "descriptions"  # the setting of sources that it may not


def previous_run(run: Run, is_intact: bool = True) -> PreviousRun | None:
    """What the run folder was read from before; None if it is new or its record is damaged.

    Args:
        run: The run.
        is_intact: Whether the entries that it holds, if all were read, are as they were written.
    """
    try:
        snapshot = Snapshot(**run.settings_record["source"])
    except (DamagedFile, TypeError):
        return None
    return PreviousRun(snapshot, is_intact and run.fetched is not None)


def update(
    run: Run,
    open_source: Callable[[PreviousRun | None], Source],
    record_of: Callable[[Source], dict[str, Any]],
    read: Callable[[Run, Source], None],
    defaults: Mapping[str, Any],
    units: Mapping[str, str],
    watch: Watch,
) -> None:
    """Read the source of a run again and let what it holds now take the run's place.

    Entries with the same id and content keep their descriptions; those of the others are missing from the
    run then. Nothing is written where nothing has changed. A run that is not finished is left as it is, for
    the build to finish.

    Args:
        run: The run; its structures are complete and not damaged, and this process has locked it.
        open_source: The source, given what was read of it before.
        record_of: What defines a run of the source.
        read: Writes the source's entries into a run.
        defaults: The source's settings at their defaults.
        units: By property, as the user states them.
        watch: Called with each step of progress.

    Raises:
        InputError: The run was started with settings that an update must keep, or the source can't be
            read.
    """
    run.drop_damaged_descriptions()
    if run.missing_shards() or not run.dataset_file.exists():
        log.info("%s is finished first; the same command then reads the source again", run.folder)
        return
    new, before = staged(run), run.fetched
    source = open_source(begun(new))
    record = json.loads(json.dumps(record_of(source)))  # as it would be read back
    check_kept(run, record, defaults)
    is_same = not list(differences(*with_defaults(run.settings_record, record, defaults)))
    is_fixed = bool(record["source"]["sha256"]) or getattr(source, "is_fixed", False)
    if not (is_same and is_fixed):
        if new.settings_file.exists() and new.settings_record != record:
            log.warning("the source has changed since the update began, which begins again")
            discard(new)
        new.check_settings(record)
        if new.fetched is None:
            read(new, source)
        keep_units(run, new, units)
        is_same = is_same and holds_the_same(run, new)
    assert before is not None
    if is_same:
        log.info("nothing has changed since %s was read on %s", run.folder, before["read_on"])
        discard(new)
        return
    counts = write_changes(run, new, lambda done: watch(Progress("comparing", done, None)))
    mark_ready(new)
    take_place(run)
    said = ", ".join(f"{counts[kind]:,} {kind}" for kind in CHANGES_OF_UPDATES if counts[kind])
    log.info("changed since %s: %s", before["read_on"], said or "no entry")


def begun(new: Run) -> PreviousRun | None:
    """What a stopped update was reading, for a source that can go on; what is damaged is removed."""
    new.sweep()
    try:
        if damaged := new.damaged_structures():
            raise damaged[0]
        is_under_way = new.fetched is not None or new.reading is not None
        if new.settings_file.exists():
            _ = new.settings_record  # says if it is damaged
        return previous_run(new) if is_under_way else None
    except DamagedFile as error:
        log.warning("the update begins again: %s (%s)", error.path, error.reason)
        discard(new)
        return None


def check_kept(run: Run, record: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """InputError where an update would change more than what of its source is read."""
    free = (CHOOSE_ENTRIES | defaults.keys()) - {CHOOSES_TEXTS}
    kept = [
        {
            **each,
            "settings": {
                name: value for name, value in each["settings"].items() if name not in free
            },
            "source": {"database": each["source"]["database"]},
        }
        for each in with_defaults(run.settings_record, record, defaults)
    ]
    if found := list(differences(kept[0], kept[1])):
        raise InputError(
            f"{run.folder} was started with other settings ({'; '.join(found)}), which an update "
            "keeps; repeat them or give --out a new folder"
        )


def with_defaults(
    old: Mapping[str, Any], new: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two records with the settings that they do not name."""
    one, other = ({**each, "settings": {**defaults, **each["settings"]}} for each in (old, new))
    return one, other


def keep_units(run: Run, new: Run, given: Mapping[str, str]) -> None:
    """Let the update have the units that the user stated, now or earlier, beside those of the source."""
    assert run.fetched is not None and new.fetched is not None
    stated = {**run.fetched.get("units", {}), **given}
    known = {name: unit for name, unit in stated.items() if name in new.fetched["properties"]}
    units = {**known, **new.fetched["units"]}
    units |= {name: unit for name, unit in given.items() if name in known}
    if units != new.fetched["units"]:
        new.finish_fetching({**new.fetched, "units": units})


def holds_the_same(run: Run, new: Run) -> bool:
    """Whether a run that was read again holds what it did."""
    assert run.fetched is not None and new.fetched is not None
    before, now = (
        {"units": {}, **{name: value for name, value in each.items() if name not in NOT_COMPARED}}
        for each in (run.fetched, new.fetched)
    )
    return before == now and are_equal(run, new)
