"""Forty entries of a small Materials Project, some of them not for everyone."""

import mp_crystals

from curate.record import SkippedEntry, StructureRecord
from curate.sources.mp import MaterialsProject

N = 40
WITHDRAWN, NONCOMMERCIAL, MIXED, SILENT = 4, 5, 6, 7  # numbers of the odd entries


def documents() -> list[dict]:
    """mp-1 to mp-40, some of them not for everyone."""
    found = list(mp_crystals.summaries(N))
    found[WITHDRAWN - 1]["deprecated"] = True
    found[NONCOMMERCIAL - 1]["builder_meta"]["license"] = "BY-NC"
    species = found[MIXED - 1]["structure"]["sites"][0]["species"]
    species[0]["occu"] = 0.5
    return found


def texts(summaries: list[dict]) -> list[dict]:
    return [
        mp_crystals.text_of(document, f"{document['formula_pretty']} is written by others.")
        for number, document in enumerate(summaries, start=1)
        if number != SILENT
    ]


def read(source: MaterialsProject) -> dict[str, StructureRecord | SkippedEntry]:
    source.snapshot()
    return {entry.material_id: entry for entry in source.records()}
