"""Host-side seconds of a training, by an earlier commit's code and by today's, in turn, on the same crystals.

    OMP_NUM_THREADS=1 python benchmarks/host_step.py --data RUN --before 8e81023

A training of a small network, whose arithmetic takes little, so that the rest is seen: CPU seconds of the
host an update, and of it by cProfile, outside of the forward and backward of torch, what the loop, the
batches and the checkpoints take. Today's code once with batches that the host collates (`collated`), and as
it is (`now`), with batches gathered from examples that lie on the device. Three trainings of each, in turn,
each in a process of its own; the best of each is compared, and that weights and history are equal bit for
bit. Beside it the CPU seconds that a batch alone takes in both ways. cProfile's seconds are of the clock,
which runs on while others compute. Writes results/host_step.json.
"""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from setting import ROOT, checkout, setting

RESULT = ROOT / "benchmarks" / "results" / "host_step.json"
TURNS, EPOCHS, BATCH = 3, 3, 16
# Where torch computes: the forward of layers, the backward, the optimiser's arithmetic.
COMPUTING = (
    "run_backward",
    "torch._C._nn",
    "built-in method torch",
    "method 'index_",
    "built-in method dgl",
)


def main() -> None:
    """Train with both in turn and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="run or dataset folder")
    parser.add_argument("--target", default="formation_energy_peratom")
    parser.add_argument("--before", default="8e81023", help="commit compared with")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--collated", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        if arguments.collated:
            collate_all()
        print(json.dumps(trained(arguments.data, arguments.target, arguments.train)))
        return
    with tempfile.TemporaryDirectory() as name:
        before = checkout(arguments.before, Path(name) / "code")
        code = {"before": before, "collated": ROOT, "now": ROOT}
        found: dict[str, list[dict]] = {way: [] for way in code}
        for turn in range(TURNS + 1):  # the first fills the cache of graphs
            for way, root in code.items():
                out = Path(name) / f"{way}-{turn}"
                command = [sys.executable, str(Path(__file__).resolve()), "--data", arguments.data]
                command += ["--target", arguments.target, "--train", str(out)]
                command += ["--collated"] * (way == "collated")
                environment = {**os.environ, "PYTHONPATH": str(root)}
                done = subprocess.run(
                    command, env=environment, stdout=subprocess.PIPE, check=True, text=True
                )
                if turn:
                    found[way].append(json.loads(done.stdout.splitlines()[-1]))
                    print(way, found[way][-1], flush=True)
    best = {way: min(some, key=lambda one: one["cpu_s_an_update"]) for way, some in found.items()}
    digests = {one["weights_and_history"] for some in found.values() for one in some}
    result = {
        "before": {"commit": arguments.before, **best["before"]},
        "collated": best["collated"],
        "now": best["now"],
        "of_each": TURNS,
        "weights_and_history_equal": len(digests) == 1,
        "setting": setting(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(RESULT.read_text())


def collate_all() -> None:
    """From now on no examples lie on the device."""
    from model.training import resident

    resident.CPU_BYTES = 0


def trained(data: str, target: str, out: Path) -> dict[str, float | str]:
    """A training by the code that is imported: seconds an update, and what of them is the host's."""
    from model.config import NetworkConfig, TrainConfig
    from model.training import train as training

    config = TrainConfig(
        data=data,
        target=target,
        out=out,
        modality="graph",
        epochs=EPOCHS,
        batch_size=BATCH,
        network=NetworkConfig(width=16, alignn_layers=1, gcn_layers=1, embedding_width=16),
        cache=out.parent / "cache",
    )
    profile = cProfile.Profile()
    measured: dict[str, float] = {}
    watch_loop(training, profile, measured)
    training.train(replace(config, out=out.with_name(f"{out.name}-plain")))  # by the clock alone
    measured["profiled"] = 1
    training.train(config)
    stats = pstats.Stats(profile)
    computing = sum(
        row[2]  # own seconds
        for (_, _, function), row in stats.stats.items()  # type: ignore[attr-defined]
        if any(word in function for word in COMPUTING)
    )
    n_updates = EPOCHS * -(-measured["n_train"] // BATCH)
    total = hashlib.sha256()
    for name in ("model.safetensors", "history.csv", "predictions.csv"):
        total.update((out / name).read_bytes())
    return {
        "cpu_s_an_update": round(measured["cpu_s"] / n_updates, 5),
        "profile_s_an_update": round(stats.total_tt / n_updates, 5),  # type: ignore[attr-defined]
        "profile_outside_torch_s_an_update": round((stats.total_tt - computing) / n_updates, 5),  # type: ignore[attr-defined]
        "python_calls_an_update": round(stats.total_calls / n_updates),  # type: ignore[attr-defined]
        "batches_s_an_update": measured.get("batches_s"),
        "updates": n_updates,
        "weights_and_history": total.hexdigest(),
    }


def watch_loop(training, profile: cProfile.Profile, measured: dict[str, float]) -> None:
    """Wrap the loop alone, by the name that it has in each version."""

    def around(run, prepared_of):
        def wrapped(trainer):
            measured["n_train"] = len(prepared_of(trainer))
            began = time.process_time()
            if "profiled" not in measured:
                run(trainer)
                measured["cpu_s"] = time.process_time() - began
                return
            profile.enable()
            run(trainer)
            profile.disable()
            if hasattr(trainer, "training_batches"):
                began = time.process_time()
                n_batches = sum(1 for _ in range(EPOCHS) for _ in trainer.training_batches)
                measured["batches_s"] = round((time.process_time() - began) / n_batches, 6)

        return wrapped

    if hasattr(training, "train_or_resume"):
        training.train_or_resume = around(training.train_or_resume, lambda t: t.train_dataset)
    else:
        kind = training.Trainer
        kind.train = around(kind.train, lambda trainer: trainer.prepared.parts["train"])


if __name__ == "__main__":
    main()
