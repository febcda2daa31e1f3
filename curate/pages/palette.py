"""Colors and radii of the elements, crystal systems, and the periodic table of a page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

GREY = (0.6, 0.6, 0.6)  # of what is no known element
NO_RADIUS = 1.5  # Å
SYSTEMS = {  # the last space group of each
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}


def palette(symbols: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour (Jmol's), covalent radius (Å) and whether it is a metal, by symbol."""
    from pymatviz import df_ptable
    from pymatviz.colors import ELEM_COLORS_JMOL

    found = {}
    for symbol in sorted(symbols):
        row = df_ptable.loc[symbol] if symbol in df_ptable.index else {}
        parts = [round(255 * float(part)) for part in ELEM_COLORS_JMOL.get(symbol, GREY)]
        radius = float(row.get("covalent_radius", NO_RADIUS))
        found[symbol] = {
            "color": "#" + "".join(f"{part:02x}" for part in parts),
            "radius": NO_RADIUS if math.isnan(radius) else radius,
            "metal": row.get("metal") is True or row.get("metal") == 1.0,
        }
    return found


def periodic_table(values: Mapping[str, float], log: bool = False) -> list[dict[str, Any]]:
    """A cell for each element up to 118: symbol, name, row, column, value or None, share of the largest.

    Lanthanides and actinides stand in rows 9 and 10. `log` spreads counts of different sizes, from the
    smallest on.
    """
    from pymatviz import df_ptable

    known = {name: value for name, value in values.items() if name in df_ptable.index}
    scale = math.log if log else float
    lowest = min(map(scale, known.values()), default=0) if log else 0
    span = max((scale(value) - lowest for value in known.values()), default=0) or 1
    return [
        {
            "symbol": symbol,
            "name": str(row["name"]),
            "row": int(row["row"]),
            "column": int(row["column"]),
            "value": known.get(symbol),
            "share": round((scale(known[symbol]) - lowest) / span, 3) if symbol in known else 0,
        }
        for symbol, row in df_ptable.iterrows()
    ]


def spacegroup_symbols() -> list[str]:
    """Short Hermann-Mauguin symbols of the space groups 1 to 230: `P2_1/c`, not `P12_1/c1`."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number

    symbols = [sg_symbol_from_int_number(number, hexagonal=False) for number in range(1, 231)]
    monoclinic = [re.sub(r"^(\w)1(.+)1$", r"\1\2", symbol) for symbol in symbols[2:15]]
    return symbols[:2] + monoclinic + symbols[15:]


def crystal_system(number: int | None) -> str:
    """Crystal system of a space group number; `unknown` without one."""
    return next((name for name, last in SYSTEMS.items() if number and number <= last), "unknown")
