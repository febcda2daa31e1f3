"""Print the newest supported Python on this machine that is not the one running this."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)


def interpreters() -> Iterator[str]:
    """Interpreters by name on the path, and those of pyenv."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        if found := shutil.which(f"python3.{minor}"):
            yield found
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, root.glob("versions/*/bin/python"))


def version(interpreter: str) -> tuple[int, int] | None:
    """Major and minor version; None where it does not start, as a shim of pyenv for another one."""
    try:
        said = subprocess.run([interpreter, "--version"], capture_output=True, text=True)
    except OSError:
        return None
    found = re.fullmatch(r"Python (\d+)\.(\d+)\.\S+\s*", said.stdout)
    return (int(found[1]), int(found[2])) if found and said.returncode == 0 else None


def main() -> None:
    """Print its path; nothing where there is none."""
    versions = {interpreter: version(interpreter) for interpreter in interpreters()}
    others = [
        (number, interpreter)
        for interpreter, number in versions.items()
        if number and OLDEST <= number <= NEWEST and number != sys.version_info[:2]
    ]
    if others:
        print(max(others)[1])


if __name__ == "__main__":
    main()
