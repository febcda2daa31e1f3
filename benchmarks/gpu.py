"""What a GPU gives: its tests, steps a second, memory, a text encoder tuned, the paper's recipe trained.

    python benchmarks/gpu.py --prepared PREPARED --whole WHOLE

PREPARED and WHOLE are folders of `crysmmnet prepare`, WHOLE one with `--graph full`. The machine needs
Python 3.11 or later, torch, numpy and safetensors; pytest and transformers are used where they are. Run
from the root of the repository.

tests: those marked `gpu`. steps: forward, backward and AdamW of the paper's network on batches of 64 that
lie on the device; the median over the steps of the time it has. tuning: forward, backward and AdamW of BERT
base with random weights on 16 texts of 256 tokens in bf16. training: the paper's recipe from its first
epoch, for the time that is left. Results are written after each of these to results/gpu.json, so that what
was measured stays where the command is cut. It takes eight minutes at most.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import cycle, islice, product
from pathlib import Path
from types import ModuleType
from typing import Any

BEGAN = time.monotonic()
ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "gpu.json"
NOT_MEASURED = "not measured: no accelerator was to be had"
SHARES = {
    "tests": 0.15,
    "steps": 0.45,
    "tuning": 0.1,
}  # of the time, at most; training has the rest
RESERVE = 0.04  # of the time, for writing and for ending
N_BATCHES, WARM_UP = 8, 3
TEXTS, TOKENS, TUNING_STEPS = 16, 256, 300


class Cut(KeyboardInterrupt):
    """The scheduler asks the program to end."""


class OutOfTime(KeyboardInterrupt):
    """A measurement took longer than it may."""


def main() -> None:
    """Measure, and write after each measurement."""
    arguments = parsed()
    print(
        f"benchmarks/gpu.py: {arguments.seconds} seconds at most, into {arguments.out}", flush=True
    )
    for package in ("torch", "numpy", "safetensors"):
        if find_spec(package) is None:
            sys.exit(f"{package} is missing: pip install torch numpy safetensors")
    sys.path.insert(0, str(ROOT))
    if find_spec("tyro") is None:
        stand_in_for_tyro()
    signal.signal(signal.SIGTERM, cut)
    result: dict[str, Any] = {"finished": False}
    try:
        measure(arguments, result)
        result["finished"] = True
    except (Cut, KeyboardInterrupt):
        result["cut_after_s"] = round(time.monotonic() - BEGAN, 1)
        print("cut: what was measured is kept", flush=True)
    finally:
        result["seconds"] = round(time.monotonic() - BEGAN, 1)
        write(arguments.out, result)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--prepared", type=Path, help="folder of crysmmnet prepare, of graph and text"
    )
    parser.add_argument("--whole", type=Path, help="the same with --graph full")
    parser.add_argument("--seconds", type=float, default=480.0, help="time it may take")
    parser.add_argument("--out", type=Path, default=RESULT.relative_to(ROOT), help="results file")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with a tiny network")
    arguments = parser.parse_args()
    if arguments.rehearse and arguments.out == RESULT.relative_to(ROOT):
        parser.error("--rehearse measures no GPU: give it an --out of its own")
    return arguments


def cut(*_: object) -> None:
    """Handle SIGTERM."""
    raise Cut


@contextmanager
def limit(until: float) -> Iterator[None]:
    """Raise OutOfTime in the block at that time."""

    def over(*_: object) -> None:
        raise OutOfTime

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(0.1, until - time.monotonic()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def stand_in_for_tyro() -> None:
    """The three names by which settings tell tyro how a flag looks; no command line is read with them."""
    conf: Any = ModuleType("tyro.conf")
    conf.OmitArgPrefixes = "no prefix"
    conf.Positional = type(
        "Positional", (), {"__class_getitem__": classmethod(lambda _, kind: kind)}
    )
    conf.arg = lambda **given: given
    tyro: Any = ModuleType("tyro")
    tyro.conf = conf
    sys.modules.update({"tyro": tyro, "tyro.conf": conf})


def measure(arguments: argparse.Namespace, result: dict[str, Any]) -> None:
    """All measurements, one after another."""
    import torch
    from setting import setting

    has_gpu = torch.cuda.is_available()
    result["setting"] = setting()
    result["setting"]["device"] = torch.cuda.get_device_name() if has_gpu else "CPU"
    result["setting"]["cuda"] = torch.version.cuda
    if not has_gpu and not arguments.rehearse:
        result["gpu"] = NOT_MEASURED
        print(NOT_MEASURED, flush=True)
        return
    if arguments.prepared is None:
        sys.exit("--prepared FOLDER is missing: crysmmnet prepare writes one")
    stages: dict[str, Callable[[argparse.Namespace, dict[str, Any], float], None]] = {
        "tests": tests,
        "steps": steps,
        "tuning": tuning,
        "training": training,
    }
    for name, stage in stages.items():
        left = arguments.seconds * (1 - RESERVE) - (time.monotonic() - BEGAN)
        share = min(left, arguments.seconds * SHARES.get(name, 1.0))
        result[name] = {}
        print(f"{name}: {share:.0f} s", flush=True)
        if share <= 0:
            result[name]["skipped"] = "no time was left"
        else:
            until = time.monotonic() + share
            try:
                with limit(until):
                    stage(arguments, result, until)
            except OutOfTime:
                result[name]["cut"] = "its time was over"
        write(arguments.out, result)


def write(path: Path, result: dict[str, Any]) -> None:
    """The results so far, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.replace(path)


def tests(arguments: argparse.Namespace, result: dict[str, Any], until: float) -> None:
    """The tests marked gpu that need no other library, in this process."""
    found = result["tests"]
    if find_spec("pytest") is None:
        found["skipped"] = "pytest is not installed"
        return
    import pytest

    class Outcomes:
        def pytest_runtest_logreport(self, report) -> None:
            if report.when == "call" or report.failed:
                found[report.nodeid.split("::")[-1]] = report.outcome
                write(arguments.out, result)

        def pytest_runtest_setup(self, item) -> None:
            if time.monotonic() > until:
                pytest.skip("no time was left")

    os.environ["GPU_TESTS_ON"] = "cpu" if arguments.rehearse else "cuda"
    words = [str(ROOT / "tests" / "gpu"), "--noconftest", "-q", "-m", "gpu", "-o", "addopts="]
    words += ["-p", "no:cacheprovider", "-p", "no:xdist", "--import-mode=importlib"]
    found["exit_code"] = int(pytest.main(words, plugins=[Outcomes()]))


def steps(arguments: argparse.Namespace, result: dict[str, Any], until: float) -> None:
    """Steps a second and memory of the paper's network, in every way that is offered."""
    folders = {"quotient": arguments.prepared, "whole": arguments.whole}
    plans = list(product(folders, ("graph", "both"), ("fp32", "bf16"), (False,)))
    plans += [("quotient", "both", precision, True) for precision in ("fp32", "bf16")]
    for number, (graphs, modality, precision, compiled) in enumerate(plans):
        name = f"{graphs}, {modality}, {precision}" + (", compiled" if compiled else "")
        if folders[graphs] is None:
            result["steps"][name] = {"skipped": f"no folder of {graphs} graphs was given"}
            continue
        if compiled and arguments.rehearse:
            result["steps"][name] = {"skipped": "not rehearsed"}
            continue
        now = time.monotonic()
        ends = now + (until - now) / (len(plans) - number)
        changed = {"precision": precision, "compile": compiled}
        result["steps"][name] = a_step(arguments, folders[graphs], modality, changed, ends)
        print(name, result["steps"][name], flush=True)
        write(arguments.out, result)


def trainer_of(
    arguments: argparse.Namespace, folder: Path, modality: str, out: Path, **changed: Any
):
    """A trainer of the paper's network on the examples of a folder."""
    from dataclasses import replace

    import torch

    from model.config import NetworkConfig
    from model.data.prepared_folder import PreparedFolder
    from model.graphs.elements import atom_features_from
    from model.training.train import new_model
    from model.training.trainer import Trainer

    found = PreparedFolder.find(folder)
    if found is None:
        sys.exit(f"{folder} is not a folder of crysmmnet prepare")
    config = found.config(out, **changed)
    if arguments.rehearse:
        tiny = NetworkConfig(width=8, alignn_layers=1, gcn_layers=1, embedding_width=8)
        config = replace(config, network=tiny, batch_size=8)
    prepared, elements = found.read()
    config = replace(config, modality=modality)
    torch.manual_seed(config.seed)
    assert elements is not None, "the folder was prepared for texts alone"
    with atom_features_from(elements):
        model = new_model(config, prepared)
    return Trainer(model, prepared, config)


def a_step(
    arguments: argparse.Namespace, folder: Path, modality: str, changed: dict, ends: float
) -> dict[str, Any]:
    """Steps until the time ends: how many a second, and what they keep in memory."""
    import torch

    is_gpu = torch.cuda.is_available() and not arguments.rehearse
    try:
        with tempfile.TemporaryDirectory() as place:
            trainer = trainer_of(arguments, folder, modality, Path(place) / "m", **changed)
            batches = [
                batch.to(trainer.device) for batch in islice(trainer.training_batches, N_BATCHES)
            ]
            if is_gpu:
                torch.cuda.reset_peak_memory_stats()
            first = time.perf_counter()
            seconds = []
            for number, batch in enumerate(cycle(batches)):
                started = time.perf_counter()
                for _ in trainer.gradients([batch]):
                    pass
                trainer.update()
                if is_gpu:
                    torch.cuda.synchronize()
                if number >= WARM_UP + len(batches) * bool(changed["compile"]):
                    seconds.append(time.perf_counter() - started)
                elif number == 0:
                    first = time.perf_counter() - first
                if time.monotonic() > ends and len(seconds) >= 3:
                    break
                if len(seconds) >= (3 if arguments.rehearse else 400):
                    break
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return {"failed": "out of memory"}
    middle = sorted(seconds)[len(seconds) // 2]
    memory = round(torch.cuda.max_memory_allocated() / 2**30, 2) if is_gpu else None
    return {
        "steps_a_second": round(1 / middle, 2),
        "steps": len(seconds),
        "first_step_s": round(first, 2),
        "peak_gib": memory,
    }


def tuning(arguments: argparse.Namespace, result: dict[str, Any], until: float) -> None:
    """Steps of a text encoder of MatSciBERT's size whose own weights learn."""
    if find_spec("transformers") is None:
        result["tuning"]["skipped"] = "transformers is not installed"
        return
    import torch
    from transformers import BertConfig, BertModel

    device = torch.device("cpu" if arguments.rehearse else "cuda")
    tiny = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    model = BertModel(BertConfig(**(tiny if arguments.rehearse else {}))).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=not arguments.rehearse)
    chance = torch.Generator().manual_seed(0)
    tokens = torch.randint(1000, 20_000, (TEXTS, TOKENS), generator=chance).to(device)
    wanted = torch.randn(TEXTS, generator=chance).to(device)
    if not arguments.rehearse:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(10 if arguments.rehearse else TUNING_STEPS):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            found = model(input_ids=tokens).last_hidden_state[:, 0].mean(1)
        (found.float() - wanted).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        if time.monotonic() > until:
            break
    memory = None if arguments.rehearse else round(torch.cuda.max_memory_allocated() / 2**30, 2)
    middle = sorted(seconds)[len(seconds) // 2]
    result["tuning"] |= {
        "steps_a_second": round(1 / middle, 2),
        "steps": len(seconds),
        "peak_gib": memory,
    }


def training(arguments: argparse.Namespace, result: dict[str, Any], until: float) -> None:
    """Epochs of the paper's recipe, loading, validation and checkpoints included."""
    found = result["training"]
    with tempfile.TemporaryDirectory() as place:
        trainer = trainer_of(arguments, arguments.prepared, "both", Path(place) / "m")
        found |= {
            "crystals": len(trainer.prepared.parts["train"]),
            "epochs_of_recipe": trainer.config.epochs,
        }
        for epoch in epochs_until(until, trainer.config.epochs):
            trainer.run_epoch(epoch)
            found["unit"] = trainer.prepared.preprocessing.learned_unit
            found["epochs"] = [
                {name: round(value, 4) for name, value in row.items()}
                for row in trainer.state.epochs
            ]
            write(arguments.out, result)


def epochs_until(until: float, n: int) -> Iterator[int]:
    """Numbers of the epochs that end in time, if each takes what the longest took."""
    longest = 0.0
    for epoch in range(n):
        began = time.monotonic()
        if began + longest > until:
            return
        yield epoch
        longest = max(longest, time.monotonic() - began)


if __name__ == "__main__":
    main()
