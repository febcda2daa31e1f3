"""Crystals that break their worker in every way a library can, by the name in their id."""

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

from pebble.common import CONSTS

from curate.describe.description import describe as really_describe
from curate.describe.options import DescribeOptions
from curate.record import Description, StructureRecord

ENDINGS = ("hang", "hang-in-c", "exit", "segfault", "kill", "memory", "raise")
SLOW = "slow-"  # ids of crystals that keep their task busy while a file says so


def describe(record: StructureRecord, options: DescribeOptions) -> Description:
    """Break as the id says, else describe."""
    break_as(record.material_id)
    return really_describe(record, options)


def break_as(name: str) -> None:
    """Break this process as the name says, if it says how."""
    match name:
        case "hang":
            time.sleep(1000)
        case "hang-in-c":
            ctypes.PyDLL(None).sleep(1000)  # PyDLL keeps the interpreter locked
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), 9)
        case "memory":
            hoard = [bytearray(2**28) for _ in range(1000)]
            raise AssertionError(len(hoard))
        case "raise":
            raise RuntimeError("the crystal said no")


def slow(record: StructureRecord, options: DescribeOptions) -> Description:
    """Describe, but not before the file named by KEEP_WAITING is gone."""
    while record.material_id.startswith(SLOW) and Path(os.environ["KEEP_WAITING"]).exists():
        time.sleep(0.2)
    return really_describe(record, options)


def slow_node(record: StructureRecord, options: DescribeOptions) -> Description:
    """Describe, but on the node `one` not before the file named by KEEP_WAITING is gone."""
    while os.environ.get("SLURMD_NODENAME") == "one" and Path(os.environ["KEEP_WAITING"]).exists():
        time.sleep(0.2)
    return really_describe(record, options)


def numbers(path: Path, n: int) -> Iterator[int]:
    """The numbers below n; before the last of them, break as the name of the file says."""
    for number in range(n):
        if number == n - 1:
            break_as(path.stem)
        yield number


def killed_with_the_lock(number: int, flag: Path, delay: float) -> int:
    """The number; the first call that finds no flag has its worker killed while it holds the lock of the
    pipe by which all workers speak, which nobody releases then."""
    CONSTS.channel_lock_timeout = 1.0  # s; of this worker
    time.sleep(0.05)
    if not flag.exists():
        flag.touch()
        frame = sys._getframe()
        while "channel" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        dying = Thread(target=_die, args=(frame.f_locals["channel"].mutex.writer_mutex, delay))
        dying.start()
        if not delay:
            dying.join()
    return number


def _die(lock: Any, delay: float) -> None:
    time.sleep(delay)
    lock.acquire()
    os.kill(os.getpid(), 9)
