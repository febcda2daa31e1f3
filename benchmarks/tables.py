"""How whole tables of crystals went through `curate build`: counts, reasons, seconds a crystal.

    python benchmarks/tables.py RUN …

Each RUN is a finished run folder; its name is the row's name. Writes results/tables.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from curate.run.counts import count
from curate.run.folder import Run

RESULT = Path(__file__).parent / "results" / "tables.json"


@dataclass(frozen=True)
class Config:
    """Which runs are summed up."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Finished run folders."""


def main() -> None:
    """Write the table."""
    tables = []
    for folder in tyro.cli(Config, description=__doc__).runs:
        run = Run.load(folder)
        counts = count(run)
        tables.append(
            {
                "run": folder.name,
                "fetched": counts.fetched,
                "described": counts.described,
                "failed": dict(counts.failed),
                "messages": sorted(messages(run)),
                "seconds": {
                    "mean": round(sum(counts.seconds) / len(counts.seconds), 3),
                    "median": round(counts.quantile(0.5), 3),
                    "p95": round(counts.quantile(0.95), 3),
                    "slowest": round(counts.seconds[-1], 3),
                },
                "slowest": counts.slowest,
                "question": run.settings_record,
            }
        )
    RESULT.write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n")
    print(RESULT.read_text())


def messages(run: Run) -> set[str]:
    """What the failed crystals said."""
    return {
        f"{description.error_type}: {description.error_message}"
        for number in run.described_shards()
        for description in run.read_descriptions(number)
        if description.status != "described"
    }


if __name__ == "__main__":
    main()
