"""A pool of worker processes: one that hangs, crashes or runs out of memory costs only its own task."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import forkserver
from typing import Any

from pebble import ProcessExpired, ProcessPool

from curate.errors import InputError
from curate.work import interrupt

PR_SET_PDEATHSIG = 1  # linux/prctl.h
POLL_SECONDS = 0.5  # how long a Ctrl-C that reached only the workers goes unseen
TASKS_PER_WORKER = 1000  # then it is replaced, so that no library's leak can grow
MOST_KILLS = 2  # of a task; a pool may be given it again before its forkserver is known to be dead
UNKNOWN_EXIT = 255  # of a worker whose forkserver was killed with it
NO_LOCK = 1  # of one that waited in vain for the pipe's lock, which a killed one may have held
MOST_POOLS = (
    5  # that one call of `work` starts, the later ones where the machine killed the forkserver
)
LONGEST_FILE = 3600.0  # s that a process may take for one file of a dataset
LARGEST_FILE = 8.0  # GiB that it may use for it
WORKER_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # Robocrystallographer iterates over sets of strings
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # what a killed worker held is released for it, and need not be told
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
}


@dataclass(frozen=True)
class Limits:
    """What a task may take before it is given up."""

    workers: int
    timeout: float  # s
    memory: float  # GiB beyond what a worker starts with


@dataclass(frozen=True)
class FailedTask:
    """A task whose worker did not come back with a value."""

    status: str  # timeout, out_of_memory, crashed or error
    error_type: str
    error_message: str
    seconds: float


def work(
    function: Callable[..., Any],
    tasks: Iterable[tuple[Any, tuple]],
    limits: Limits,
    preload: str = "curate.describe.preload",
) -> Iterator[tuple[Any, Any]]:
    """Call `function(*arguments)` for each (key, arguments), yield (key, value or FailedTask) as they finish.

    Workers share what the module `preload` imports. The tasks are taken from the iterable a few at a
    time. One whose worker is killed from outside, as for want of memory, is tried again, by other
    workers: these can't speak any more if it held the lock of their pipe. Leaving the loop early,
    Ctrl-C included, kills the workers.
    """
    pool = _pool(limits, preload)
    tasks = iter(tasks)
    running: dict[Future, tuple[Any, tuple]] = {}
    not_taken: list[tuple[Any, tuple]] = []  # by a pool that had broken
    killed: Counter[Any] = Counter()  # how often the worker of a task was, by key
    n_pools = 1

    def submit(some: Iterable[tuple[Any, tuple]]) -> None:
        for key, arguments in some:
            try:
                future = pool.schedule(function, args=arguments, timeout=limits.timeout)
            except RuntimeError:
                not_taken.append((key, arguments))
            else:
                running[future] = (key, arguments)

    try:
        submit(islice(tasks, 4 * limits.workers))
        while running or not_taken:
            finished, _ = wait(running, POLL_SECONDS, FIRST_COMPLETED)
            interrupt.check()
            again, n_ended, is_broken, is_in_doubt = [], 0, False, False
            for future in finished:
                key, arguments = running.pop(future)
                is_broken |= isinstance(future.exception(), BrokenProcessPool)
                was_killed = _was_killed(future)
                is_in_doubt |= was_killed
                if was_killed and killed[key] < MOST_KILLS:
                    killed[key] += 1
                    again.append((key, arguments))
                    continue
                n_ended += 1
                yield key, _outcome(future, limits)
            is_broken |= not pool.active
            n_pools += is_broken  # its forkserver was killed
            if n_pools > MOST_POOLS:
                raise InputError(
                    "all workers were killed again and again; the machine may have run out of "
                    "memory: the same command with fewer --workers goes on"
                )
            if is_broken or is_in_doubt:
                pool.stop()
                again += [*running.values(), *not_taken]
                running.clear()
                not_taken.clear()
                pool = _pool(limits, preload)
            submit(again)
            submit(islice(tasks, n_ended))
    finally:
        pool.stop()
        with suppress(TimeoutError):  # a worker that outlives this dies with the forkserver
            pool.join(timeout=10)


def in_processes(
    n: int, preload: str = "curate.describe.preload"
) -> Callable[[Callable[..., Any], Sequence[tuple]], list[Any]]:
    """A function that calls another for each of many tasks, in n processes side by side, and gives the
    values in the tasks' order.

    A task whose process fails is done again in this one, which raises what it raises.
    """

    def call(function: Callable[..., Any], tasks: Sequence[tuple]) -> list[Any]:
        if n == 1 or len(tasks) < 2:
            return [function(*task) for task in tasks]
        values: dict[int, Any] = {}
        limits = Limits(min(n, len(tasks)), LONGEST_FILE, LARGEST_FILE)
        for number, value in work(function, enumerate(tasks), limits, preload):
            is_lost = isinstance(value, FailedTask)
            values[number] = function(*tasks[number]) if is_lost else value
        return [values[number] for number in range(len(tasks))]

    return call


def _pool(limits: Limits, preload: str) -> ProcessPool:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    with environment(WORKER_ENVIRONMENT):
        forkserver.ensure_running()
    return ProcessPool(
        max_workers=limits.workers,
        max_tasks=TASKS_PER_WORKER,
        initializer=start_worker,
        initargs=[int(limits.memory * 2**30)],
        context=context,
    )


def _was_killed(future: Future) -> bool:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):  # what a pool without workers says of all its tasks
        return True
    exits = (-signal.SIGKILL, UNKNOWN_EXIT, NO_LOCK)
    return isinstance(error, ProcessExpired) and error.exitcode in exits


def _outcome(future, limits: Limits) -> Any:
    try:
        return future.result()
    except FutureTimeout:
        return FailedTask(
            "timeout", "Timeout", f"not finished after {limits.timeout:g} s", limits.timeout
        )
    except ProcessExpired as error:
        return FailedTask("crashed", "WorkerDied", death(error.exitcode), 0.0)
    except MemoryError:
        message = f"needed more than {limits.memory:g} GiB"
        return FailedTask("out_of_memory", "MemoryError", message, 0.0)
    except Exception as error:  # whatever the function raised costs its own task
        return FailedTask("error", type(error).__name__, str(error)[:500], 0.0)


def death(exitcode: int | None) -> str:
    """How a worker ended, in words."""
    if exitcode is None or exitcode >= 0:
        return f"the worker exited with code {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = "; the machine may have run out of memory" if name == "SIGKILL" else ""
    return f"the worker was ended by {name}{hint}"


def start_worker(memory_bytes: int) -> None:
    """In the worker: ignore Ctrl-C (the owner decides), die with the forkserver, keep to the limit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with open("/proc/self/statm") as statm:  # noqa: PTH123 (a kernel file)
        in_use = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + memory_bytes, resource.RLIM_INFINITY))


@contextmanager
def environment(settings: dict[str, str]) -> Iterator[None]:
    """The settings are in os.environ inside the block, and only there."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
