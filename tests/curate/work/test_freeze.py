"""Entries as they are frozen: in shards that grow with the source, resumed where a build was killed."""

from dataclasses import replace

import pytest
from builds import Crystals, some

from curate.build import build
from curate.config import BuildConfig
from curate.run.folder import Run
from curate.work import freeze

CRYSTALS = [replace(some(1)[0], material_id=f"c-{number}") for number in range(23)]


class Numbered(Crystals):
    """A source that goes on after an entry, and may break off."""

    breaks_at = None

    def entries_after(self, position):
        first = 0 if position is None else position["next"]
        for number, record in enumerate(self.given[first:], first):
            if number == self.breaks_at:
                raise KeyboardInterrupt
            yield {"next": number + 1}, record


@pytest.fixture(autouse=True)
def grows_soon(monkeypatch):
    monkeypatch.setattr(freeze, "GROWTH", ((10, 25), (4, 2)))
    monkeypatch.setattr(freeze, "LARGEST_SHARD", 7)


def test_shards_of_a_large_source_are_larger():
    assert [freeze.entries_of_shard(n, 2) for n in (0, 3, 4, 9, 10, 99)] == [2, 2, 4, 4, 7, 7]
    assert freeze.entries_of_shard(99, 8) == 8  # never fewer than asked for


def test_an_interrupted_reading_goes_on_with_shards_of_the_same_sizes(tmp_path):
    configs = [
        BuildConfig(out=tmp_path / name, shard_size=2, executor="none") for name in ("one", "two")
    ]
    build(configs[0], source=Numbered(CRYSTALS))
    broken = Numbered(CRYSTALS)
    broken.breaks_at = 9
    with pytest.raises(KeyboardInterrupt):
        build(configs[1], source=broken)
    assert Run(configs[1].out).reading["shards"] == 3
    build(configs[1], source=Numbered(CRYSTALS))
    one, two = (Run(config.out) for config in configs)
    assert [size.entries for size in one.sizes(one.shards()).values()] == [2, 2, 4, 4, 7, 4]
    assert one.fetched == two.fetched
    assert [one.ids(n) for n in one.shards()] == [two.ids(n) for n in two.shards()]
