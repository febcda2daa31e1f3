"""Claim shards for one of many tasks on a shared file system, so that none is given out beforehand.

    RUN/claims/00007.1   shard 7 is being described; 00007.2: by a second task as well
    RUN/claims/part-00003  part 3 of the dataset is being written

A claim is a file that only one task can create. No clocks are compared and no claim is ever taken away:
a task that finds every shard claimed takes a second claim on one that is not finished yet. What a node
held that died or is slow is so described by another, and whoever is first writes it.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from curate.run.folder import Run

MOST_CLAIMS = 3  # on one shard; a fourth task is no use where three are at work


def claimed(run: Run, shards: Sequence[int], in_hand: Container[int] = ()) -> Iterator[int]:
    """The shards that are this task's to describe, each claimed when it is asked for.

    Args:
        run: The run.
        shards: Numbers of all shards, in the order in which they should be described.
        in_hand: Those that this task is describing already.
    """
    for level in range(1, MOST_CLAIMS + 1):
        for number in shards:
            if number in in_hand or run.is_described(number):
                continue
            if claim(run, number, level):
                yield number


def claim(run: Run, number: int, level: int) -> bool:
    """Claim a shard; False where another task has this claim."""
    return _claim(run.claims / f"{number:05d}.{level}")


def claim_part(run: Run, number: int) -> bool:
    """Claim a part of the dataset; False where another task has it."""
    return _claim(run.claims / f"part-{number:05d}")


def _claim(path: Path) -> bool:
    descriptor = None
    while descriptor is None:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666)
        except FileExistsError:
            return False
        except FileNotFoundError:  # this is the first claim, or a task that ended removed them all
            with suppress(FileExistsError):
                path.parent.mkdir()
    who = {"host": platform.node(), "process": os.getpid()}
    with os.fdopen(descriptor, "w") as file:  # for a person who looks; nothing reads it
        json.dump(who, file)
    return True


def forget_claims(run: Run) -> None:
    """Remove all claims, where no task is at work any more."""
    shutil.rmtree(run.claims, ignore_errors=True)
