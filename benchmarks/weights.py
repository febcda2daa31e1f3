"""What each requirement weighs in the environment that runs this, in MB of installed files.

    python benchmarks/weights.py

`alone` is what would be left out with it: the package and all that only it asks for. Writes
results/weights.json; docs/dependencies.md says why each is there.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from setting import setting

RESULT = Path(__file__).parent / "results" / "weights.json"


def main() -> None:
    """Write the table."""
    found = {normalised(one.metadata["Name"]): one for one in distributions()}
    size = {name: megabytes(one) for name, one in found.items()}
    needs = {name: required(one.requires or []) for name, one in found.items()}
    lines = distribution("crysmmnet").requires or []
    groups = {"": required(lines)}
    for line in lines:
        if extra := re.search(r"extra == [\"'](\w+)", line):
            groups.setdefault(extra[1], set()).update(required([line.split(";")[0]]))
    tables = {}
    core = reached(groups[""], needs)
    for group, names in groups.items():
        table = {}
        for name in sorted(names - {"crysmmnet"} & found.keys()):
            if name not in found:
                continue
            others = reached((names | groups[""]) - {name}, needs)
            alone = reached({name}, needs) - others
            table[name] = {
                "itself": round(size[name], 1),
                "alone": round(sum(map(size.get, alone)), 1),
            }
        tables[group or "required"] = table
    result = {
        "megabytes": {
            "environment": round(sum(size.values())),
            "required": round(sum(size[name] for name in core)),
        },
        "requirements": tables,
        "setting": setting(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def required(lines: list[str]) -> set[str]:
    """Names of the requirements that hold without an extra."""
    return {
        normalised(re.match(r"[\w.-]+", line)[0])  # type: ignore[index]
        for line in lines
        if "extra ==" not in line
    }


def reached(names: set[str], needs: dict[str, set[str]]) -> set[str]:
    """The installed packages that these ask for, themselves included."""
    seen: set[str] = set()
    waiting = [name for name in names if name in needs]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [other for other in needs[name] if other in needs]
    return seen


def megabytes(one: Distribution) -> float:
    """Of all files of a distribution."""
    paths = (Path(str(one.locate_file(file))) for file in one.files or [])
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def normalised(name: str) -> str:
    """The name as the index of packages spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
