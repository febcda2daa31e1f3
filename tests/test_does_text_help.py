"""docs/does-text-help.md is what its generator writes from the results, and its commands parse."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import tyro

from model import cli
from model.config import BenchmarkConfig

DOCS = Path(__file__).parents[1] / "docs"
MAKER = runpy.run_path(str(DOCS / "make_does_text_help.py"))


def test_the_page_is_what_its_generator_writes():
    assert (DOCS / "does-text-help.md").read_text() == MAKER["page"]()


def test_its_commands_are_ones_that_made_the_results():
    text = (DOCS / "does-text-help.md").read_text().replace("\\\n", " ")
    commands = [shlex.split(line) for line in re.findall(r"^crysmmnet (benchmark .*)$", text, re.M)]
    assert len(commands) == len(MAKER["TASKS"])
    for command, task in zip(commands, MAKER["TASKS"], strict=True):
        config = tyro.cli(cli.Command, args=command)
        assert isinstance(config, BenchmarkConfig)
        made = MAKER["results"](task.folder)
        assert config.target == made["target"]
        flags = shlex.split(made["made"]["command"])
        place = flags.index("--descriptors")
        assert tuple(flags[place + 1 : place + 1 + len(config.descriptors)]) == config.descriptors


@pytest.mark.parametrize("task", MAKER["TASKS"], ids=lambda task: task.folder)
def test_the_blend_is_ahead_of_the_leaderboard_as_the_page_has_it(task):
    assert MAKER["results"](task.folder)["models"]["blend"]["mae"] < task.goal
