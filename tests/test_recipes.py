"""docs/recipes.md is what its generator writes; its recipes are ones that the commands take."""

import runpy
import shlex
from pathlib import Path

import pytest
import tyro

from curate.config import build_flags
from curate.dataset.splits import task_sizes
from curate.errors import InputError
from curate.properties import BY_NAME
from model import cli
from model.config import BenchmarkConfig, PrepareConfig, TrainConfig
from model.recipes import RecipeConfig, recipe_commands, recipe_settings, recipes

DOCS = Path(__file__).parents[1] / "docs"
SETTINGS = recipe_settings()
MAKER = runpy.run_path(str(DOCS / "make_recipes.py"))


def test_the_page_is_what_its_generator_writes():
    assert (DOCS / "recipes.md").read_text() == MAKER["recipes_page"]()
    assert (DOCS / "gpu.md").read_text() == MAKER["gpu_page"]()


def test_every_recipe_is_prepared_into_a_folder_of_its_own():
    recipes = MAKER["all_recipes"](SETTINGS, {"jarvis": 1.0, "mp": 1.0})
    assert len({recipe.folder for recipe in recipes}) == len(recipes) == 10
    for recipe in recipes:
        words = f"prepare --data runs/x --target {recipe.target_flag} {recipe.flags} --out p"
        config = tyro.cli(cli.Command, args=shlex.split(words))
        assert isinstance(config, PrepareConfig) and config.target == recipe.target


def test_every_recipe_is_of_a_known_property_and_split():
    for row in SETTINGS["recipe"]:
        assert row["target"] in BY_NAME
        assert row["data"] in SETTINGS["datasets"]
        assert ("task" in row) != ("n_train" in row), row["name"]
        assert row.get("task", "megnet_e_form") in task_sizes()


def test_the_flags_of_every_recipe_are_those_of_the_command():
    for row in SETTINGS["recipe"]:
        recipe = MAKER["Recipe"](**row, step_seconds=1.0)
        line = f"train --data runs/x --target {recipe.target_flag} {recipe.flags} --out models/x"
        config = tyro.cli(cli.Command, args=shlex.split(line))
        assert isinstance(config, TrainConfig)
        assert config.target == row["target"]
        assert (config.split == "official") == ("task" in row)
        assert config.log_target == row.get("log_target", False)


def test_core_hours_follow_from_updates_and_seconds():
    row = {"name": "", "data": "", "target": "", "best": "", "alignn": "", "matformer": ""}
    recipe = MAKER["Recipe"](**row, step_seconds=2.0, n_train=65)
    assert recipe.updates == 2
    assert recipe.hours(900) == "1.0"
    assert recipe.hours(90_000) == "100"


@pytest.mark.parametrize("name", recipes())
def test_the_commands_of_every_recipe_parse(name):
    build, learn = (shlex.split(command) for command in recipe_commands(name))
    assert build[:2] == ["curate", "build"]
    read = tyro.cli(build_flags(build[2:]), args=build[2:])
    config = tyro.cli(cli.Command, args=learn[1:])
    assert isinstance(config, TrainConfig | BenchmarkConfig)
    assert config.data == str(read.out)
    assert config.target in BY_NAME or isinstance(config, BenchmarkConfig)


def test_the_command_prints_a_recipe_and_names_all(capsys):
    cli.run(RecipeConfig())
    assert capsys.readouterr().out.splitlines() == list(recipes())
    cli.run(RecipeConfig("formation-energy"))
    assert "--target formation_energy_peratom --split official" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"no recipe 'x'; known: formation-energy, .*phonons"):
        cli.run(RecipeConfig("x"))
