"""Run the examples, each in an empty folder, and fail where one fails or has outputs in it.

python examples/run.py [NAME …]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parent
SECONDS = 900  # that a cell may take


def main() -> None:
    """Run those whose names begin as a word of the command line, or all of them."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    wanted = tuple(sys.argv[1:]) or ("",)
    for path in sorted(EXAMPLES.iterdir()):
        if path.suffix not in (".ipynb", ".sh") or not path.name.startswith(wanted):
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            run_notebook(path, folder) if path.suffix == ".ipynb" else run_script(path, folder)
        print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)


def run_notebook(path: Path, folder: str) -> None:
    """Run every cell; a failing command of the shell fails the notebook as well."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for number, cell in enumerate(notebook.cells):
        if cell.get("outputs") or cell.get("execution_count"):
            sys.exit(f"{path.name}, cell {number}: has outputs; nbstripout takes them out")
    check = "assert not globals().get('_exit_code'), _exit_code"
    for number in reversed(range(len(notebook.cells))):
        cell = notebook.cells[number]
        if cell.cell_type == "code" and cell.source.lstrip().startswith("!"):
            notebook.cells.insert(number + 1, nbformat.v4.new_code_cell(check))
    sockets = {"transport": "ipc", "ip": f"{folder}/.kernel"}  # files; no port is opened
    kernel = KernelManager(kernel_name="python3", **sockets)
    place = {"metadata": {"path": folder}}
    try:
        NotebookClient(notebook, km=kernel, timeout=SECONDS, resources=place).execute()
    finally:
        kernel.shutdown_kernel(now=True)


def run_script(path: Path, folder: str) -> None:
    """Run a script of the shell; CalledProcessError where it fails."""
    subprocess.run(["bash", path], cwd=folder, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
