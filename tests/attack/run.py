"""`make attack`: a long, seeded attack; prints tried, noticed and silent by kind, and fails if any is silent.

python tests/attack/run.py [--seed S] [--scale X] [--crystals N] [--only KIND ...]
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests" / "helpers"), str(ROOT)]


def at_file_events(
    script: str, *task: str, n: int | None, seed: int
) -> Iterator[tuple[str, str, str]]:
    """What a script finds that does something at a task's file events, at all of them where n is None."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *task, "--seed", str(seed)]
    command += ["--sample", str(n)] if n is not None else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            found = json.loads(line)
            is_same = found["result"] == "same"
            yield "file event", "same" if is_same else f"silent: {found['result']}", found["what"]
    if process.returncode:
        yield "file event", f"silent: the attack itself ended with {process.returncode}", script


def attacks(scale: float, seed: int) -> dict[str, Iterator[tuple[str, str, str]]]:
    import bad_answers
    import damage
    import mutated_files

    n = None if scale >= 1 else max(int(100 * scale), 3)
    tasks = ("build", "update", "renewal", "train")
    return {
        "damage": damage.attack(int(1500 * scale), seed),
        "files": mutated_files.attack(int(4000 * scale), seed),
        "answers": bad_answers.attack(int(1000 * scale), seed),
        **{f"kills-{task}": at_file_events("kills.py", task, n=n, seed=seed) for task in tasks},
        "meetings": at_file_events("meetings.py", n=n, seed=seed),
    }


def main() -> int:
    """0 if nothing was silent and nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the whole attack")
    parser.add_argument("--crystals", type=int, default=20_000, help="of the build under faults")
    parser.add_argument("--kills", type=int, default=6, help="of the build under faults")
    parser.add_argument("--only", nargs="*", help="kinds of attack; others' results are kept")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/attack.json")
    words = parser.parse_args()
    logging.disable(logging.WARNING)
    found: dict[str, Any] = {"seed": words.seed, "scale": words.scale, "kinds": {}, "silent": []}
    if words.only and words.out.is_file():
        before = json.loads(words.out.read_text())
        if [before["seed"], before["scale"]] != [words.seed, words.scale]:
            sys.exit(f"{words.out} is of another seed or scale; give --out another file")
        found = before
        found["silent"] = [
            told for told in before["silent"] if told.partition(":")[0] not in words.only
        ]
    table, silent = found["kinds"], found["silent"]
    for name, outcomes in attacks(words.scale, words.seed).items():
        if words.only and name not in words.only:
            continue
        began, counts = time.monotonic(), Counter()
        for kind, result, detail in outcomes:
            counts[kind, result.partition(":")[0]] += 1
            if result.startswith("silent"):
                silent.append(f"{name}: {kind}: {result} ({detail})")
                print(silent[-1], file=sys.stderr)
        kinds = sorted({kind for kind, _ in counts})
        for kind in kinds:
            row = {result: n for (of, result), n in sorted(counts.items()) if of == kind}
            table[f"{name}: {kind}"] = {"tried": sum(row.values()), "silent": 0, **row}
            print(f"{name}: {kind}: {table[f'{name}: {kind}']}", flush=True)
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    if words.crystals and (not words.only or "faults" in words.only):
        import faults

        with tempfile.TemporaryDirectory() as folder:
            found["faults"] = faults.attack(
                Path(folder) / "run", words.crystals, words.kills, words.seed
            )
            shutil.rmtree(folder, ignore_errors=True)
        print({name: n for name, n in found["faults"].items() if name != "over_time"})
        silent += [
            f"faults: {name}"
            for name in ("exit_code", "lost", "doubled", "altered")
            if found["faults"][name]
        ]
    words.out.write_text(json.dumps(found, indent=1) + "\n")
    tried = sum(row["tried"] for row in table.values())
    print(f"{tried} tried, {len(silent)} silent")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
