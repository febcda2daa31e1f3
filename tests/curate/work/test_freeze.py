"""Entries as they are frozen: in shards that grow with the source, resumed where a build was killed, the same
whatever the number of workers."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builds import Crystals, some
from paged import Paged, numbered

from curate.build import build
from curate.config import BuildConfig
from curate.errors import InputError
from curate.record import SkippedEntry
from curate.run.folder import Run
from curate.work import freeze, frozen_pages

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
    monkeypatch.setattr(frozen_pages, "ROWS_ALONE", 5)


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


def frozen(out: Path) -> dict[str, bytes]:
    """What a run folder holds, byte by byte."""
    return {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }


def freeze_all(out: Path, source, workers: int, **settings) -> dict[str, bytes]:
    build(
        BuildConfig(out=out, shard_size=2, executor="none", workers=workers, **settings),
        source=source,
    )
    return frozen(out)


def with_repeats(n: int) -> list:
    """Crystals of which some have the id of another, in the same page or in an earlier one."""
    given = numbered(n)
    for number, other in ((4, 3), (13, 2), (14, 2), (20, 19), (n - 1, n - 2)):
        given[number] = replace(given[number], material_id=given[other].material_id)
    given[9] = replace(given[9], properties={"only": True})
    given[14] = replace(given[14], properties={"of one left out": 1.0})
    given[16] = SkippedEntry("c-16", "unreadable", "ValueError", "no")
    return given


def test_workers_freeze_what_one_process_does(tmp_path):
    given = with_repeats(31)
    expected = freeze_all(tmp_path / "one", Paged(given, 7), 1)
    assert freeze_all(tmp_path / "two", Paged(given, 4), 2) == expected
    entry_by_entry = Numbered(given)
    entry_by_entry.unique_by = ("material_id",)
    same = freeze_all(tmp_path / "three", entry_by_entry, 1)
    assert same == expected
    run = Run(tmp_path / "one")
    assert "only" in run.fetched["properties"]
    assert "of one left out" not in run.fetched["properties"]
    ids = [each for number in run.shards() for each in run.ids(number)]
    assert ids[13:15] == ["c-2#14", "c-2#15"] and ids[4] == "c-3#5" and ids[20] == "c-19#21"


def test_a_limit_and_a_list_of_ids_choose_the_same_of_any_pages(tmp_path):
    given = numbered(31)
    ids = tmp_path / "ids"
    ids.write_text("\n".join(f"c-{number}" for number in range(0, 31, 3)))
    for settings in ({"limit": 19}, {"limit": 4, "ids": ids}):
        entry_by_entry = freeze_all(tmp_path / "one", Numbered(given), 1, **settings)
        workers = freeze_all(tmp_path / "two", Paged(given, 4), 2, **settings)
        assert workers == entry_by_entry
        shutil.rmtree(tmp_path / "one"), shutil.rmtree(tmp_path / "two")
    ids.write_text("c-3\nc-31")
    with pytest.raises(InputError, match="the source has no entry c-31"):
        freeze_all(tmp_path / "two", Paged(given, 4), 2, ids=ids)


def test_what_was_read_before_an_error_is_kept_and_gone_on_with(tmp_path):
    given = with_repeats(31)
    expected = freeze_all(tmp_path / "whole", Paged(given, 4), 1)
    with pytest.raises(InputError, match="row 27 can't be read"):
        freeze_all(tmp_path / "broken", Paged(given, 4, 27), 2)
    assert (
        Run(tmp_path / "broken").reading["shards"] == 5
    )  # of 2, 2, 4, 4 and 7 of the 24 before it
    assert freeze_all(tmp_path / "broken", Paged(given, 4), 2) == expected


def test_a_row_that_no_worker_survives_costs_itself(tmp_path):
    given = numbered(31)
    freeze_all(tmp_path / "run", Paged(given, 4, ends="c-13"), 2)
    run = Run(tmp_path / "run")
    entries = [entry for number in run.shards() for entry in run.read_structures(number)]
    lost = [entry for entry in entries if isinstance(entry, SkippedEntry)]
    assert [(entry.material_id, entry.status) for entry in lost] == [("row 13", "crashed")]
    assert lost[0].error_message == "the worker exited with code 3"
    assert [entry for entry in entries if entry != lost[0]] == given[:13] + given[14:]
    assert entries.index(lost[0]) == 13


def test_an_id_that_must_not_come_twice_ends_the_build_with_any_workers(tmp_path):
    given = with_repeats(31)
    for workers in (1, 2):
        source = Paged(given, 4)
        source.unique_by = ()
        with pytest.raises(InputError, match="the source holds two entries with the id c-3"):
            freeze_all(tmp_path / str(workers), source, workers)
