"""Whether every requirement, extras included, resolves to wheels for a Python that need not be here.

    python .ci/resolve.py 3.14

pip reads environment markers by the interpreter that runs it: this is to be run by Python 3.12 or
later, and looks for the newest one here. Packages without a wheel for any Python (SDISTS) are built first.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SDISTS = ("bibtexparser",)  # pure Python, published as source


def main() -> None:
    """Exit code 0 where all of it resolves; else pip's words and its exit code."""
    (version,) = sys.argv[1:]
    here = Path(__file__).parent / "newest_python.py"
    found = subprocess.run([sys.executable, here], capture_output=True, text=True, check=True)
    python = max([sys.executable, *found.stdout.split()], key=version_of)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        requirements += [line for line in extra if not line.startswith("crysmmnet")]
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        pinned = [line for line in constraints if line.split("==")[0].lower() in SDISTS]
        pip(python, "wheel", "--no-deps", "--wheel-dir", folder, *(pinned or SDISTS))
        (Path(folder) / "requirements.txt").write_text("\n".join(requirements))
        where = ["--python-version", version, "--only-binary=:all:", "--target", folder]
        files = ["-c", str(ROOT / "constraints.txt"), "-r", f"{folder}/requirements.txt"]
        pip(python, "install", "--dry-run", "--find-links", folder, *where, *files)
    print(f"{len(requirements)} requirements resolve for Python {version}")


def version_of(interpreter: str) -> tuple[int, ...]:
    """Its major and minor version."""
    code = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    return tuple(map(int, said.stdout.split()))


def pip(python: str, *words: str) -> None:
    """Run pip in a fresh environment of that interpreter; its exit code is ours where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        done = subprocess.run(
            [f"{folder}/bin/python", "-m", "pip", "--quiet", *words],
            stderr=subprocess.PIPE,
            text=True,
        )
    if done.returncode:
        sys.exit(done.stderr)


if __name__ == "__main__":
    main()
