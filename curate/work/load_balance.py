"""Divide shards among ranks, and order them, by their numbers of atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Sizes = Mapping[int, Sequence[int]]  # atoms of each crystal, by number of the shard


def longest_first(sizes: Sequence[int]) -> list[int]:
    """Positions within a shard, largest cell first: one started last would keep a worker busy alone."""
    return sorted(range(len(sizes)), key=lambda position: -sizes[position])


def largest_first(shards: Sizes) -> list[int]:
    """The shards by their largest cell, so that what is described last is small everywhere."""
    return sorted(shards, key=lambda number: (-max(shards[number], default=0), number))


def shares(shards: Sizes, n: int) -> list[list[int]]:
    """The shards in n shares with nearly as many atoms; the same shards always give the same shares.

    The heaviest shard goes first, each to the share with the least so far.
    """
    atoms = {number: sum(sizes) for number, sizes in shards.items()}
    divided: list[list[int]] = [[] for _ in range(n)]
    totals = [0] * n
    for number in sorted(atoms, key=lambda number: (-atoms[number], number)):
        rank = totals.index(min(totals))
        divided[rank].append(number)
        totals[rank] += atoms[number]
    return [largest_first({number: shards[number] for number in share}) for share in divided]
