import os
import subprocess
import sys
from dataclasses import replace

import mp_crystals
import pytest
from mp_bucket import Bucket
from mp_entries import N, documents, read, texts
from mp_server import KEY, MPServer

from curate.errors import InputError
from curate.properties import UNITS
from curate.record import SkippedEntry, StructureRecord
from curate.sources.mp import MaterialsProject
from curate.sources.mp_client import MPClient
from curate.sources.mp_documents import record_of_document
from curate.web.retry import RetryPolicy

HASTY = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02)


@pytest.fixture(scope="module")
def bucket():
    with Bucket() as bucket:
        found = documents()
        bucket.put("summary", mp_crystals.table(found))
        bucket.put("robocrys", mp_crystals.table(texts(found)))
        yield bucket


@pytest.fixture
def server(monkeypatch):
    found = documents()
    with MPServer(summary=found, robocrys=texts(found)) as server:
        monkeypatch.setenv("MP_API_KEY", KEY)
        yield server


@pytest.fixture
def client(server, bucket, tmp_path, monkeypatch):
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return MPClient(server.url, tables=tmp_path / "tables", retry=HASTY)


def test_an_entry_keeps_its_ids_its_properties_and_its_licence(client):
    entry = read(MaterialsProject({"mp-3"}, client=client))["mp-3"]
    document = documents()[2]
    assert isinstance(entry, StructureRecord)
    assert entry.license == "CC-BY-4.0" and entry.source == "Materials Project"
    assert entry.properties["stored_material_id"] == "mp-aaaaaaad"
    assert entry.spacegroup_number == document["symmetry"]["number"]
    energy = document["formation_energy_per_atom"]
    assert entry.properties["formation_energy_per_atom"] == pytest.approx(energy)
    assert entry.properties["is_stable"] is False
    assert entry.properties["energy_above_hull"] is None  # not known: missing, not zero
    assert entry.properties["is_metal"] is None
    numbers = {name for name, value in entry.properties.items() if type(value) is float}
    assert numbers <= UNITS.keys()


def test_the_bulk_tables_and_rest_give_the_same_records(client):
    whole = read(MaterialsProject(client=client))
    listed = read(MaterialsProject(whole, client=client))
    assert len(whole) == N - 2  # neither the withdrawn entry nor the non-commercial one
    assert list(whole) == [f"mp-{n}" for n in range(1, N + 1) if n not in (4, 5)]
    assert whole == listed
    assert whole["mp-6"].status == "disordered"


def test_a_number_beyond_floats_costs_its_entry():
    document = documents()[0] | {"band_gap": 10**400}
    found = record_of_document(document)
    assert isinstance(found, SkippedEntry)
    assert "larger than any that can be stored" in found.error_message


def test_an_asked_id_that_is_left_out_says_why(client):
    entries = read(MaterialsProject({"mp-1", "mp-4", "mp-5", "mp-6", "mp-99"}, client=client))
    reasons = {
        material_id: (entry.status, entry.error_type)
        for material_id, entry in entries.items()
        if isinstance(entry, SkippedEntry)
    }
    assert reasons == {
        "mp-4": ("left_out", "Deprecated"),
        "mp-5": ("left_out", "NoEntry"),  # this account has not accepted GNoME's terms
        "mp-6": ("disordered", "DisorderedStructure"),
        "mp-99": ("left_out", "NoEntry"),
    }


def test_noncommercial_entries_come_only_when_asked_for_and_allowed(client, server):
    with pytest.raises(InputError, match="accept GNoME's terms"):
        read(MaterialsProject(noncommercial=True, client=client))
    server.has_gnome = True
    assert "mp-5" in read(MaterialsProject(noncommercial=True, client=client))
    assert read(MaterialsProject({"mp-5"}, client=client))["mp-5"].error_type == "NonCommercial"
    entry = read(MaterialsProject({"mp-5"}, noncommercial=True, client=client))["mp-5"]
    assert entry.license == "CC-BY-NC-4.0"
    assert "mp-5" not in read(MaterialsProject(client=client))  # although the table has it now


def test_published_texts_come_with_who_wrote_them(client):
    bulk = read(MaterialsProject(published=True, client=client))
    listed = read(MaterialsProject(bulk, published=True, client=client))
    assert bulk == listed
    assert bulk["mp-3"].description.endswith("is written by others.")
    assert bulk["mp-3"].description_origin == "Materials Project, robocrys_version 0.86.2"
    assert bulk["mp-7"].error_type == "NoPublishedText"
    own = read(MaterialsProject({"mp-3"}, client=client))["mp-3"]
    assert own == replace(bulk["mp-3"], description=None, description_origin=None)


def test_long_lists_of_ids_go_in_calls_the_server_takes(client, server):
    ids = {f"mp-{number}" for number in range(1, 1201)}
    entries = read(MaterialsProject(ids, client=client))
    assert len(entries) == 1200
    assert server.count("summary") == 3 + 3  # the latter for ids it does not have
    assert server.count("summary", 414) == 0


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, None])
def test_passing_faults_cost_nothing_but_time(client, server, status):
    for route in ("heartbeat", "summary", "robocrys"):
        server.fail(route, status, times=2)
    assert client.version() == mp_crystals.VERSION
    for search in (client.summaries, client.texts):
        [document] = search(["mp-3"], ["material_id"])
        assert document["material_id"] == "mp-aaaaaaad"
    for route in ("heartbeat", "summary", "robocrys"):
        assert server.count(route, status or 0) == 2


def test_the_server_says_how_long_to_wait(client, server):
    client.version()
    server.fail("summary", 429, retry_after=1, times=1)
    client.summaries(["mp-3"], ["material_id"])
    first, second = (call.time for call in server.calls if call.route == "summary")
    assert 1 <= second - first < 3


def test_a_server_that_stalls_is_left_after_a_while(client, server, monkeypatch):
    monkeypatch.setattr("curate.sources.mp_client.TIMEOUT", 0.2)
    server.fail("heartbeat", 200, delay=0.5, times=2)
    assert client.version() == mp_crystals.VERSION


@pytest.mark.parametrize(
    ("route", "status", "message"),
    [
        ("heartbeat", 503, "keeps answering 503 to /heartbeat; run the same command again later"),
        ("summary", 429, "keeps answering 429 to /materials/summary/"),
        ("summary", None, "the connection to the Materials Project fails"),
        ("summary", 403, "does not accept the API key"),
        ("summary", 404, "answers 404 to /materials/summary/"),
    ],
)
def test_lasting_faults_end_in_one_sentence(client, server, route, status, message):
    server.fail(route, status, times=99, body=f"<html>{KEY}</html>")
    with pytest.raises(InputError, match=message) as caught:
        client.version()
        client.summaries(["mp-3"], ["material_id"])
    assert "\n" not in str(caught.value) and KEY not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    server.faults.clear()
    assert len(client.summaries(["mp-3"], ["material_id"])) == 1


def test_an_unknown_host_is_one_sentence_at_once(monkeypatch):
    monkeypatch.setenv("MP_API_KEY", KEY)
    client = MPClient("http://nowhere.invalid/", retry=RetryPolicy(attempts=8, first_wait=60.0))
    with pytest.raises(InputError, match=r"connection to the Materials Project fails \("):
        client.version()


def test_a_page_instead_of_an_answer_is_a_passing_fault(client, server):
    server.fail("heartbeat", 200)
    assert client.version() == mp_crystals.VERSION


@pytest.mark.parametrize("status", [500, 503])
def test_the_bucket_may_fail_too(client, bucket, server, status):
    bucket.fail(status, times=2)
    assert len(read(MaterialsProject(client=client))) == N - 2
    server.version = "2027.1.1"  # another download
    bucket.fail(status, times=99)
    with pytest.raises(InputError, match=f"bucket of its bulk tables answers {status}"):
        read(MaterialsProject(client=client))
    bucket.fail(0, times=0)
    assert len(read(MaterialsProject(client=client))) == N - 2


def test_a_version_is_downloaded_once_and_a_broken_download_again(client, bucket, server, tmp_path):
    read(MaterialsProject(client=client))
    reads = bucket.n_reads
    read(MaterialsProject(client=client))
    assert bucket.n_reads == reads
    partial = tmp_path / "tables" / "2027.1.1" / "summary.partial" / "build" / "collections"
    (partial / "summary").mkdir(parents=True)
    (partial / "summary" / "group-2-part-0.zstd.parquet").write_bytes(b"half a file")
    server.version = "2027.1.1"
    whole = read(MaterialsProject(client=client))
    assert bucket.n_reads > reads and len(whole) == N - 2
    assert not list((tmp_path / "tables" / "2027.1.1").glob("*.partial"))


def test_the_version_is_the_tables_own(client, server):
    server.version = "2027.1.1"  # REST is ahead of the bucket
    assert MaterialsProject(client=client).snapshot().version == mp_crystals.VERSION
    assert MaterialsProject({"mp-1"}, client=client).snapshot().version == "2027.1.1"


def test_a_database_that_moves_on_meanwhile_is_noticed(client, server):
    source = MaterialsProject({"mp-1"}, client=client)
    source.snapshot()
    server.version = "2027.1.1"
    with pytest.raises(InputError, match=r"from 2026\.11\.1 to 2027\.1\.1 while it was read"):
        list(source.records())


@pytest.mark.parametrize("key", ["", "short", KEY[:-1] + "é", KEY + "0", "-" * 32])
def test_a_key_that_can_be_none_is_not_sent(server, monkeypatch, key):
    monkeypatch.setenv("MP_API_KEY", key)
    with pytest.raises(InputError, match="MP_API_KEY") as caught:
        MPClient(server.url)
    assert not server.calls and (not key or key not in str(caught.value))


def test_the_key_may_come_from_pymatgens_settings(tmp_path):
    (tmp_path / ".pmgrc.yaml").write_text(f"PMG_MAPI_KEY: {KEY}\n")
    environment = {name: value for name, value in os.environ.items() if name != "MP_API_KEY"}
    environment["PMG_CONFIG_FILE"] = str(tmp_path / ".pmgrc.yaml")
    code = "from curate.sources.mp_client import api_key; print(api_key())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == KEY, done.stderr
