"""Records and their texts in, where stock Robocrystallographer says otherwise out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from curate.describe import DescribeOptions, describe
from curate.record import StructureRecord


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
    """None where stock Robocrystallographer, with the same options, writes the same text.

    A record without text agrees with stock if stock fails on it too.
    """
    stock = describe(record, replace(options or DescribeOptions(), describer="stock"))
    if stock.text == text:
        return None
    reason = f"{stock.error_type}: {stock.error_message}" if stock.text is None else None
    return Difference(record.material_id, text, stock.text, reason)


def verify(
    records: Sequence[StructureRecord],
    texts: Sequence[str | None],
    n: int = 50,
    seed: int = 0,
    options: DescribeOptions | None = None,
) -> Verification:
    """Compare n of the records, drawn by the seed; those with a text of their source are left out.

    Stock takes seconds a crystal: 50 of them about eight minutes.
    """
    ours = [
        (record, text)
        for record, text in zip(records, texts, strict=True)
        if record.description is None
    ]
    sample = random.Random(seed).sample(ours, min(n, len(ours)))
    found = [compare(record, text, options) for record, text in sample]
    return Verification(
        seed=seed,
        checked=tuple(record.material_id for record, _ in sample),
        differences=tuple(difference for difference in found if difference),
    )
