"""The English description of a crystal, or the reason why there is none."""

from __future__ import annotations

import time
from functools import lru_cache

from curate.describe.condense import condense, decorate
from curate.describe.options import DescribeOptions
from curate.describe.render import render
from curate.geometry import bad_cell, overlapping
from curate.record import Description, StructureRecord

TRUSTED_ELEMENTS = 96  # up to Cm; beyond it pymatgen has no radius to bond neutral atoms by


def describe(record: StructureRecord, options: DescribeOptions | None = None) -> Description:
    """The English text of one crystal, or the reason why there is none. Never raises on a bad crystal.

    A record that brings its own text keeps it. Texts come out the same in every process: word lists
    that Robocrystallographer takes from sets are sorted, numbers are plain.

    Args:
        record: The crystal; lengths in Å.
        options: How it is put into words; the defaults where it is None.

    Returns:
        `text` and `condensed_structure` (JSON) where `status` is "described"; otherwise `status`,
        `error_type` and `error_message` say why there is none.
    """
    options = options or DescribeOptions()
    started = time.perf_counter()
    stage: str | None = "check"
    symprec, note = None, record.note
    result: dict[str, str | None] = {}
    try:
        if record.description is not None:
            result = {"text": record.description, "origin": record.description_origin}
            status, stage = "described", None
        elif refusal := unusable(record) or overlapping(structure := record.to_pymatgen()):
            status = refusal[0]
            result = dict(zip(("error_type", "error_message"), refusal, strict=True))
        else:
            stage = "condense"
            if options.oxidation_states and not decorate(structure, options):
                note = "; ".join(filter(None, (note, "formula too large for oxidation states")))
            condensed, symprec = condense(structure, options)
            stage = "render"
            text = render(condensed, options)
            result = {"text": text, "condensed_structure": condensed, "origin": generator()}
            status, stage = "described", None
    except MemoryError as error:
        status, result = "out_of_memory", _reason(error)
    except Exception as error:  # Robocrystallographer fails in many ways; the reason is kept
        status, result = "error", _reason(error)
    return Description(
        material_id=record.material_id,
        status=status,
        symprec=symprec,
        seconds=time.perf_counter() - started,
        stage=stage,
        note=note,
        **result,
    )


def unusable(record: StructureRecord) -> tuple[str, str] | None:
    """Why the record can't be described, whichever way its atoms lie, as (status, sentence)."""
    from pymatgen.core import Element

    if reason := bad_cell(record):
        return reason
    for symbol in sorted(set(record.species_at_sites)):
        if not Element.is_valid_symbol(symbol):
            return "dummy_species", f"{symbol!r} is not a chemical element"
        if Element(symbol).Z > TRUSTED_ELEMENTS:
            return "unsupported_element", f"Robocrystallographer has no bonding data for {symbol}"
    return None


@lru_cache
def generator() -> str:
    """Name and version of what wrote the texts."""
    from importlib.metadata import version

    return f"robocrys {version('robocrys')}"


def _reason(error: BaseException) -> dict[str, str | None]:
    return {"error_type": type(error).__name__, "error_message": str(error)[:500]}
