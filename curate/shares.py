"""Atom counts of shards in; the order they are described in, and who describes which, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BASE_ATOMS = 20  # any crystal costs about as much as this many atoms do, before its own count

Sizes = Mapping[int, Sequence[int]]  # atoms of each crystal, by number of the shard


def longest_first(sizes: Sequence[int]) -> list[int]:
    """Positions within a shard, largest cell first: one started last would keep a worker busy alone."""
    return sorted(range(len(sizes)), key=lambda position: -sizes[position])


def largest_first(shards: Sizes) -> list[int]:
    """The shards by their largest cell, so that what is described last is small everywhere."""
    return sorted(shards, key=lambda number: (-max(shards[number], default=0), number))


def shares(shards: Sizes, n: int) -> list[list[int]]:
    """The shards in n shares of nearly equal cost; the same shards always give the same shares.

    The costliest shard goes first, each to the share with the least so far.
    """
    costs = {number: cost(sizes) for number, sizes in shards.items()}
    divided: list[list[int]] = [[] for _ in range(n)]
    totals = [0] * n
    for number in sorted(costs, key=lambda number: (-costs[number], number)):
        rank = totals.index(min(totals))
        divided[rank].append(number)
        totals[rank] += costs[number]
    return [largest_first({number: shards[number] for number in share}) for share in divided]


def cost(sizes: Sequence[int]) -> int:
    """What a shard costs, in atoms."""
    return sum(sizes) + BASE_ATOMS * len(sizes)
