"""Recipes: the commands for the paper's ten properties and for three benchmarks, from recipes.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from curate.errors import InputError

EPOCHS = 1_000  # of the paper's code


@dataclass(frozen=True)
class RecipeConfig:
    """Print the commands of a recipe: a property of the paper, or a benchmark; without a name, the names."""

    name: Positional[str | None] = None
    """Such as band-gap-tb-mbj or jdft2d."""


@cache
def recipe_settings() -> Mapping[str, Any]:
    """What recipes.toml holds: datasets, recipes, benchmarks, sources of published errors."""
    return tomllib.loads(Path(__file__).with_name("recipes.toml").read_text(encoding="utf-8"))


def recipes() -> dict[str, list[str]]:
    """The commands of every recipe, by its name on the command line."""
    settings = recipe_settings()
    of_properties = {
        slug(row["name"]): property_commands(row, settings["datasets"][row["data"]]["build"])
        for row in settings["recipe"]
    }
    return of_properties | {row["name"]: benchmark_commands(row) for row in settings["benchmark"]}


def recipe_commands(name: str) -> list[str]:
    """The commands of one recipe, in order; InputError where there is none of this name."""
    known = recipes()
    if name not in known:
        raise InputError(f"no recipe {name!r}; known: {', '.join(known)}")
    return known[name]


def slug(name: str) -> str:
    """A recipe's name as a command line has it: `band gap, MP` is `band-gap-mp`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def quoted(target: str) -> str:
    """A target as a shell reads it."""
    return f'"{target}"' if " " in target else target


def training_flags(row: Mapping[str, Any]) -> str:
    """What the training of a property is told beside data and target."""
    official = ["--split official"] if "task" in row else []
    return " ".join(official + ["--log-target"] * row.get("log_target", False))


def property_commands(row: Mapping[str, Any], build: str) -> list[str]:
    """Build the dataset, train on it."""
    run = f"runs/{row['data']}"
    return [
        f"curate build {build} --out {run}",
        f"crysmmnet train --data {run} --target {quoted(row['target'])} {training_flags(row)} "
        f"--epochs {EPOCHS} --out models/{slug(row['name'])}",
    ]


def benchmark_commands(row: Mapping[str, Any]) -> list[str]:
    """Build the dataset, score models on every fold of it."""
    published = f" --published {row['published']}" if "published" in row else ""
    return [
        f"curate build {row['build']} --out runs/{row['name']}",
        f"crysmmnet benchmark --data runs/{row['name']} --target {quoted(row['target'])} {row['flags']} "
        f"--descriptors {row['descriptors']}{published} --out benchmarks/{row['name']}",
    ]
