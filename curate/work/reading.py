"""Read files in a worker process: one that hangs, crashes or takes too much memory costs only itself."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from curate.work import interrupt
from curate.work.pool import (
    POLL_SECONDS,
    WORKER_ENVIRONMENT,
    FailedTask,
    Limits,
    death,
    environment,
    start_worker,
)

TO_START = 120.0  # s that a worker may take before it reads


def read_each(
    function: Callable[..., Iterable[Any]],
    tasks: Sequence[tuple],
    limits: Limits,
    preload: str = "curate.describe.preload",
) -> Iterator[tuple[int, Any]]:
    """Yield all that `function(*task)` yields for each task, in order.

    One worker goes through the tasks. Where it takes longer than the limit for one value, or dies, the task
    at hand ends with a FailedTask and a new worker goes on with the next.

    Args:
        function: A generator; its values are sent to this process.
        tasks: Its arguments.
        limits: Seconds for a value, and memory of the worker.
        preload: A module that workers share.

    Yields:
        The number of the task, and a value or a FailedTask.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    with environment(WORKER_ENVIRONMENT):
        forkserver.ensure_running()
    at = 0
    while at < len(tasks):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, function, tasks[at:], int(limits.memory * 2**30))
        process = context.Process(target=_read, args=arguments, daemon=True)
        process.start()
        theirs.close()
        seconds = TO_START
        try:
            while at < len(tasks):
                if not _arrives(ours, seconds):
                    reason = f"not finished after {seconds:g} s"
                    yield at, FailedTask("timeout", "Timeout", reason, seconds)
                    break
                kind, value = ours.recv()
                seconds = limits.timeout
                if kind == "value":
                    yield at, value
                elif kind == "end":
                    at += 1
        except EOFError:
            process.join()
            yield at, FailedTask("crashed", "WorkerDied", death(process.exitcode), 0.0)
        finally:
            process.kill()
            process.join()
            ours.close()
        at += 1  # the one that failed


def _arrives(connection: Connection, seconds: float) -> bool:
    """Whether something, or an end, comes within some seconds."""
    deadline = time.monotonic() + seconds
    while not connection.poll(min(POLL_SECONDS, max(deadline - time.monotonic(), 0))):
        interrupt.check()
        if time.monotonic() >= deadline:
            return False
    return True


def _read(connection: Connection, function: Callable, tasks: Sequence[tuple], memory: int) -> None:
    """In the worker: send each value of each task, and its end."""
    start_worker(memory)
    connection.send(("started", None))
    for task in tasks:
        try:
            for value in function(*task):
                connection.send(("value", value))
        except MemoryError:
            reason = f"needed more than {memory / 2**30:g} GiB"
            connection.send(("value", FailedTask("out_of_memory", "MemoryError", reason, 0.0)))
        connection.send(("end", None))
