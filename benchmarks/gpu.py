"""What a GPU gives: its tests, steps a second, memory, a text encoder tuned, the paper's recipe trained.

    python benchmarks/gpu.py --prepared PREPARED --whole WHOLE

PREPARED and WHOLE are folders of `crysmmnet prepare`, WHOLE one with `--graph full`. The machine needs
Python 3.11 or later, torch, numpy and safetensors; pytest and transformers are used where they are. Run
from the root of the repository.

tests: those marked `gpu`. steps: batch, forward, backward and AdamW of the paper's network, 64 crystals at
once; the median over blocks of steps, between which alone the host waits. Batches are gathered on the device
where the examples fit there, as a training does; `collated` ones are made by the host, and `compiled` is
--compile. tuning: forward, backward and AdamW of BERT base with random weights on 16 texts of 256 tokens in
bf16. training: the paper's recipe from its first epoch, for the time that is left. Results are written after
each of these to results/gpu.json, so that what was measured stays where the command is cut, and what fails is
written there too. It takes eight minutes at most.
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
from itertools import count, islice, product
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
BLOCK, WARM_UP = 8, 2  # steps between which the host does not wait; blocks that do not count
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
            except Exception as error:  # the other measurements are made all the same
                result[name]["failed"] = named(error)
        write(arguments.out, result)


def named(error: Exception) -> str:
    """An error's kind and the first line of what it says."""
    from curate.errors import first_line

    return f"{type(error).__name__}: {first_line(error)}"


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
    plans = list(product(folders, ("graph", "both"), ("fp32", "bf16"), ("",)))
    ways = ("collated", "compiled")
    plans += [
        ("quotient", "both", precision, way) for way in ways for precision in ("fp32", "bf16")
    ]
    for number, (graphs, modality, precision, way) in enumerate(plans):
        name = ", ".join(word for word in (graphs, modality, precision, way) if word)
        if folders[graphs] is None:
            result["steps"][name] = {"skipped": f"no folder of {graphs} graphs was given"}
            continue
        if way == "compiled" and arguments.rehearse:
            result["steps"][name] = {"skipped": "not rehearsed"}
            continue
        now = time.monotonic()
        ends = now + (until - now) / (len(plans) - number)
        changed = {"modality": modality, "precision": precision, "compile": way == "compiled"}
        result["steps"][name] = a_step(arguments, folders[graphs], changed, way, ends)
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
    arguments: argparse.Namespace, folder: Path, changed: dict, way: str, ends: float
) -> dict[str, Any]:
    """Steps until the time ends: how many a second, and what they keep in memory; or what failed."""
    import torch

    modality, others = changed["modality"], {k: v for k, v in changed.items() if k != "modality"}
    try:
        with tempfile.TemporaryDirectory() as place:
            trainer = trainer_of(arguments, folder, modality, Path(place) / "m", **others)
            return steps_until(ends, trainer, way, arguments.rehearse)
    except Exception as error:  # out of memory, or no compiler: that is what was found
        torch.cuda.empty_cache()
        return {"failed": named(error)}


def steps_until(ends: float, trainer: Any, way: str, rehearse: bool) -> dict[str, Any]:
    """Steps of a trainer until the time ends."""
    import torch

    from model.training.batches import CollatedBatches, ResidentBatches

    is_gpu, block = trainer.device.type == "cuda", 1 if rehearse else BLOCK
    batches = trainer.training_batches
    if way == "collated":
        train = trainer.prepared.parts["train"]
        batches = CollatedBatches(train, trainer.sampler, batches.rules, trainer.device)
    is_resident = isinstance(batches, ResidentBatches)
    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    endless = (batch for _ in count() for batch in batches)
    began = time.perf_counter()
    first = None
    seconds: list[float] = []  # a step, of each block
    for number in count():
        started = time.perf_counter()
        for batch in islice(endless, 1 if first is None else block):
            for _ in trainer.gradients([batch]):
                pass
            trainer.update()
        if is_gpu:
            torch.cuda.synchronize()
        ended = time.perf_counter()
        if first is None:
            first = ended - began
        elif number > WARM_UP:
            seconds.append((ended - started) / block)
        most = 3 if rehearse else 60
        if len(seconds) >= most or (time.monotonic() > ends and seconds):
            break
    middle = sorted(seconds)[len(seconds) // 2]
    return {
        "steps_a_second": round(1 / middle, 2),
        "steps": len(seconds) * block,
        "first_step_s": round(first or 0.0, 2),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if is_gpu else None,
        "resident_mib": round(batches.examples.n_bytes / 2**20, 1) if is_resident else None,
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
            found["batches"] = type(trainer.training_batches).__name__
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
