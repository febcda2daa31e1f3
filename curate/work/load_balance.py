"""Divide shards among ranks, and order them, by their numbers of atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapreplace

from curate.run.folder import ShardSize

Sizes = Mapping[int, ShardSize]  # by number of the shard


def longest_first(atoms: Sequence[int]) -> list[int]:
    """Positions within a shard, largest cell first: one started last would keep a worker busy alone.

    Args:
        atoms: Of each entry.
    """
    return sorted(range(len(atoms)), key=lambda position: -atoms[position])


def largest_first(shards: Sizes) -> list[int]:
    """The shards by their largest cell, so that what is described last is small everywhere."""
    return sorted(shards, key=lambda number: (-shards[number].largest, number))


def shares(shards: Sizes, n: int) -> list[list[int]]:
    """The shards in n shares with nearly as many atoms; the same shards always give the same shares.

    The heaviest shard goes first, each to the share with the least so far.
    """
    divided: list[list[int]] = [[] for _ in range(n)]
    totals = [(0, rank) for rank in range(n)]  # a heap
    for number in sorted(shards, key=lambda number: (-shards[number].atoms, number)):
        atoms, rank = totals[0]
        divided[rank].append(number)
        heapreplace(totals, (atoms + shards[number].atoms, rank))
    return [largest_first({number: shards[number] for number in share}) for share in divided]
