"""Draw memory and open files over the build under faults that `make attack` recorded.

python benchmarks/attack_figure.py: results/attack.json to docs/img/attack.png
"""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "attack.json"
FIGURE = ROOT / "docs" / "img" / "attack.png"


def main() -> None:
    faults = json.loads(RESULT.read_text())["faults"]
    times = [row["seconds"] for row in faults["over_time"]]
    figure = Figure(figsize=(8, 4), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    for name, label in (("build_mib", "the build"), ("all_mib", "all processes")):
        above.plot(times, [row[name] for row in faults["over_time"]], label=label)
    below.plot(times, [row["open_files"] for row in faults["over_time"]], color="0.3")
    above.set_ylabel("memory (MiB)")
    above.legend(frameon=False)
    below.set_ylabel("open files")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    above.set_title(
        f"{faults['crystals']:,} crystals that hang, crash and fill the memory, killed now and then",
        loc="left",
    )
    figure.savefig(FIGURE, dpi=150)


if __name__ == "__main__":
    main()
