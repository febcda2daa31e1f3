"""Whether an experiment came out as the one whose results lie in its folder; if not, what was different."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.files import read_csv

RESULT = ("target", "encoder", "modality", "text", "train_fraction", "seed", "fold")  # names a row
MADE_WITH = (
    "data_sha256",
    "texts",
    "code_sha256",
    "versions",
    "hardware",
)  # what may change a number


@dataclass(frozen=True)
class Reproduction:
    """Results of now beside those of before."""

    same: int
    different: tuple[str, ...]  # the rows, as `gap graph alignn 1.0 1`
    because: tuple[str, ...]  # of MADE_WITH, what is not as it was or was not recorded then

    @property
    def sentence(self) -> str:
        """In words."""
        if not self.different:
            return f"all {self.same} results came out as before"
        names = {
            "texts": "the texts",
            "hardware": "the machine",
            "versions": "versions of libraries",
        }
        names |= {"data_sha256": "the data", "code_sha256": "the code"}
        reasons = ", ".join(names[name] for name in self.because)
        more = f" and {len(self.different) - 3} more" if len(self.different) > 3 else ""
        return (
            f"{len(self.different)} of {self.same + len(self.different)} results differ from before "
            f"({'; '.join(self.different[:3])}{more}); not the same as then: "
            f"{reasons or 'nothing that is recorded'}"
        )


def reproduction(
    answer: Path, rows: Sequence[Mapping[str, Any]], made: Mapping[str, Any]
) -> Reproduction | None:
    """Compare results with those in the folder that they are about to be written to.

    Args:
        answer: Folder of an answer, with results.csv and made.json of an earlier one or without.
        rows: The results of now.
        made: What they were made with, as made.json.

    Returns:
        None where the folder holds no earlier result with a row in common.
    """
    results, record = answer / "results.csv", answer / "made.json"
    if not (results.is_file() and record.is_file()):
        return None
    before = {name_of(row): row["mae"] for row in read_csv(results)}
    common = [(name_of(row), str(row["mae"])) for row in rows if name_of(row) in before]
    if not common:
        return None
    different = tuple(name for name, mae in common if before[name] != mae)
    old, new = json.loads(record.read_text(encoding="utf-8")), json.loads(json.dumps(made))
    because = tuple(name for name in MADE_WITH if old.get(name) != new.get(name))
    return Reproduction(len(common) - len(different), different, because if different else ())


def name_of(row: Mapping[str, Any]) -> str:
    """What a row of results.csv is the result of; rows of earlier versions have no fold."""
    values = (row.get(name) for name in RESULT)
    return " ".join(str(value) for value in values if value not in (None, ""))
