"""Progress of a build, reported step by step to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from curate.record import Description


@dataclass(frozen=True)
class Progress:
    """One step forward."""

    stage: str  # "downloading", in bytes, then "reading", "comparing" and "describing", in crystals
    done: int
    total: int | None
    description: Description | None = None


Watch = Callable[[Progress], None]
