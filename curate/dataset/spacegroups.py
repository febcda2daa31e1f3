"""Space groups of a dataset's rows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curate.pages.palette import spacegroup_symbols

SPACEGROUP = r'"spg_symbol": ?"(?P<symbol>[^"]+)"'  # in a condensed structure


def spacegroups(batch: pa.Table) -> list[int | None]:
    """Space group number of each row, 1 to 230: the source's, else the one found on describing.

    Args:
        batch: Rows with `spacegroup_number`, `condensed_structure` or both.

    Returns:
        One number a row; None where neither column tells it.
    """
    n_rows = batch.num_rows
    given = (
        batch["spacegroup_number"].to_pylist() if "spacegroup_number" in batch.schema.names else []
    )
    numbers: list[int | None] = given or [None] * n_rows
    if None in numbers and "condensed_structure" in batch.schema.names:
        column = batch["condensed_structure"].cast(pa.string())
        symbols = pc.struct_field(pc.extract_regex(column, SPACEGROUP), "symbol").to_pylist()
        known = {symbol: n for n, symbol in enumerate(spacegroup_symbols(), 1)}
        numbers = [n or known.get(s or "") for n, s in zip(numbers, symbols, strict=True)]
    return numbers
