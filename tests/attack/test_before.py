"""Each kind of failure was there once and is no more: what is written of it, and a part of it again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEFORE = Path(__file__).with_name("before.py")
STORED = json.loads((ROOT / "benchmarks" / "results" / "attack-before.json").read_text())
OUTCOMES = {"noticed", "silent", "lost", "traceback", "hang"}


@pytest.mark.parametrize("kind", sorted(STORED["kinds"], key=int))
def test_a_kind_failed_once_and_is_noticed_now(kind):
    once, now = (STORED["commits"][commit][kind] for commit in ("f041074", "now"))
    assert [row["what"] for row in once] == [row["what"] for row in now]
    assert {row["outcome"] for row in once} <= OUTCOMES
    assert any(row["outcome"] != "noticed" for row in once)
    assert {row["outcome"] for row in now} == {"noticed"}, now
    for test in STORED["kinds"][kind]["tests"]:
        assert "def test_" in (ROOT / test).read_text()


def test_all_thirteen_kinds_were_tried_and_no_place_of_a_machine_is_named():
    assert sorted(map(int, STORED["kinds"])) == list(range(1, 14))
    assert "/tmp" not in json.dumps(STORED) and "/home" not in json.dumps(STORED)


def test_odd_values_and_tables_are_noticed_by_the_same_commands(tmp_path):
    command = [sys.executable, str(BEFORE), str(ROOT), "--name", "now", "--only", "1", "11"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "found.json")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())["commits"]["now"]
    for kind in ("1", "11"):
        outcomes = [(row["what"], row["outcome"]) for row in STORED["commits"]["now"][kind]]
        assert [(row["what"], row["outcome"]) for row in found[kind]] == outcomes
