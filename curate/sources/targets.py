"""A table of targets: a CSV whose first line names the properties and whose first column holds ids.

A name may bring its unit, as `gap:eV`. A table without names, as ALIGNN's and CGCNN's id_prop.csv, takes the
name of its one property from the command line.
"""

from __future__ import annotations

import csv
import io
import logging
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from curate.errors import InputError, named
from curate.properties import split_unit, without_unit
from curate.record import Value
from curate.sources.entries import MISSING, as_number, value_of

log = logging.getLogger(__name__)

# numbers with decimal commas, separated thousands, another minus, a unit or an error behind them
NUMBER_LIKE = re.compile(
    r"[+\-−–]?\d[\d.,' _\u00a0]*([eEdD][+-]?\d+)?\s*(\(\d+\)|±.*|%|[a-zA-Zµ/Å³]+)?"
)
NO_VALUE = MISSING | {
    "-",
    "--",
    "–",
    "—",
    "?",
    ".",
    "n.d.",
    "nd",
    "n.a.",
    "#n/a",
    "unknown",
    "missing",
}


def read_table(
    path: Path, text: str, property_name: str | None = None
) -> tuple[dict[str, dict[str, Value]], dict[str, str]]:
    """The targets of a table.

    A column whose values are all numbers but for marks such as `n.d.`, `-` and `?` is one of numbers, and
    those marks are no value. A column of numbers and other text stays text, which is said.

    Args:
        path: The table, for messages.
        text: Its content.
        property_name: The name of the one property of a table without a line of names, with its unit
            or without; None for a table that begins with names.

    Returns:
        Values by property by id, and the units by property that names bring.

    Raises:
        InputError: A line can't be read, an id or a name is there twice, or names are missing or given
            twice; the message names the line.
    """
    rows = list(read_rows(path, text))
    if property_name is not None:
        check_nameless(path, rows, property_name)
        rows = [(0, ["id", property_name]), *rows]
    if len(rows) < 2 or len(rows[0][1]) < 2:
        raise InputError(
            f"--properties {path}: needs a header, an id column and a property column, "
            "separated by commas"
        )
    columns = [split_unit(name) for name in rows[0][1]]
    names = [name for name, _ in columns]
    check_names(path, names)
    table: dict[str, list[str]] = {}
    for line, row in rows[1:]:
        if len(row) != len(names):
            raise InputError(
                f"--properties {path}, line {line}: {len(row)} values under {len(names)} names"
            )
        if not row[0]:
            raise InputError(f"--properties {path}, line {line}: no id")
        if row[0] in table:
            raise InputError(f"--properties {path}, line {line}: {row[0]} is there twice")
        table[row[0]] = row[1:]
    found: dict[str, dict[str, Value]] = {material_id: {} for material_id in table}
    for number, name in enumerate(names[1:]):
        texts = {material_id: row[number] for material_id, row in table.items()}
        for material_id, value in column(path, name, texts).items():
            found[material_id][name] = value
    return found, {name: unit for name, unit in columns[1:] if unit is not None}


def check_nameless(path: Path, rows: list[tuple[int, list[str]]], property_name: str) -> None:
    """InputError where a table whose property is named by the user begins with a line of names."""
    first = ",".join(rows[0][1])[:60] if rows else ""
    values = rows[0][1][1:] if rows else []
    if len(values) == 1 and as_number(values[0]) is None and values[0].lower() not in NO_VALUE:
        raise InputError(
            f"--properties {path}: its first line ({first}) holds no number; --property-name is for a "
            "table without a line of names"
        )


def check_units(path: Path, table: dict[str, dict[str, Value]], units: Mapping[str, str]) -> None:
    """Refuse a table of targets with numbers of an unknown unit.

    Args:
        path: The table, for the message.
        table: Its values, as `read_table` gives them.
        units: Units by property, from the header and from --units.

    Raises:
        InputError: A property has numbers, but no unit; the message shows what to add.
    """
    kinds: dict[str, set[bool]] = {}  # of the values of each property: whether they are numbers
    for row in table.values():
        for name, value in row.items():
            if value is not None:
                kinds.setdefault(name, set()).add(isinstance(value, int | float))
    numbers = [name for name, are_numbers in kinds.items() if are_numbers == {True}]
    if missing := without_unit(numbers, units):
        words = " ".join(shlex.quote(f"{name}=UNIT") for name in missing)
        raise InputError(
            f"--properties {path}: the unit of {', '.join(missing)} is not known; add --units {words} "
            f"with the units, 1 for a number without one, or write the column's name as "
            f"{missing[0]}:UNIT"
        )


def read_rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The line number and the stripped values of each line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    line = 1
    try:
        for row in reader:
            if any("\n" in value or "\r" in value for value in row):
                raise InputError(
                    f"--properties {path}, line {line}: a quote is opened and not closed"
                )
            if any(value.strip() for value in row):
                yield line, [value.strip() for value in row]
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"--properties {path}, line {line}: no CSV ({error})") from error


def check_names(path: Path, names: list[str]) -> None:
    """InputError where the first line names no properties, or one twice."""
    if any(as_number(name) is not None for name in names[1:]):
        raise InputError(
            f"--properties {path}: its first line ({','.join(names)[:60]}) looks like data; "
            "begin it with a line of names, as id,band_gap, or add --property-name NAME:UNIT "
            "for its one property"
        )
    if not all(names[1:]):
        raise InputError(f"--properties {path}: a column of its first line has no name")
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"--properties {path}: two columns are called {named(twice)}")


def column(path: Path, name: str, texts: dict[str, str]) -> dict[str, Value]:
    """The values of a column by id."""
    values: dict[str, Value] = {}
    for material_id, text in texts.items():
        try:
            values[material_id] = value_of(text)
        except ValueError as error:
            raise InputError(f"--properties {path}: {name} of {material_id} is {error}") from None
    strange = {i: value for i, value in values.items() if isinstance(value, str)}
    n_numbers = sum(isinstance(value, float) for value in values.values())
    if strange and not n_numbers and all(NUMBER_LIKE.fullmatch(str(v)) for v in strange.values()):
        where, example = next(iter(strange.items()))
        log.warning(
            "%s: %s is a column of text, as %r for %s is no number; numbers are written as 1500.5",
            path,
            name,
            example,
            where,
        )
    if not strange or not n_numbers:
        return values
    where, example = next(iter(strange.items()))
    if all(str(value).lower() in NO_VALUE for value in strange.values()):
        log.warning("%s: %s has no value for %s (%r)", path, name, named(set(strange)), example)
        return {i: None if i in strange else value for i, value in values.items()}
    log.warning(
        "%s: %s holds text (%r for %s) among %d numbers and is kept as a column of text",
        path,
        name,
        example,
        where,
        n_numbers,
    )
    return values
