"""Let a run that was read again take the place of the one before it, such that a kill loses nothing.

The new run lies in RUN/update. When it is whole, RUN/update/ready.json is written; from then on each of its
files and folders is moved to its place, by whoever locks the run next, until none is left.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from curate.files import sync
from curate.run.folder import READY, UPDATE, Run
from curate.run.sealed import digest_of, write_record

MOVED = ("structures", "descriptions", "kept", "structures.json", "run.json")
REPLACED = "replaced"  # folder in the update with what was in those places
FINISHED = "update.old"  # the update, when nothing of it is left but what it replaced


def staged(run: Run) -> Run:
    """The run folder that the source is read into again."""
    return Run(run.folder / UPDATE)


def discard(update: Run) -> None:
    """Remove what was read of an update."""
    shutil.rmtree(update.folder, ignore_errors=True)


def mark_ready(update: Run) -> None:
    """Record that an update is whole: from now on it takes its run's place."""
    for folder in (update.descriptions, update.kept, update.changes):
        folder.mkdir(exist_ok=True)  # each is moved, so that what is left to move is left to do
        sync(folder)
    write_record(update.folder / READY, {"run": digest_of(update.settings_record)})


def take_place(run: Run) -> bool:
    """Move an update that is whole to the run's place; also one whose move was stopped.

    Returns:
        Whether there was one. What the old run was verified by is gone with it.
    """
    shutil.rmtree(run.folder / FINISHED, ignore_errors=True)
    update = staged(run)
    if not (update.folder / READY).exists():
        return False
    run.verification_file.unlink(missing_ok=True)
    for folder in (run.claims, run.parts):
        shutil.rmtree(folder, ignore_errors=True)
    for path in sorted(update.changes.glob("*.parquet")):
        move(path, run.changes / path.name)
    gone = update.folder / REPLACED
    gone.mkdir(exist_ok=True)
    for name in MOVED:
        new, old = update.folder / name, run.folder / name
        if not new.exists():
            continue
        if old.exists():
            move(old, gone / name)
        move(new, old)
    move(update.folder, run.folder / FINISHED)
    shutil.rmtree(run.folder / FINISHED, ignore_errors=True)
    return True


def move(path: Path, to: Path) -> None:
    """Rename a file or folder and wait until both folders' names are on disk."""
    to.parent.mkdir(exist_ok=True)
    path.replace(to)
    sync(to.parent)
    sync(path.parent)
