"""Write a dataset's card from the run's own files; no number on it is typed by hand."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.dataset.splits import task_sizes
from curate.dataset.text_statistics import TextFacts, text_facts
from curate.dataset.token_lengths import LIMIT
from curate.errors import shown
from curate.hub_name import is_hub_name
from curate.licenses import card_fields
from curate.properties import BY_NAME, citation_of
from curate.record import FOLD_PREFIX, SPLIT_LABELS
from curate.run.changes import CHANGES_OF_UPDATES, Update, updates_of
from curate.run.schema import COLUMNS, DATASET

if TYPE_CHECKING:
    from curate.run.counts import Counts
    from curate.run.folder import Run

QUANTILES = {"5 %": 0.05, "median": 0.5, "95 %": 0.95, "longest": 1.0}
UPDATES_SHOWN = 20
BOUNDS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B")  # of the Hub's size categories


def dataset_card(
    run: Run,
    counts: Counts,
    folder: Path,
    texts: Sequence[pa.Table],
    digests: Mapping[str, str],
) -> str:
    """The text of a dataset's README.md.

    Args:
        run: The run that the dataset was made by.
        counts: Its counts.
        folder: Of the dataset's files.
        texts: What `measured_texts` returns for each file of described rows.
        digests: SHA-256 of each Parquet file, by its path in the folder.
    """
    from jinja2 import Environment, StrictUndefined

    record = run.settings_record
    assert run.fetched is not None
    few = ["description_origin", "source", "license"]  # of few values
    dataset = pq.ParquetDataset(folder / "default")
    table = pq.read_table(folder / "default", columns=few, read_dictionary=few).unify_dictionaries()
    together = table.group_by(["source", "license"], use_threads=False)
    rows = together.aggregate([([], "count_all")]).to_pylist()
    origins = Counter(
        {(row["source"], row["license"]): row["count_all"] for row in rows}
    ).most_common()
    facts = text_facts(folder / "default", texts, record["settings"]["tokenizer"])
    licenses = {license for (_, license), _ in origins}
    pretty_name = f"{record['source']['database']} crystals with descriptions"
    generators = sorted(set(table["description_origin"].unique().to_pylist()) - {None})
    template = (files("hub_cards") / "dataset_card.md").read_text()
    return (
        Environment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=inert)
        .from_string(template)
        .render(
            pretty_name=pretty_name,
            metadata=Verbatim(
                metadata(
                    pretty_name,
                    licenses,
                    counts.described,
                    digests,
                    record["source"]["database"],
                )
            ),
            counts=counts,
            reasons=[(cell(reason), n) for reason, n in counts.reasons.most_common()],
            source=record["source"],
            read_on=run.fetched["read_on"],
            facts=facts,
            token_quantiles={
                name: facts.tokens.quantile(q) for name, q in QUANTILES.items() if facts.tokens
            },
            token_limit=LIMIT,
            describe=record["describe"],
            versions=record["versions"],
            generators=generators,
            columns=[_column(field) for field in dataset.schema],
            splits=[
                _split(dataset, name, facts)
                for name in dataset.schema.names
                if name.startswith("split_")
            ],
            folds=[name for name in dataset.schema.names if name.startswith(FOLD_PREFIX)],
            verification=run.verification,
            changes=CHANGES_OF_UPDATES,
            updates=[_update(update) for update in updates_of(run)[-UPDATES_SHOWN:]],
            origins=[
                ((database, cell(license or "unknown")), n) for (database, license), n in origins
            ],
            citations={
                database: citation_of(database) or record["source"]["citation"]
                for (database, _), _ in origins
            },
        )
    )


class Verbatim(str):
    """Text of a card that is ours, line breaks included."""


def inert(value: Any) -> Any:
    """What a card shows of a value: text from outside on one line, without HTML, links or images."""
    if not isinstance(value, str) or isinstance(value, Verbatim):
        return value
    line = shown(" ".join(value.splitlines()) if len(value.splitlines()) > 1 else value)
    for sign, written in (
        ("<", "&lt;"),
        ("](", "]&#40;"),
        ("{{", "{ {"),
        ("{%", "{ %"),
    ):
        line = line.replace(sign, written)
    return line


def cell(text: str) -> str:
    """A text from outside for a table: it ends neither its cell nor the code that it stands in."""
    return text.replace("|", "&#124;").replace("`", "'")


def metadata(
    pretty_name: str,
    licenses: Iterable[str | None],
    n: int,
    digests: Mapping[str, str],
    database: str,
) -> str:
    """The card's YAML head, which the Hub and `datasets` read.

    Args:
        pretty_name: Title of the dataset.
        licenses: Those of its rows.
        n: How many crystals have a text.
        digests: SHA-256 of the dataset's files, by their paths in it.
        database: Where the crystals come from; a dataset of the Hub is named as the source.
    """
    from huggingface_hub import DatasetCardData

    configs = [
        {
            "config_name": name,
            "description": f"sha256 {_checksum(digests, name)}",
            **({"default": True} if name == "default" else {}),
            "data_files": [{"split": "train", "path": f"{name}/train-*.parquet"}],
        }
        for name in ("default", "manifest", "changes")
        if name != "changes" or any(path.startswith("changes/") for path in digests)
    ]
    return DatasetCardData(
        pretty_name=pretty_name,
        language=["en"],
        **card_fields(licenses),  # type: ignore[arg-type]
        annotations_creators=["machine-generated"],
        language_creators=["machine-generated"],
        multilinguality=["monolingual"],
        source_datasets=[database if is_hub_name(database) else "original"],
        task_categories=["graph-ml", "tabular-regression", "text-generation"],
        tags=["chemistry", "materials-science", "crystal-structure", "robocrystallographer"],
        size_categories=[size_category(n)],
        configs=configs,
    ).to_yaml()


def size_category(n: int) -> str:
    """The Hub's name for a number of rows: `n<1K`, `1K<n<10K` and so on in powers of ten."""
    step = max(len(str(n)) - 3, 0)
    if step == 0:
        return f"n<{BOUNDS[0]}"
    return f"{BOUNDS[step - 1]}<n<{BOUNDS[step]}"


def _checksum(digests: Mapping[str, str], config: str) -> str:
    """SHA-256 over all data files of a config.

    `datasets` keeps what it loaded under a hash of the card's configs, not of the files: without this
    line another dataset in a folder of the same name would be answered from the cache.
    """
    digest = hashlib.sha256()
    for path in sorted(digests):
        if path.startswith(f"{config}/"):
            digest.update(bytes.fromhex(digests[path]))
    return digest.hexdigest()


def _update(update: Update) -> dict[str, Any]:
    """A row of the card's table of updates: of each kind of change how many, and the first ids."""
    found = {}
    for change in CHANGES_OF_UPDATES:
        n, first = update.counts[change], update.first.get(change, [])
        more = f" and {n - len(first):,} more" if n > len(first) else ""
        found[change] = f"{n:,}" + (f": {', '.join(map(cell, first))}{more}" if n else "")
    return {"date": update.date, "version": cell(update.version), "found": found}


def _column(field) -> dict[str, str]:
    unit = (field.metadata or {}).get(b"unit", b"").decode()
    if field.name in DATASET:
        meaning = COLUMNS[field.name].meaning
    elif field.name.startswith("split_"):
        meaning = "official split"
    elif field.name.startswith(FOLD_PREFIX):
        meaning = "official fold: the one whose test set the crystal is in"
    else:
        meaning = "property, under the source's own name"
    kind = str(field.type).replace("element: ", "").replace("item: ", "")
    kind = kind.replace("<", "[").replace(">", "]")  # Markdown takes <double> for a tag
    known = BY_NAME.get(field.name)
    if known is not None and known.level and known.unit == unit:  # else another's property
        meaning += f"; {known.level}"
    return {"name": cell(field.name), "type": kind, "unit": cell(unit), "meaning": meaning}


def _split(dataset: pq.ParquetDataset, name: str, facts: TextFacts) -> dict[str, Any]:
    task = name.removeprefix("split_")
    table = dataset.read(["material_id", name])
    labels = Counter(
        {row["values"]: row["counts"] for row in pc.value_counts(table[name]).to_pylist()}
    )
    leaks = table.filter(pc.equal(table[name], "leak"))["material_id"].to_pylist()
    there, whole = labels.total() - labels[None], task_sizes()[task]
    share = "equal" if there == whole else f"part: {there} of {whole} ids"
    return {
        "task": task,
        "share": share,
        "leaks": leaks,
        "seen": facts.seen[task],
        **{label: labels[label] for label in SPLIT_LABELS},
    }
