import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import curate

SITE = """
import os, socket, sys

def note(event, arguments):
    asks_a_name = event == "socket.getaddrinfo"
    calls_out = event == "socket.connect" and not isinstance(arguments[1], (str, bytes))
    if asks_a_name or calls_out:
        with open(os.environ["SOCKETS_SEEN"], "a") as file:
            print(os.getpid(), event, arguments, file=file)

sys.addaudithook(note)
"""


def test_help_comes_within_a_second():
    best = float("inf")
    for _ in range(3):  # the best of three: other work on the machine is not ours
        started = time.process_time(), os.times().children_user + os.times().children_system
        assert "build" in curate("--help").stdout
        spent = os.times().children_user + os.times().children_system - started[1]
        best = min(best, spent)
    assert best < 1.0
    assert "--shard-size" in curate("build", "--help").stdout


def test_help_imports_nothing_heavy():
    code = "import sys, curate.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    heavy = {"numpy", "pymatgen", "robocrys", "pyarrow", "torch", "datasets", "pandas", "ase"}
    assert loaded.stdout and heavy.isdisjoint(loaded.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--db", "files", "--out", "x"], "--db files needs --input PATH"),
        (["--db", "files", "--input", "/nowhere", "--out", "x"], "--input /nowhere: no CIF"),
        (
            ["--db", "files", "--sample", "--out", "x"],
            "--sample belongs to --db jarvis, not to --db files",
        ),
        (["--sample", "--snapshot", "megnet", "--out", "x"], "--snapshot names a whole table"),
        (
            ["--sample", "--mirror", "http://x", "--out", "x"],
            "--mirror has no meaning for --sample",
        ),
        (["--sample", "--limit", "0", "--out", "x"], "--limit 0: must be above 0"),
        (
            ["--sample", "--properties", "t.csv", "--out", "x"],
            "--properties belongs to --db files, not to --db jarvis",
        ),
        (["--sample", "--ids", "/nowhere", "--out", "x"], "--ids /nowhere can't be read"),
        (["--sample", "--molecule-names", "bundled", "--out", "x"], "needs openbabel"),
        (["--sample", "--tasks", "4", "--out", "x"], "--tasks belongs to --executor slurm"),
        (["--sample", "--executor", "slurm", "--out", "x"], "--executor slurm needs --tasks N"),
        (["--db", "oqmd", "--out", "x"], "--db oqmd: unknown database; known: jarvis, mp,"),
        (["--sample", "--out", "/proc/run"], "/proc/run"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(
    tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    done = curate("build", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_strict_exits_with_1_after_a_whole_build(tmp_path, rutile):
    from pymatgen.io.cif import CifWriter

    CifWriter(rutile.to_pymatgen()).write_file(tmp_path / "rutile.cif")
    (tmp_path / "broken.cif").write_text("data_broken")
    build = ("build", "--db", "files", "--input", tmp_path / "*.cif", "--out", tmp_path / "run")
    done = curate(*build, "--strict")
    assert done.returncode == 1, done.stderr
    for line in ("fetched", "described", "failed", "unreadable: ", "load_dataset("):
        assert line in done.stdout
    reason = "broken failed: broken.cif: none of its data blocks holds a cell or atoms\n"
    assert reason in done.stdout and '"manifest", split="train")' in done.stdout
    assert curate(*build).returncode == 0
    status = curate("status", tmp_path / "run")
    assert status.returncode == 0 and "unreadable: " in status.stdout
    assert curate("status", tmp_path).returncode == 2


def test_a_sample_build_opens_no_socket(tmp_path):
    """An audit hook in every Python process, workers included, writes down what leaves the machine."""
    (tmp_path / "sitecustomize.py").write_text(SITE)
    seen = tmp_path / "seen.txt"
    environment = {
        "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}",
        "SOCKETS_SEEN": str(seen),
    }
    probe = "import socket; socket.getaddrinfo('localhost', 80)"
    subprocess.run([sys.executable, "-c", probe], env={**os.environ, **environment}, check=True)
    assert "getaddrinfo" in seen.read_text()  # the hook works
    seen.unlink()
    done = curate("build", "--sample", "--limit", 8, "--out", tmp_path / "run", **environment)
    assert done.returncode == 0, done.stderr
    assert not seen.exists(), seen.read_text()


def test_an_id_can_not_control_the_terminal(tmp_path):
    cell = {"lattice_mat": [[0, 2.7155, 2.7155], [2.7155, 0, 2.7155], [2.7155, 2.7155, 0]]}
    atoms = {**cell, "coords": [[0, 0, 0], [0.25, 0.25, 0.25]], "elements": ["Si", "Si"]}
    (tmp_path / "one.json").write_text(json.dumps({"id": "\x1b[31mred", "atoms": atoms}))
    words = ["--db", "files", "--input", tmp_path / "one.json", "--out", tmp_path / "run"]
    done = curate("build", *words, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "\x1b[31m" not in done.stdout + done.stderr
    assert "red" in done.stdout
