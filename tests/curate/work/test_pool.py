"""What a worker that is killed costs the others."""

import time
from collections.abc import Iterator

import hostile
import psutil
import pytest

from curate.work.pool import Limits, work


@pytest.mark.parametrize("delay", [0.0, 0.2], ids=["before it answers", "when it has answered"])
def test_a_worker_that_is_killed_with_the_lock_of_the_pipe_costs_no_task(tmp_path, delay):
    tasks = [(number, (number, tmp_path / "flag", delay)) for number in range(30)]
    found = dict(work(hostile.killed_with_the_lock, tasks, Limits(2, 60.0, 4.0)))
    assert (tmp_path / "flag").exists()
    assert found == {number: number for number in range(30)}


def test_a_pool_that_breaks_while_it_is_given_tasks_costs_none():
    """The forkserver is killed, and with it all workers, while the next task is taken from the iterable."""

    def tasks() -> Iterator[tuple[int, tuple]]:
        for number in range(20):
            if number == 10:
                (server,) = (one for one in psutil.Process().children() if one.children())
                workers = server.children()
                server.kill()
                psutil.wait_procs(workers, timeout=20)
                time.sleep(1)  # the pool sees it
            yield number, (number,)

    found = dict(work(abs, tasks(), Limits(2, 60.0, 4.0)))
    assert found == {number: number for number in range(20)}
