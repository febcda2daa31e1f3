"""A dataset with LeMat-Bulk's columns on a Hub on loopback, read with the real client."""

import asyncio
import io
import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_clients import run as run_client
from hub_clients import start as start_client
from hub_server import HubServer
from huggingface_hub import HfApi
from lemat import CONFIGS, NAME, SCHEMA, card, crystals, parquet, row_of, serve, sharded
from starlette.responses import StreamingResponse

from curate.build import build as build_here
from curate.config import BuildConfig
from curate.errors import InputError
from curate.run.folder import Run
from curate.sources import hub_reader
from curate.sources.hub import HubDataset, HubSettings
from curate.sources.hub_reader import HubReader
from curate.web.retry import RetryPolicy
from curate.work import frozen_pages

HASTY = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02)
N = 60
ROWS_A_GROUP = 7
FREEZE = ("--executor", "none", "--shard-size", "5")


@pytest.fixture(scope="module")
def records():
    return crystals(N)


def build(hub: HubServer, out: Path, *arguments: object, **environment: str):
    """`curate build --db hub`, as a user runs it, with a fresh cache."""
    words = ["-m", "curate", "build", "--db", "hub", "--out", out, *arguments]
    home = out.parent / "home"
    return run_client(hub, home, *map(str, words), token=None, **environment)


def entries(out: Path) -> list:
    run = Run(out)
    return [entry for number in run.shards() for entry in run.read_structures(number)]


def frozen(out: Path) -> dict[str, bytes]:
    """The shards of a run, byte by byte."""
    return {path.name: path.read_bytes() for path in (out / "structures").glob("*.parquet")}


def species(**of: list[float]) -> str:
    """Species as JSON: `Cu_Au=[0.25, 0.75]` is a site shared by two."""
    return json.dumps(
        [
            {
                "name": name,
                "chemical_symbols": name.split("_"),
                "concentration": shares,
                "mass": None,
            }
            for name, shares in of.items()
        ]
    )


def test_the_crystals_come_with_their_numbers_units_licence_and_commit(hub, records, tmp_path):
    rows = [row_of(record) for record in records]
    commit = serve(hub, {**sharded(rows, 3, ROWS_A_GROUP), "README.md": card()})
    choice = ("--input", NAME, "--config", CONFIGS[0])
    done = build(hub, tmp_path / "run", *choice, *FREEZE)
    assert done.returncode == 0, done.stderr
    found = entries(tmp_path / "run")
    for entry, record, row in zip(found, records, rows, strict=True):
        assert entry.material_id == record.material_id
        assert entry.lattice_vectors == record.lattice_vectors
        assert entry.cartesian_site_positions == record.cartesian_site_positions
        assert entry.species_at_sites == record.species_at_sites
        assert entry.source == NAME and entry.license == "cc-by-4.0"
        assert entry.properties == {
            name: row[name]
            for name in (
                *("energy", "total_magnetization", "dos_ef", "functional"),
                *("cross_compatibility", "entalpic_fingerprint"),
            )
        }
    run = Run(tmp_path / "run")
    assert run.fetched["entries"] == N and run.fetched["shards"] == N // 5
    assert run.fetched["units"] == {"energy": "eV", "total_magnetization": "μB"}
    assert run.fetched["properties"]["cross_compatibility"] == "boolean"
    assert "no unit is known for dos_ef" in done.stderr
    snapshot = run.settings_record["source"]
    assert snapshot["version"] == f"commit {commit}, config {CONFIGS[0]}, split train"
    assert snapshot["url"] == f"{hub.url}/datasets/{NAME}/tree/{commit}"
    assert not run.reading_file.exists() and not list(run.folder.glob("*.partial"))


def test_rows_that_are_no_crystals_or_come_again_are_named(hub, records, tmp_path):
    good = records[:4]
    one = replace(records[4], material_id="one")
    first = row_of(one)["entalpic_fingerprint"]
    disordered = species(Cu_Au=[0.25, 0.75])
    lattice = [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]]
    cell = {"lattice_vectors": lattice, "cartesian_site_positions": [[0.0, 0.0, 0.0]]}
    rows = [
        *map(row_of, good),
        row_of(one),
        row_of(one, immutable_id="mixed", species=disordered, species_at_sites=["Cu_Au"], **cell),
        row_of(
            one, immutable_id="part", species=species(Na=[0.5]), species_at_sites=["Na"], **cell
        ),
        row_of(one, immutable_id="slab", dimension_types=[1, 1, 0]),
        row_of(one, immutable_id="odd", species="[{]"),
        row_of(one, immutable_id="listless", species='{"name": "Cu"}'),
        row_of(one, immutable_id="gap", cartesian_site_positions=None),
        row_of(one, immutable_id="few", species_at_sites=["Cu"] * (one.nsites + 1)),
        row_of(good[0], entalpic_fingerprint="other"),
        row_of(good[0], entalpic_fingerprint="another"),
        row_of(one, immutable_id="twin"),
        row_of(good[1], immutable_id=None),
    ]
    serve(hub, {**sharded(rows, 1, 4), "README.md": card([CONFIGS[0]])})
    for unique, twins in (((), 0), (("--unique", "fingerprint"), 1)):
        out = tmp_path / f"run{twins}"
        done = build(hub, out, "--input", NAME, *unique, *FREEZE)
        assert done.returncode == 0, done.stderr
        found = {entry.material_id: entry for entry in entries(out)}
        assert len(found) == len(rows)
        for name, status, error_type, message in (
            ("mixed", "disordered", "DisorderedStructure", "site 0 holds Cu:0.25, Au:0.75"),
            ("part", "disordered", "DisorderedStructure", "site 0 holds Na:0.5"),
            ("slab", "unreadable", "ValueError", "it is periodic in 2 of 3 directions"),
            ("odd", "unreadable", "ValueError", "its species are no JSON"),
            ("listless", "unreadable", "ValueError", "its species are not OPTIMADE's list of them"),
            (
                *("gap", "unreadable", "ValueError"),
                "the row has no cartesian_site_positions, or one with gaps",
            ),
            (
                *(f"{good[0].material_id}#13", "left_out", "RepeatedId"),
                f"an earlier entry has the id {good[0].material_id}",
            ),
            (
                *(f"{good[0].material_id}#14", "left_out", "RepeatedId"),
                f"an earlier entry has the id {good[0].material_id}",
            ),
        ):
            told = found[name]
            assert (told.status, told.error_type, told.error_message) == (
                *(status, error_type),
                message,
            )
        assert found["few"].status == "unreadable"
        assert found[f"row 15 of {CONFIGS[0]}/train-00000-of-00001.parquet"].error_type == "NoEntry"
        twin = found["twin"]
        if twins:
            assert (twin.status, twin.error_type) == ("left_out", "RepeatedFingerprint")
            assert twin.error_message == "one has the same entalpic_fingerprint"
        else:
            assert twin.properties["entalpic_fingerprint"] == first


def test_a_whole_build_describes_and_reports_them(hub, records, tmp_path):
    small = sorted(records, key=lambda record: record.nsites)[:3]
    rows = [*map(row_of, small), row_of(small[0])]
    serve(hub, {**sharded(rows, 1, 2), "README.md": card([CONFIGS[0]])})
    done = build(hub, tmp_path / "run", "--input", NAME, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "left_out: RepeatedId" in done.stdout
    table = pq.read_table(tmp_path / "run" / "dataset" / "default")
    assert table["material_id"].to_pylist() == [record.material_id for record in small]
    assert table["functional"].to_pylist() == ["pbe"] * 3
    assert table.schema.field("energy").metadata == {b"unit": b"eV"}
    text = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert f"| source | {NAME}, commit " in text and "license: cc-by-4.0" in text

    # what was published is read again, with its texts, units, space groups and rows' own licences
    serve(
        hub,
        {
            str(path.relative_to(tmp_path / "run" / "dataset")): path.read_bytes()
            for path in (tmp_path / "run" / "dataset").rglob("*")
            if path.is_file()
        },
        "ada/texts",
    )
    done = build(
        *(hub, tmp_path / "again", "--input", "ada/texts", "--descriptions", "published"),
        *("--workers", "1"),
    )
    assert done.returncode == 0, done.stderr
    again = pq.read_table(tmp_path / "again" / "dataset" / "default")
    same = [name for name in table.column_names if name != "condensed_structure"]
    assert again.select(same).to_pylist() == table.select(same).to_pylist()
    assert again.schema.field("energy").metadata == {b"unit": b"eV"}
    calls = len(hub.calls)
    assert build(hub, tmp_path / "run", "--input", NAME, "--workers", "1").returncode == 0
    assert len(hub.calls) == calls, "a finished run asks nothing of the Hub"


def test_a_killed_reading_goes_on_at_its_row_group_and_nothing_comes_twice(hub, records, tmp_path):
    rows = [row_of(record) for record in records]
    rows[31] = row_of(records[2])  # an id of before the kill, after it
    rows[45] = row_of(records[45], entalpic_fingerprint=rows[1]["entalpic_fingerprint"])
    files = sharded(rows, 3, ROWS_A_GROUP)
    serve(hub, {**files, "README.md": card()})
    choice = ("--input", NAME, "--config", CONFIGS[0], "--unique", "fingerprint", *FREEZE)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert build(hub, whole, *choice).returncode == 0

    hub.fail("resolve", delay=1.5, times=float("inf"))
    words = ["-m", "curate", "build", "--db", "hub", "--out", str(killed), *map(str, choice)]
    process = start_client(hub, tmp_path / "home", *words, token=None)
    for _ in range(600):
        if (killed / "reading.json").exists():
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.faults.clear()
    n_shards = json.loads((killed / "reading.json").read_text())["shards"]
    assert 0 < n_shards < N // 5
    written = {path.name: path.stat().st_mtime_ns for path in (killed / "structures").iterdir()}

    hub.dataset(NAME).commit("main", {}, "everything is gone", "", "lab")  # the commit stays
    hub.calls.clear()
    done = build(hub, killed, *choice)
    assert done.returncode == 0, done.stderr
    assert "entries are read already" in done.stderr
    assert frozen(killed) == frozen(whole)
    assert Run(killed).fetched == Run(whole).fetched
    for name, modified in written.items():
        number = int(name.split(".")[0]) if name.endswith(".parquet") else n_shards
        if number < n_shards:  # the others were written after the note
            assert (killed / "structures" / name).stat().st_mtime_ns == modified
    found = entries(killed)
    assert len({entry.material_id for entry in found}) == len(found) == N
    assert found[31].material_id == f"{records[2].material_id}#32"
    assert found[45].error_type == "RepeatedFingerprint"


def test_workers_freeze_the_same_bytes(hub, records, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_reader, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(frozen_pages, "ROWS_ALONE", 10)
    rows = [row_of(record) for record in records]
    rows[31] = row_of(records[2])
    rows[33] = row_of(records[32])
    rows[40] = row_of(records[40], immutable_id=None)
    rows[41] = row_of(records[41], species="[{]")
    for number, other in ((45, 1), (51, 50)):
        fingerprint = rows[other]["entalpic_fingerprint"]
        rows[number] = row_of(records[number], entalpic_fingerprint=fingerprint)
    serve(hub, {**sharded(rows, 3, ROWS_A_GROUP), "README.md": card()})
    ids = tmp_path / "ids"
    ids.write_text("\n".join(row["immutable_id"] for row in rows[::2] if row["immutable_id"]))
    for name, more in {"all": {}, "some": {"limit": 23, "ids": ids}}.items():
        found = []
        for workers in (1, 2):
            source = dataset(hub, config=CONFIGS[0], unique="fingerprint")
            settings = BuildConfig(
                source=source.settings,
                out=tmp_path / f"{name}-{workers}",
                executor="none",
                shard_size=5,
                workers=workers,
                **more,
            )
            build_here(settings, source=source)
            found.append(
                {
                    str(path.relative_to(settings.out)): path.read_bytes()
                    for path in settings.out.rglob("*")
                    if path.is_file()
                }
            )
        assert found[0] == found[1] and len(found[0]) > 7
    told = {entry.material_id: entry for entry in entries(tmp_path / "all-2")}
    assert told[f"{records[32].material_id}#34"].error_type == "RepeatedId"
    assert told[f"row 0 of {CONFIGS[0]}/train-00002-of-00003.parquet"].error_type == "NoEntry"
    assert told[records[51].material_id].error_type == "RepeatedFingerprint"


@pytest.mark.parametrize(
    "faults",
    [
        [{"status": 503}, {"status": 500}],
        [{"status": 429, "retry_after": 1}],
        [{"drop": True}],
        [{"cut": True}, {"cut": True}],
        [{"short": True}],
    ],
    ids=lambda faults: "+".join(str(next(iter(fault.items()))) for fault in faults),
)
def test_what_the_hub_does_changes_no_row(hub, records, tmp_path, faults):
    rows = [row_of(record) for record in records[:30]]
    serve(hub, {**sharded(rows, 2, ROWS_A_GROUP), "README.md": card([CONFIGS[0]])})
    for fault in faults:
        hub.fail("storage", **fault)
    hub.fail("info", 503)
    hub.fail("tree", 503)
    done = build(hub, tmp_path / "run", "--input", NAME, *FREEZE)
    assert done.returncode == 0, done.stderr
    assert not any(fault.times for fault in hub.faults)
    found = entries(tmp_path / "run")
    assert [entry.material_id for entry in found] == [r.material_id for r in records[:30]]
    assert [entry.lattice_vectors for entry in found] == [r.lattice_vectors for r in records[:30]]
    assert "Traceback" not in done.stderr


def dataset(hub: HubServer, input: str = NAME, **settings) -> HubDataset:
    """The source in this process, which gives up after a moment."""
    reader = HubReader(input, retry=HASTY, api=HfApi(endpoint=hub.url, token=False))
    return HubDataset(HubSettings(input=input, **settings), reader=reader)


def why_not(source: HubDataset) -> str:
    with pytest.raises(InputError) as refused:
        source.snapshot()
        list(source.records())
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("files", "settings", "sentence"),
    [
        (
            {"LeMat-Bulk.py": b"print()", "a.parquet": b""},
            {},
            "a dataset with a script, LeMat-Bulk.py",
        ),
        ({"data/x.pkl": b"\x80"}, {}, "data/x.pkl: files that may hold pickles are not opened"),
        (
            {"train.aselmdb": b"\x80"},
            {},
            "train.aselmdb: download it, and read it with --db ase --input FILE",
        ),
        ({"train.jsonl": b"{}"}, {}, "is read with --revision refs/convert/parquet"),
        ({"README.md": card(["one", "two"])}, {}, "has the configs one, two; choose with --config"),
        ({"README.md": card(["one"])}, {"config": "two"}, "no config 'two'; --config takes one"),
        ({"README.md": card(["one"])}, {"split": "test"}, "no split 'test'; --split takes train"),
        ({"README.md": card(["one"])}, {}, "has no file for config one, split train"),
        (
            {"README.md": card(["one"]), "one/train-0.pkl": b"\x80"},
            {},
            "has its rows in one/train-0.pkl: files that may hold pickles are not opened",
        ),
        ({"one/train/0.parquet": b"", "two/train/0.parquet": b""}, {}, "choose with --config"),
        ({"one/train/0.parquet": b""}, {"config": "two"}, "no config 'two': its card lists none"),
        ({"test-0.parquet": b""}, {}, "no split 'train'; --split takes test"),
        ({"train.parquet": b""}, {}, "train.parquet is 0 bytes long, which no table is"),
        ({"train.parquet": b"PAR1" * 20}, {}, "train.parquet is no Parquet file, or is cut off"),
        ({"train.parquet": b"\xff" * 90 + b"\x09\0\0\0PAR1"}, {}, "it can't be read ("),
    ],
)
def test_what_is_no_dataset_of_crystals_in_parquet_is_refused(hub, files, settings, sentence):
    serve(hub, files)
    assert sentence in why_not(dataset(hub, **settings))


def table(**columns) -> dict[str, bytes]:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return {"train.parquet": sink.getvalue()}


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"text": ["a"]}, "has no column immutable_id or material_id or id, lattice_vectors"),
        (
            {
                "id": ["a"],
                "lattice_vectors": [b"\x80"],
                "cartesian_site_positions": [[[0.0]]],
                "species_at_sites": [["H"]],
            },
            "its column lattice_vectors is binary, not a list of lists of three numbers",
        ),
        (
            {
                "id": ["a"],
                "lattice_vectors": [[[0.0]]],
                "cartesian_site_positions": [[[0.0]]],
                "species_at_sites": [[1]],
            },
            "its column species_at_sites is list<element: int64>, not a list of texts",
        ),
    ],
)
def test_other_columns_are_refused_by_name(hub, columns, sentence):
    serve(hub, table(**columns))
    assert sentence in why_not(dataset(hub))


def test_settings_that_the_columns_do_not_allow(hub, records):
    rows = [row_of(record) for record in records[:2]]
    serve(hub, {"train.parquet": parquet(rows, 2, SCHEMA.remove(len(SCHEMA) - 1))})
    assert "has no column entalpic_fingerprint or bawl" in why_not(
        dataset(hub, unique="fingerprint")
    )
    assert "has no column description" in why_not(dataset(hub, descriptions="published"))
    with pytest.raises(InputError, match="write OWNER/NAME"):
        HubSettings(input="LeMat-Bulk").check()
    with pytest.raises(InputError, match="needs --input"):
        HubSettings().check()
    stated = dataset(hub, license="MIT")
    assert stated.snapshot().license == "MIT"
    assert {entry.license for entry in stated.records()} == {"MIT"}
    unknown = dataset(hub)
    assert unknown.snapshot().license == "unknown"


def test_numbers_of_other_types_mean_the_same(hub, records):
    """Tables that pandas wrote have floats for whole numbers with gaps, and large texts."""
    rows = [
        row_of(record, space_group_it_number=float(record.spacegroup_number))
        for record in records[:2]
    ]
    rows[1]["space_group_it_number"] = None
    kinds = {
        **{field.name: field.type for field in SCHEMA},
        "space_group_it_number": pa.float64(),
        "immutable_id": pa.large_string(),
        "functional": pa.dictionary(pa.int8(), pa.string()),
        "cartesian_site_positions": pa.large_list(pa.list_(pa.float32(), 3)),
    }
    serve(hub, {"train.parquet": parquet(rows, 2, pa.schema(kinds))})
    source = dataset(hub)
    source.snapshot()
    first, second = source.records()
    assert first.spacegroup_number == records[0].spacegroup_number
    assert isinstance(first.spacegroup_number, int) and second.spacegroup_number is None
    assert first.properties["functional"] == "pbe"
    places = zip(first.cartesian_site_positions, records[0].cartesian_site_positions, strict=True)
    assert all(found == pytest.approx(known, abs=1e-6) for found, known in places)


def test_a_file_with_other_columns_ends_the_reading(hub, records):
    rows = [row_of(record) for record in records[:2]]
    renamed = SCHEMA.names
    renamed[renamed.index("immutable_id")] = "id"
    other = pq.read_table(io.BytesIO(parquet(rows, 2))).rename_columns(renamed)
    sink = io.BytesIO()
    pq.write_table(other, sink)
    serve(hub, {"train-0.parquet": parquet(rows, 2), "train-1.parquet": sink.getvalue()})
    assert "train-1.parquet names its crystals by id" in why_not(dataset(hub))


def test_a_revision_is_read_as_it_was_and_a_config_by_its_folder(hub, records):
    rows = [row_of(record) for record in records[:4]]
    old = serve(hub, {f"{name}/train/0000.parquet": parquet(rows[:2], 1) for name in ("a", "b")})
    serve(hub, {f"{name}/train/0000.parquet": parquet(rows[2:], 1) for name in ("a", "b")})
    for revision, expected in ((None, records[2:4]), (old, records[:2]), (old[:9], records[:2])):
        source = dataset(hub, config="b", revision=revision)
        assert f"/tree/{old if revision else hub.dataset(NAME).head.oid}" in source.snapshot().url
        assert [e.material_id for e in source.records()] == [r.material_id for r in expected]
    assert "there is no such --revision" in why_not(dataset(hub, config="b", revision="v9"))
    assert "there is no such dataset" in why_not(dataset(hub, "LeMaterial/None"))


def test_any_row_can_be_gone_on_with(hub, records, monkeypatch):
    monkeypatch.setattr(hub_reader, "BYTES_AT_ONCE", 9_000)  # some row groups together, some alone
    monkeypatch.setattr(hub_reader, "BUFFER", 1_000)
    monkeypatch.setattr(hub_reader, "ROWS_AT_ONCE", 3)
    rows = [row_of(record) for record in records[:25]]
    serve(hub, {**sharded(rows, 2, 5), "README.md": card([CONFIGS[0]])})
    source = dataset(hub)
    source.snapshot()
    whole = list(source.entries_after(None))
    assert [entry.material_id for _, entry in whole] == [r.material_id for r in records[:25]]
    for n, (position, _) in enumerate(whole, 1):
        assert list(source.entries_after(position)) == whole[n:]
    with pytest.raises(InputError, match="has no file gone"):
        next(source.entries_after({"file": "gone", "row": 1}))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"status": 503}, "the Hub keeps answering 503"),
        ({"status": 403}, "the Hub answers 403"),
        ({"status": 429, "retry_after": 10**6}, "asks to wait 1,000,000 s, and at most 900 s"),
        ({"short": True}, "bytes came where"),
    ],
)
def test_a_hub_that_keeps_failing_is_one_sentence(hub, records, monkeypatch, fault, sentence):
    rows = [row_of(record) for record in records[:2]]
    serve(hub, {**sharded(rows, 1, 5), "README.md": card([CONFIGS[0]])})
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.fail("storage", times=float("inf"), **fault)
    assert sentence in why_not(dataset(hub))


def test_an_answer_without_end_is_cut(hub, records, monkeypatch):
    rows = [row_of(record) for record in records[:2]]
    serve(hub, {**sharded(rows, 1, 5), "README.md": card([CONFIGS[0]])})
    monkeypatch.setattr("curate.web.hub_client.LARGEST_ANSWER", 200)
    assert "sends more than 200 bytes in one answer" in why_not(dataset(hub))
    monkeypatch.undo()
    sha = next(iter(hub.dataset(NAME).objects))
    monkeypatch.setattr("hub_server._ranged", endless)
    assert "localhost sends more than 4 bytes" in why_not(dataset(hub)), sha


def endless(request, data, headers):
    """A range that does not end."""

    async def pieces():
        while True:
            yield b"0" * 1000
            await asyncio.sleep(0.01)

    return StreamingResponse(pieces(), 206, headers)


def test_an_update_follows_the_branch_to_its_newest_commit(hub, records, tmp_path):
    rows = [row_of(record) for record in sorted(records, key=lambda record: record.nsites)[:4]]
    choice = ("--input", NAME, "--workers", 1, "--update")
    serve(hub, {**sharded(rows[:3], 1, 2), "README.md": card([CONFIGS[0]])})
    assert build(hub, tmp_path / "run", *choice).returncode == 0
    again = build(hub, tmp_path / "run", *choice)
    assert "nothing has changed since" in again.stderr
    assert not list((tmp_path / "run").rglob("update*"))
    rows[0] = {**rows[0], "energy": -1.0}
    commit = serve(hub, sharded(rows, 1, 2))
    done = build(hub, tmp_path / "run", *choice)
    assert done.returncode == 0, done.stderr
    assert "1 new, 1 properties" in done.stderr
    assert commit in Run(tmp_path / "run").settings_record["source"]["version"]
    found = pq.read_table(tmp_path / "run" / "dataset" / "default").to_pylist()
    assert [row["material_id"] for row in found] == [row["immutable_id"] for row in rows]
    assert found[0]["energy"] == -1.0
