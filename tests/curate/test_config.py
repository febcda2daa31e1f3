"""Each source brings its own flags; `--db` chooses, and what does not fit is refused."""

import json
from dataclasses import MISSING, fields

import pytest
from commands import curate

from curate.build import build, settings_record
from curate.config import BuildConfig, SlurmConfig, build_flags
from curate.describe.description import DescribeOptions
from curate.errors import InputError
from curate.sources import DEFAULT, SOURCES, settings_class
from curate.sources.base import SourceSettings
from curate.sources.jarvis import JarvisSettings
from curate.sources.mp import MPSettings
from curate.sources.sample import Sample

COMMON = {
    field.name for part in (BuildConfig, DescribeOptions, SlurmConfig) for field in fields(part)
}


def flags(db: str) -> set[str]:
    return {field.name for field in fields(settings_class(db))}


@pytest.mark.parametrize("db", SOURCES)
def test_a_registered_source_has_settings_of_its_own(db):
    settings = settings_class(db)
    assert issubclass(settings, SourceSettings) and settings.db == db
    assert all(field.default is not MISSING for field in fields(settings))
    assert flags(db).isdisjoint(COMMON)


@pytest.mark.parametrize("db", SOURCES)
def test_the_help_shows_the_flags_that_fit(db):
    shown = curate("build", "--db", db, "--help").stdout
    every = set().union(*map(flags, SOURCES))
    words = set(shown.replace(",", " ").split())
    offered = {name for name in every if f"--{name.replace('_', '-')}" in words}
    assert offered == flags(db)
    assert " --shard-size" in shown


def test_the_help_without_a_source_shows_the_common_flags_and_the_sources():
    shown = curate("build", "--help").stdout
    assert " --shard-size" in shown and " --site-labels" in shown
    assert all(db in shown for db in SOURCES)
    assert not any(f" --{name.replace('_', '-')}" in shown for name in flags("mp"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--filter", "x"], "--filter belongs to --db optimade, not to --db jarvis"),
        (["--db=mp", "--no-sample"], "--no-sample belongs to --db jarvis, not to --db mp"),
        (["--db", "files", "--include_noncommercial"], "belongs to --db mp, not to --db files"),
        (
            ["--license=MIT"],
            "--license belongs to --db optimade, hub, files or ase, not to --db jarvis",
        ),
        (["--db", "oqmd"], "--db oqmd: unknown database; known: jarvis, mp, optimade"),
    ],
)
def test_a_flag_of_another_source_is_refused_by_its_name(words, sentence):
    with pytest.raises(InputError, match=sentence):
        build_flags(words)


def test_the_last_choice_counts_and_jarvis_is_the_default():
    assert issubclass(build_flags(["--db", "mp", "--db", "files", "--input", "x"]), BuildConfig)
    assert settings_class(DEFAULT) is JarvisSettings
    assert BuildConfig(out=None).source == JarvisSettings()


def test_what_is_recorded_follows_from_the_settings(tmp_path):
    config = BuildConfig(out=tmp_path, source=MPSettings(descriptions="published"))
    assert settings_record(config, Sample())["settings"] == {
        "db": "mp",
        "descriptions": "published",
        "include_noncommercial": False,
        "limit": None,
        "ids_sha256": None,
        "shard_size": 200,
        "tokenizer": "minilm",
        "timeout": 300.0,
        "memory": 4.0,
    }
    assert JarvisSettings(sample=True, mirror="x").recorded() == {"snapshot": "dft_3d_2021"}


def test_a_run_of_version_0_1_0_continues(tmp_path):
    """Its run.json names the settings of all sources."""
    config = BuildConfig(out=tmp_path, limit=1, source=JarvisSettings(sample=True), workers=1)
    first = build(config)
    file = tmp_path / "run.json"
    record = json.loads(file.read_text())
    others = {"filter": None, "descriptions": "own", "include_noncommercial": False}
    assert not others.keys() & record["settings"].keys()
    record["settings"] |= others
    file.write_text(json.dumps(record))
    assert build(config) == first
    record["settings"]["descriptions"] = "published"
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match="settings descriptions was published, now own"):
        build(config)
