"""The benchmark for GPUs, rehearsed on the CPU: it speaks at once, measures all, and keeps what it has."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model.config import PrepareConfig
from model.training.dataset_source import write_prepared

ROOT = Path(__file__).parents[1]
NOT_MEASURED = "not measured: no accelerator was to be had"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, settings) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "folder"
    made = settings(out)
    given = {"data": made.data, "target": made.target, "cache": made.cache}
    write_prepared(PrepareConfig(out=out, text_encoder="minilm", **given))
    return out


def start(*words) -> subprocess.Popen:
    command = [sys.executable, "benchmarks/gpu.py", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE)


def test_a_rehearsal_measures_everything(prepared, tmp_path):
    began = time.monotonic()
    words = ("--prepared", prepared, "--rehearse", "--seconds", 300, "--out", tmp_path / "gpu.json")
    process = start(*words)
    assert process.stdout.readline().startswith("benchmarks/gpu.py: 300.0 seconds at most")
    assert time.monotonic() - began < 10
    while "epochs" not in json.loads(text_of(tmp_path / "gpu.json")).get("training", {}):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert not found["finished"] and found["cut_after_s"] > 0
    assert found["tests"]["exit_code"] == 0
    assert "passed" in found["tests"].values() and "failed" not in found["tests"].values()
    for modality in ("graph", "both"):
        for precision in ("fp32", "bf16"):
            step = found["steps"][f"quotient, {modality}, {precision}"]
            assert step["steps"] >= 3 and step["steps_a_second"] > 0
            assert step["resident_mib"] > 0
            assert "skipped" in found["steps"][f"whole, {modality}, {precision}"]
    assert found["steps"]["quotient, both, fp32, collated"]["resident_mib"] is None
    assert found["steps"]["quotient, both, bf16, collated"]["steps"] >= 3
    assert found["tuning"]["steps"] == 10
    assert found["training"]["crystals"] == 40
    assert found["training"]["epochs"][0]["val_mae"] > 0


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else "{}"


def test_without_an_accelerator_it_says_so(tmp_path):
    process = start("--out", tmp_path / "gpu.json")
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    assert NOT_MEASURED in said
    assert json.loads((tmp_path / "gpu.json").read_text())["gpu"] == NOT_MEASURED
