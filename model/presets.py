"""Settings that belong together: `--preset NAME` stands for these flags; flags beside it change them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from curate.errors import InputError

FLAG = "--preset"
COMMANDS = ("train", "experiment")
PRESETS = {
    # Das et al., UAI 2023, and its released code
    "paper": "--encoder alignn --readout encoder --fusion concat --text-encoder m3rg-iitd/matscibert "
    "--text-pooling cls --loss mse --exact-shell",
    # what paid in benchmarks/results/ablation.json, by the validation errors
    "best": "--descriptors magpie cell condensed energy potential --text-encoder minilm --text-pooling mean "
    "--loss l1",
}


def with_preset(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command with the flags that a preset stands for in front of the others.

    Args:
        arguments: The words after `crysmmnet`, the command first.

    Raises:
        InputError: The preset is unknown, or the command has none.
    """
    given = list(arguments)
    names = []
    for place in reversed(range(len(given))):
        if given[place] == FLAG:
            names += given[place + 1 : place + 2] or [""]
            del given[place : place + 2]
        elif given[place].startswith(FLAG + "="):
            names.append(given.pop(place).partition("=")[2])
    if not names:
        return given
    if len(names) > 1 or names[0] not in PRESETS:
        raise InputError(f"{FLAG} {' '.join(names)}: choose one of {', '.join(PRESETS)}")
    if given[:1] == [] or given[0] not in COMMANDS:
        raise InputError(f"{FLAG} is for {', '.join(COMMANDS)}")
    return [given[0], *shlex.split(PRESETS[names[0]]), *given[1:]]
