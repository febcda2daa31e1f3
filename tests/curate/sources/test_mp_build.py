"""Whole builds from the Materials Project, with the servers of the other tests on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import mp_crystals
import pyarrow.parquet as pq
import pytest
from mp_bucket import Bucket
from mp_server import KEY, MPServer

from curate.build import previous_run, settings_record
from curate.config import BuildConfig
from curate.errors import InputError
from curate.run.folder import Run
from curate.sources.mp import MaterialsProject, MPSettings
from curate.sources.mp_client import MPClient

IDS = ("mp-9", "mp-aaaaaaak", "mp-11", "mp-12", "mp-4000")  # mp-10 as the database stores it


@pytest.fixture(scope="module")
def server():
    documents = list(mp_crystals.summaries(30))
    texts = [mp_crystals.text_of(document, "Written by others.") for document in documents]
    del texts[11]  # mp-12
    with MPServer(summary=documents, robocrys=texts) as server:
        yield server


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def curate(server: MPServer, *arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "curate", "build", "--db", "mp", "--workers", "1", *arguments],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            **server.environment,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "PYTHONWARNINGS": "default",
            **environment,
        },
    )


def rows_of(run: str, part: str = "default") -> dict[str, dict]:
    table = pq.read_table(Path(run) / "dataset" / part)
    return {row["material_id"]: row for row in table.to_pylist()}


def holds_key(folder: Path) -> list[Path]:
    """The files in which the key can be read, what is compressed included."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            if path.suffix == ".parquet":
                text += str(pq.read_table(path, partitioning=None).to_pylist())
            if KEY in text:
                found.append(path)
    return found


def test_a_list_of_ids_with_published_texts(server, place):
    build = ("--ids", "ids.txt", "--descriptions", "published", "--out", "run")
    server.fail("summary", 403, body=f"<html>{KEY} is not known</html>")
    done = curate(server, *build)
    assert done.returncode == 2 and "does not accept the API key" in done.stderr
    assert "Traceback" not in done.stderr and KEY not in done.stderr and holds_key(place) == []

    for route in ("heartbeat", "summary", "robocrys"):  # the server prints the key it was sent
        server.fail(route, 503, times=2, retry_after=0, body=f"<html>x-api-key: {KEY}</html>")
    done = curate(server, *build)
    assert done.returncode == 0, done.stderr
    assert "503" in done.stderr and KEY not in done.stderr + done.stdout
    assert "left_out: NoPublishedText" in done.stdout and "left_out: NoEntry" in done.stdout
    assert holds_key(place) == []

    rows = rows_of("run")
    assert list(rows) == ["mp-10", "mp-11", "mp-9"]
    row = rows["mp-10"]
    assert row["stored_material_id"] == "mp-aaaaaaak" and row["license"] == "CC-BY-4.0"
    assert row["description"] == "Written by others."
    assert row["description_origin"] == "Materials Project, robocrys_version 0.86.2"
    assert row["is_metal"] is None and row["energy_above_hull"] is None
    schema = pq.read_schema(next(Path("run/dataset/default").glob("*.parquet")))
    assert schema.field("volume").metadata == {b"unit": "Å³".encode()}
    assert schema.field("formation_energy_per_atom").metadata == {b"unit": b"eV/atom"}
    assert Run(Path("run")).settings_record["source"]["version"] == mp_crystals.VERSION
    card = Path("run/dataset/README.md").read_text()
    assert f"| source | Materials Project, {mp_crystals.VERSION}" in card
    assert "sha256 of what was read" not in card

    calls = len(server.calls)
    again = curate(server, *build, MP_API_KEY="", MP_API_ENDPOINT="http://127.0.0.1:9/")
    assert again.returncode == 0, again.stderr  # what is frozen needs neither server nor key
    assert len(server.calls) == calls


def test_the_whole_database_by_its_bulk_tables(server, place):
    with Bucket() as bucket:
        bucket.put("summary", mp_crystals.table(server.summary))
        bucket.put("robocrys", mp_crystals.table(server.robocrys))
        environment = {**bucket.environment, "MPRESTER_LOCAL_DATASET_CACHE": str(place / "tables")}
        done = curate(
            server, "--descriptions", "published", "--out", "run", "--strict", **environment
        )
    assert done.returncode == 1, done.stderr  # one entry has no published text
    assert len(rows_of("run")) == 29 and len(rows_of("run", "manifest")) == 30
    assert rows_of("run", "manifest")["mp-12"]["error_type"] == "NoPublishedText"
    assert Run(Path("run")).settings_record["source"]["version"] == mp_crystals.VERSION
    assert holds_key(place) == [] and KEY not in done.stderr + done.stdout


def test_an_unfinished_run_is_not_mixed_with_a_newer_database(server, place, monkeypatch):
    monkeypatch.setenv("MP_API_KEY", KEY)
    client = MPClient(server.url)
    config = BuildConfig(out=place / "run", source=MPSettings())
    first = MaterialsProject({"mp-1"}, client=client)
    run = Run(config.out)
    run.check_settings(settings_record(config, first))  # stopped before anything was read
    previous = previous_run(run)
    assert previous is not None and not previous.is_complete
    server.version, before = "2027.1.1", server.version
    with pytest.raises(
        InputError, match=r"from 2026\.11\.1 to 2027\.1\.1 before all entries were read"
    ):
        MaterialsProject({"mp-1"}, previous=previous, client=client).snapshot()
    server.version = before
    MaterialsProject({"mp-1"}, previous=previous, client=client).snapshot()


def test_an_update_takes_in_what_the_database_changed(place):
    """One entry is withdrawn, one is relaxed again, one measured again and one new, asked for or not."""
    documents = list(mp_crystals.summaries(6))
    (place / "ids.txt").write_text("\n".join(f"mp-{number}" for number in (1, 2, 3, 4, 7)))
    build = ("--ids", "ids.txt", "--out", "run", "--update")
    with MPServer(summary=documents) as server:
        done = curate(server, *build)
        assert done.returncode == 0, done.stderr
        before = rows_of("run")
        done = curate(server, *build)
        assert "nothing has changed since" in done.stderr
        server.version = "2027.1.1"
        documents[1]["deprecated"] = True
        for row in documents[2]["structure"]["lattice"]["matrix"]:
            row[:] = [1.02 * x for x in row]
        documents[3]["band_gap"] = 5.5
        documents.append(next(mp_crystals.summaries(1, first=7)))
        done = curate(server, *build)
        assert done.returncode == 0, done.stderr
        assert "1 new, 1 structure, 1 properties, 1 withdrawn" in done.stderr
        anew = curate(server, *build[:2], "--out", "anew")
    assert anew.returncode == 0, anew.stderr
    rows = rows_of("run")
    assert rows == rows_of("anew") and list(rows) == ["mp-1", "mp-3", "mp-4", "mp-7"]
    assert rows["mp-4"]["description"] == before["mp-4"]["description"]
    assert rows["mp-4"]["band_gap"] == 5.5
    assert rows_of("run", "manifest")["mp-2"]["error_type"] == "Deprecated"
    assert Run(Path("run")).settings_record["source"]["version"] == "2027.1.1"
    changes = {row["material_id"]: row for row in rows_of("run", "changes").values()}
    assert changes["mp-4"]["fields"] == ["band_gap"] and changes["mp-7"]["change"] == "new"
    assert "lattice_vectors" in changes["mp-3"]["fields"]
    assert holds_key(place) == []


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        ((), {"MP_API_KEY": ""}, "--db mp needs an API key in MP_API_KEY"),
        ((), {"MP_API_KEY": "tooshortakey"}, "one has 32 letters and digits"),
        (
            ("--input", "x"),
            {},
            "--input belongs to --db jarvis, optimade, hub, files, ase, crysmmnet or matbench, not to "
            "--db mp",
        ),
        (("--sample",), {}, "--sample belongs to --db jarvis"),
        (
            ("--ids", "ids.txt"),
            {},
            "JVASP-1002 is not an id of the Materials Project, such as mp-149",
        ),
        (
            ("--db", "jarvis", "--descriptions", "published"),
            {},
            "--descriptions belongs to --db mp",
        ),
    ],
)
def test_a_users_mistake_costs_no_request(server, place, arguments, environment, sentence):
    (place / "ids.txt").write_text("mp-149\nJVASP-1002\n")
    calls = len(server.calls)
    done = curate(server, *arguments, "--out", "run", HOME=str(place), **environment)
    assert done.returncode == 2 and sentence in done.stderr, done.stderr
    assert "tooshortakey" not in done.stderr and "Traceback" not in done.stderr
    assert len(server.calls) == calls
