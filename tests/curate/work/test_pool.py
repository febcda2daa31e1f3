"""What a worker that is killed costs the others, and values in the order of their tasks."""

import time

import hostile
import pytest

from curate.work.pool import Limits, work


@pytest.mark.parametrize("delay", [0.0, 0.2], ids=["before it answers", "when it has answered"])
def test_a_worker_that_is_killed_with_the_lock_of_the_pipe_costs_no_task(tmp_path, delay):
    tasks = [(number, (number, tmp_path / "flag", delay)) for number in range(30)]
    found = dict(work(hostile.killed_with_the_lock, tasks, Limits(2, 60.0, 4.0)))
    assert (tmp_path / "flag").exists()
    assert found == {number: number for number in range(30)}


def test_values_in_order_while_no_more_than_some_tasks_are_begun():
    begun = []

    def tasks():
        for number in range(40):
            begun.append(number)
            yield number, (1.0 if number == 0 else 0.0,)

    given = []
    for number, _ in work(time.sleep, tasks(), Limits(2, 60.0, 4.0), in_order=True):
        given.append(number)
        assert len(begun) <= number + 8, "tasks were begun while the first was waited for"
    assert given == begun == list(range(40))
