"""Compare a random sample of a run with stock Robocrystallographer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby

from curate.dataset.card import dataset_card
from curate.dataset.text_statistics import measured_texts
from curate.dataset.write import digests_of
from curate.describe.description import describe
from curate.describe.options import DescribeOptions
from curate.files import write_text
from curate.record import Description, StructureRecord
from curate.run.counts import count
from curate.run.folder import Run
from curate.run.sealed import write_record


@dataclass(frozen=True)
class Difference:
    """A crystal whose text is not the one that stock Robocrystallographer writes."""

    material_id: str
    text: str | None  # None where it has none
    stock_text: str | None
    stock_error: str | None

    def __str__(self) -> str:
        if self.stock_text is None:
            return f"{self.material_id}: described, but stock fails ({self.stock_error})"
        if self.text is None:
            return f"{self.material_id}: not described, but stock writes {self.stock_text[:80]!r}"
        pairs = enumerate(zip(self.text, self.stock_text, strict=False))
        start = max(next((i for i, (a, b) in pairs if a != b), 0) - 40, 0)
        here, there = self.text[start : start + 120], self.stock_text[start : start + 120]
        return f"{self.material_id}: {here!r}, but stock writes {there!r}"


@dataclass(frozen=True)
class Verification:
    """A random sample described again with stock Robocrystallographer."""

    seed: int
    checked: tuple[str, ...]  # material ids
    differences: tuple[Difference, ...]

    @property
    def is_equal(self) -> bool:
        """Whether every text of the sample is stock's."""
        return not self.differences


def compare(
    record: StructureRecord, text: str | None, options: DescribeOptions | None = None
) -> Difference | None:
    """Compare a text with that of stock Robocrystallographer.

    Args:
        record: The crystal.
        text: Its text; None if describing failed, which agrees with stock if stock fails too.
        options: Options that the text was written with.

    Returns:
        The difference; None if the texts are equal.
    """
    stock = describe(record, replace(options or DescribeOptions(), describer="stock"))
    if stock.text == text:
        return None
    reason = f"{stock.error_type}: {stock.error_message}" if stock.text is None else None
    return Difference(record.material_id, text, stock.text, reason)


def verify(
    run: Run,
    n: int = 50,
    seed: int = 0,
    watch: Callable[[int], None] = lambda done: None,
) -> Verification:
    """Describe a random sample of a run again with stock Robocrystallographer.

    Crystals that brought a text of their own are left out. Stock takes seconds for each crystal.

    Args:
        run: A run with descriptions.
        n: Size of the sample.
        seed: Seed of the sample.
        watch: Called with the number of crystals done.
    """
    options = DescribeOptions(**run.settings_record["describe"])
    differences, checked = [], []
    for record, description in sample(run, n, seed):
        if difference := compare(record, description.text, options):
            differences.append(difference)
        checked.append(record.material_id)
        watch(len(checked))
    return Verification(seed, tuple(checked), tuple(differences))


def keep(run: Run, result: Verification) -> None:
    """Keep the result in the run folder and on the card of its dataset, if there is one."""
    with run.lock(wait=True):
        is_current = run.is_dataset_current
        write_record(run.verification_file, asdict(result))
        if not run.dataset.exists():
            return
        tokenizer = run.settings_record["settings"]["tokenizer"]
        digests = digests_of(run.dataset)
        files = sorted(run.dataset.glob("default/*.parquet"))
        texts = [measured_texts(path, tokenizer) for path in files]
        card = dataset_card(run, count(run), run.dataset, texts, digests)
        write_text(run.dataset / "README.md", card)
        if is_current:
            del digests["README.md"]
            run.record_dataset(run.contents(), digests_of(run.dataset, digests))


def sample(run: Run, n: int, seed: int) -> Iterator[tuple[StructureRecord, Description]]:
    """Yield n random crystals of a run that were described or failed, in the run's order."""
    seen: list[tuple[int, str]] = []  # shard, id
    for number in run.described_shards():
        table = run.description_table(number, ["material_id", "status", "symprec"])
        for row in table.to_pylist():
            if row["status"] == "error" or row["symprec"] is not None:
                seen.append((number, row["material_id"]))
    places = sorted(random.Random(seed).sample(range(len(seen)), min(n, len(seen))))
    drawn = [seen[place] for place in places]
    for number, group in groupby(drawn, key=lambda pair: pair[0]):
        wanted = {material_id for _, material_id in group}
        for record, description in run.read_pairs(number):
            if record.material_id in wanted and isinstance(record, StructureRecord):
                yield record, description
