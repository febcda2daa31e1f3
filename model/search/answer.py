"""What `crysmmnet search` prints and writes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from curate.errors import shown
from curate.files import write_json, write_table
from curate.vocabulary import translated
from model.config import SearchConfig
from model.files import write_csv
from model.search.index import Match, SearchIndex

log = logging.getLogger(__name__)

N_PROPERTIES = 4  # that the table on the terminal has room for; a file has all
NAMES = (  # of the columns of a file, before the properties
    *("id", "formula", "spacegroup", "score", "place_by_words", "place_by_vectors", "sentences"),
)


def search(config: SearchConfig) -> list[Match]:
    """The crystals that a command asks for, best first; written to a file where it says so.

    Raises InputError where dataset, encoder or model are unknown, or the question can't be answered.
    """
    query = " ".join(config.query)
    if config.model is not None:
        from model.search.graph_side import GraphIndex

        graphs = GraphIndex.open(config.model, [config.data], config.text_encoder, config.cache)
        log.info("searching the graphs of %d crystals, by %s", len(graphs), graphs.encoder.name)
        say_translated(query)
        found = (
            graphs.search(query, config.n)
            if config.like is None
            else graphs.like(config.like, config.n)
        )
    else:
        index = SearchIndex.open(config.data, config.text_encoder, config.cache)
        by = f" and {index.encoder.name}" if index.encoder is not None else " alone"
        log.info("searching %d texts, by words%s", len(index), by)
        say_translated(query)
        found = (
            index.search(query, config.n)
            if config.like is None
            else index.like(config.like, config.n)
        )
    if config.out is not None:
        write(config.out, found)
    return found


def say_translated(query: str) -> None:
    """Name the words of a question that are read as others."""
    _, replaced = translated(query)
    if replaced:
        said = ", ".join(f"{word} as {other}" for word, other in replaced.items())
        log.info("reading %s", said)


def names_of(found: Sequence[Match]) -> list[str]:
    """The properties that any of the crystals has, those that most of them have first."""
    counts = Counter(name for match in found for name in match.properties)
    return [name for name, _ in counts.most_common()]


def print_matches(found: Sequence[Match]) -> None:
    """A table on the terminal; where the output is no terminal, a line of names and one for each crystal."""
    console = Console()
    properties = names_of(found)[:N_PROPERTIES]
    if not console.is_terminal:
        if found:
            print(shown("\t".join(["id", "formula", "spacegroup", *properties, "sentences"])))
        for match in found:
            values = [f"{match.properties.get(name, '')}" for name in properties]
            cells = [match.id, match.formula, match.spacegroup, *values, " ".join(match.sentences)]
            print(shown("\t".join(cells)))
        return
    table = Table(show_lines=True)
    for name in ("", "id", "formula", "space group", *properties):
        table.add_column(name, overflow="fold")
    table.add_column("its text says", overflow="fold", ratio=1)
    for place, match in enumerate(found, 1):
        values = [
            f"{match.properties[name]:.4g}" if name in match.properties else ""
            for name in properties
        ]
        cells = [str(place), match.id, match.formula, match.spacegroup, *values]
        table.add_row(*(Text(shown(cell)) for cell in [*cells, " ".join(match.sentences)]))
    console.print(table)


def write(path: Path, found: Sequence[Match]) -> None:
    """Write the crystals as CSV, Parquet or JSON, as the name of the file ends."""
    properties = names_of(found)
    rows = [
        {
            "id": match.id,
            "formula": match.formula,
            "spacegroup": match.spacegroup,
            "score": match.score,
            "place_by_words": match.place_by_words,
            "place_by_vectors": match.place_by_vectors,
            "sentences": " ".join(match.sentences),
            **{name: match.properties.get(name) for name in properties},
        }
        for match in found
    ]
    header = [*NAMES, *properties]
    if path.suffix == ".csv":
        write_csv(path, header, [list(row.values()) for row in rows])
    elif path.suffix == ".json":
        write_json(path, rows)
    else:
        columns = {name: pa.array([row[name] for row in rows]) for name in header}
        write_table(path, pa.table(columns))
