"""Run `crysmmnet` as on a machine with torch, numpy, safetensors, tyro and what these ask for, no more.

    python bare_machine.py train --data PREPARED --out MODEL

Every other package that is installed here is not found, as if it were not.
"""

import re
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

HAS = ("torch", "numpy", "safetensors", "tyro")


def reached(names) -> set[str]:
    """The distributions that these ask for without an extra, themselves included."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:  # for another platform
            continue
        seen.add(name)
        waiting += [re.match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]
    return seen


def hide() -> None:
    """From now on the other packages are not found."""
    there = reached(HAS) | {"crysmmnet"}
    normalised = {
        module: {re.sub(r"[-_.]+", "-", name).lower() for name in names}
        for module, names in packages_distributions().items()
    }
    hidden = {module for module, names in normalised.items() if not names & there}
    found = PathFinder.find_spec

    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] in hidden else found(name, path, target)

    PathFinder.find_spec = find_spec


if __name__ == "__main__":
    hide()
    from model.cli import main

    main()
