"""A database behind optimade-python-tools' own server on loopback, read with its client."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from file_server import FileServer
from optimade_server import (
    DISORDERED,
    IMPLIED,
    SILENT,
    SLAB,
    UNKNOWN,
    OptimadeServer,
    documents,
)

from curate.errors import InputError
from curate.record import SkippedEntry, StructureRecord
from curate.run.folder import Run
from curate.sources.base import Request
from curate.sources.optimade import Optimade, OptimadeSettings, license_of
from curate.sources.optimade_client import OptimadeReader
from curate.sources.optimade_entries import record_of_entry
from curate.sources.sample import Sample
from curate.web.retry import RetryPolicy

HASTY = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02)
N = 45
LICENSE = "https://spdx.org/licenses/CC-BY-4.0"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """It allows 40 entries a page, gives 20 where none are asked for, and tells its licence."""
    folder = tmp_path_factory.mktemp("optimade")
    with OptimadeServer(folder, documents(N), page_limit_max=40, license=LICENSE) as server:
        yield server


@pytest.fixture(autouse=True)
def healthy(server):
    server.fail()
    yield


def source(server, filter=None, **fields) -> Optimade:
    return Optimade(server.url, filter, client=OptimadeReader(server.url, retry=HASTY), **fields)


def read(source: Optimade) -> dict[str, StructureRecord | SkippedEntry]:
    source.snapshot()
    return {entry.material_id: entry for entry in source.records()}


def curate(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "curate", "build", "--db", "optimade", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
    )


def test_all_pages_come_and_keep_the_crystals(server):
    entries = read(source(server))
    assert list(entries) == [f"tst-{number}" for number in range(1, N + 1)]
    for entry, known in zip(entries.values(), Sample().records(), strict=False):
        if isinstance(entry, StructureRecord):
            assert entry.species_at_sites == known.species_at_sites
            assert entry.to_pymatgen().matches(known.to_pymatgen())
            assert entry.spacegroup_number == known.spacegroup_number
            assert entry.source == "tst" and entry.license == "CC-BY-4.0"
            energy = known.properties["formation_energy_peratom"]
            assert entry.properties == {"_tst_energy": pytest.approx(energy)}  # no text


def test_what_is_no_ordered_crystal_is_refused_with_the_reason(server):
    entries = read(source(server))
    reasons = {
        material_id: (entry.status, entry.error_message)
        for material_id, entry in entries.items()
        if isinstance(entry, SkippedEntry)
    }
    assert reasons == {
        DISORDERED: ("disordered", "site 0 holds Cu:0.25, Au:0.75"),
        UNKNOWN: ("dummy_species", "site 0 holds X, an element that is not known"),
        IMPLIED: ("unreadable", "it has atoms without positions (implicit_atoms)"),
        SLAB: ("unreadable", "it is periodic in 2 of 3 directions"),
        SILENT: ("unreadable", "the server gives no cartesian_site_positions"),
    }


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"structure_features": ["assemblies"]}, "disordered"),
        ({"species": [{"name": "Na", "chemical_symbols": ["vacancy"]}]}, "disordered"),
        (
            {
                "species": [
                    {"name": "Na", "chemical_symbols": ["O"], "attached": ["H"], "nattached": [1]}
                ]
            },
            "unreadable",
        ),
        ({"lattice_vectors": [[1, 0, 0], [0, 1, 0]]}, "unreadable"),
        ({"species": None}, None),  # the names are the symbols then
        ({"species_at_sites": ["D"], "species": None}, None),
    ],
)
def test_one_site(changed, status):
    lattice = [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]]
    attributes = {"lattice_vectors": lattice, "cartesian_site_positions": [[0, 0, 0]]}
    attributes |= {"species_at_sites": ["Na"], "species": [], "dimension_types": [1, 1, 1]}
    entry = record_of_entry({"id": "one", "attributes": attributes | changed}, "x", "unknown")
    assert getattr(entry, "status", None) == status
    if "D" in changed.get("species_at_sites", ()):
        assert entry.species_at_sites == ("H",) and entry.note == "deuterium read as hydrogen"


def test_the_snapshot_says_what_was_asked_of_whom(server):
    snapshot = source(server, 'elements HAS "O"').snapshot()
    assert snapshot.database == "tst"
    assert snapshot.version.startswith("OPTIMADE 1.2.0, OPTIMADE Python Tools 1.")
    assert snapshot.version.endswith(f" of {N} structures")
    assert snapshot.license == "CC-BY-4.0"
    assert snapshot.url == f"{server.url}/v1/structures?filter=elements%20HAS%20%22O%22"
    assert source(server, license="MIT").snapshot().license == "MIT"


def test_a_filter_arrives_as_it_was_meant(server):
    with_oxygen = read(source(server, 'elements HAS "O" AND nelements<=3'))
    known = zip(range(1, N + 1), Sample().records(), strict=False)
    expected = [
        f"tst-{number}"
        for number, record in known
        if "O" in record.species_at_sites and len(set(record.species_at_sites)) <= 3
    ]
    assert list(with_oxygen) == expected and expected
    by_text = read(source(server, '_tst_label="JVASP-10" OR _tst_label="a&b=c+d#e"'))
    assert list(by_text) == ["tst-1"]


def test_a_licence_is_what_the_server_says_or_unknown():
    assert license_of({"attributes": {"available_licenses": ["CC-BY-4.0", "MIT"]}}) == (
        "CC-BY-4.0 OR MIT"
    )
    assert license_of({"attributes": {"license": {"href": "https://x.org/terms"}}}) == (
        "https://x.org/terms"
    )
    assert license_of({"attributes": {"license": None}}) is None


def test_numbers_are_asked_for_by_name_with_their_units(tmp_path):
    described = {
        "species": {"type": "list"},
        "_x_energy": {"type": "float", "unit": "eV"},
        "_x_moment": {"type": ["number", "null"], "x-optimade-unit": "bohr_magneton"},
        "_x_share": {"x-optimade-type": "float", "x-optimade-unit": "dimensionless"},
        "_x_is_metal": {"type": "boolean"},
        "_x_code": {"type": ["string", "null"]},
    }
    with FileServer(json.dumps({"data": {"properties": described}}).encode()) as pages:
        reader = Optimade(pages.url)
        assert reader.known_fields() == [
            *("species", "_x_energy", "_x_is_metal", "_x_moment", "_x_share")
        ]
        assert reader.units == {
            "_x_energy": "eV",
            "_x_moment": "bohr_magneton",
            "_x_share": "1",
        }
        many = described | {f"_x_{number}": {"type": "float"} for number in range(900)}
        pages.content = json.dumps({"data": {"properties": many}}).encode()
        assert Optimade(pages.url).known_fields() is None  # too many for an address


BUSY = {"status": 503, "headers": {"Retry-After": "0"}}


@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"status": 500},
        {"cut": True, "body": "{"},
        {"body": "<html>gateway</html>"},
    ],
)
def test_passing_faults_cost_no_entry(server, fault):
    server.fail(fault, {}, fault, fault, {}, fault)  # at the first page, the second, the third
    assert len(read(source(server))) == N
    assert len(server.asked()) >= 2 + 1 + 3 + 4


def test_the_server_says_how_long_to_wait(server, caplog):
    server.fail({"status": 429, "headers": {"Retry-After": "1"}})
    source(server).snapshot()
    assert "it answers 429; attempt 2 in 1 s" in caplog.text


def test_a_lasting_fault_is_one_sentence_and_the_same_call_works_later(server):
    server.fail(*[BUSY] * 99)
    with pytest.raises(InputError, match="keeps answering 503; run the same command again"):
        read(source(server))
    server.fail({}, {}, {}, *[{"cut": True}] * 99)
    with pytest.raises(InputError, match=r"the connection to .* fails"):
        read(source(server))
    server.fail({}, *[{"body": "<html>"}] * 99)
    with pytest.raises(InputError, match="keeps sending what can't be read"):
        read(source(server))
    server.fail()
    assert len(read(source(server))) == N


def test_fewer_entries_than_announced_are_no_database(server):
    reader = source(server)
    reader.snapshot()
    first = next(iter(reader.client.pages(None, None)))
    body = '{"data": [], "meta": {"data_returned": 45}, "links": {"next": null}}'
    assert first.meta["data_returned"] == N
    server.fail({"body": body})
    with pytest.raises(InputError, match="announced 45 structures and sent 0"):
        list(reader.records())


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ('elements HAZ "Si"', "is not an OPTIMADE filter (character 10)"),
        ("energy<0", "refuses the query with 400: "),
        ('elements HAS "Og"', "has no structures for --filter 'elements HAS \"Og\"'"),
    ],
)
def test_a_filter_without_an_answer_is_one_sentence(server, filter, words):
    with pytest.raises(InputError) as error:
        read(source(server, filter))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_build_goes_from_the_server_to_a_dataset(server, tmp_path):
    run = tmp_path / "run"
    filter = f'id="{UNKNOWN}" OR nsites=2'
    command = ("--input", f"{server.url}/v1/", "--filter", filter, "--limit", "4")
    done = curate(*command, "--workers", "1", "--out", run)
    assert done.returncode == 0, done.stderr
    assert "dummy_species" in done.stdout and not done.stderr
    table = pq.read_table(run / "dataset" / "default")
    assert set(table["source"].to_pylist()) == {"tst"}
    assert set(table["license"].to_pylist()) == {"CC-BY-4.0"}
    assert all(table["description"].to_pylist())
    energies = [r.properties["formation_energy_peratom"] for r in Sample().records()]
    for row in table.to_pylist():
        number = int(row["material_id"].removeprefix("tst-"))
        assert row["_tst_energy"] == pytest.approx(energies[number - 1])
    schema = pq.read_schema(next((run / "dataset" / "default").glob("*.parquet")))
    assert schema.field("_tst_energy").metadata == {b"unit": b"eV/atom"}
    record = Run(run).settings_record
    assert record["settings"]["filter"] == filter
    card = (run / "dataset" / "README.md").read_text()
    assert record["source"]["version"] in card and record["source"]["url"] in card

    server.fail(*[{"status": 404}] * 9)  # what is frozen needs no server
    server.asked()
    again = curate(*command, "--workers", "1", "--out", run)
    assert again.returncode == 0, again.stderr
    other = curate("--input", server.url, "--filter", "nsites=2", "--limit", "4", "--out", run)
    assert other.returncode == 2 and f"filter was {filter}, now nsites=2" in other.stderr
    licensed = curate(*command, "--license", "MIT", "--out", run)
    assert licensed.returncode == 2 and "license was CC-BY-4.0, now MIT" in licensed.stderr
    assert server.asked() == []


def test_a_users_mistake_is_one_sentence(server, tmp_path):
    index = b'{"data": {"attributes": {"is_index": true}}}'
    with FileServer(b"") as pages, FileServer(index) as many:
        pages.faults["/v1/info"] = ["html"]
        mistakes = {
            "--db optimade needs --input URL": {},
            "--input names a server twice": {"input": (server.url, server.url)},
            "--input oqmd.org is not an address": {"input": ("oqmd.org",)},
            "answers 404 as no OPTIMADE server does": {"input": (f"{server.url}/nowhere",)},
            "does not answer as an OPTIMADE server": {"input": (pages.url,)},
            "is an index of databases": {"input": (many.url,)},
            "nowhere.invalid is not known": {"input": ("http://nowhere.invalid",)},
        }
        for sentence, arguments in mistakes.items():
            settings = OptimadeSettings(**arguments)
            with pytest.raises(InputError) as error:
                settings.check()
                settings.open(Request()).snapshot()
            assert sentence in str(error.value) and "\n" not in str(error.value)
    done = curate("--input", "oqmd.org", "--out", tmp_path / "run")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1


def test_without_the_extra_the_command_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['optimade'] = None\nfrom curate.cli import main; main()"
    arguments = ["build", "--db", "optimade", "--input", "http://127.0.0.1:9", "--out"]
    command = [sys.executable, "-c", code, *arguments, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 2 and "pip install 'crysmmnet[optimade]'" in done.stderr


def test_a_killed_build_goes_on_at_the_page_where_it_was(server, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = ("--input", server.url, "--executor", "none", "--shard-size", "6", "--out")
    assert curate(*command, whole).returncode == 0
    server.asked()
    server.fail(*[{}] * 5, *[{"status": 404}] * 9)  # two pages of 20, each first asked for as 100
    assert curate(*command, killed).returncode == 2
    n_shards = json.loads((killed / "reading.json").read_text())["shards"]
    assert n_shards == 6  # of the 40 entries on them
    server.fail()
    server.asked()
    again = curate(*command, killed)
    assert again.returncode == 0 and "36 entries are read already" in again.stderr
    pages = [address for address in server.asked() if "/v1/structures?" in address]
    assert len(pages) == 4 and "page_offset=20" in pages[2] and "page_offset=40" in pages[3]
    for path in sorted((whole / "structures").iterdir()):
        assert (killed / "structures" / path.name).read_bytes() == path.read_bytes()
    assert Run(killed).fetched == Run(whole).fetched
    assert not (killed / "reading.json").exists()


def test_every_entry_can_be_gone_on_with(server):
    known = source(server)
    known.snapshot()
    entries = list(known.entries_after(None))
    for n in (1, 19, 39, 40, 41, N):
        position = entries[n - 1][0]
        assert [entry for _, entry in known.entries_after(position)] == [
            entry for _, entry in entries[n:]
        ]


def test_numbers_within_dictionaries_are_columns_with_their_units():
    attributes = {
        "lattice_vectors": [[3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0]],
        "cartesian_site_positions": [[0, 0, 0]],
        "species_at_sites": ["Na"],
        "_mp_stability": {
            "gga_gga+u": {
                "energy_above_hull": 0.25,
                "thermo_id": "mp-1_GGA",
                "too": {"d": {"e": 1}},
            },
            "r2scan": {"energy_above_hull": None, "is_stable": True},
            "an odd name": {"energy_above_hull": 1.0},
        },
        "_mp_gap": 1.5,
    }
    entry = record_of_entry({"id": "one", "attributes": attributes}, "mp", "unknown")
    assert entry.properties == {
        "_mp_stability.gga_gga+u.energy_above_hull": 0.25,
        "_mp_stability.r2scan.is_stable": True,
        "_mp_gap": 1.5,
    }
    attributes["_mp_many"] = {str(number): 1.0 for number in range(501)}
    refused = record_of_entry({"id": "one", "attributes": attributes}, "mp", "unknown")
    assert refused.error_message == "its own properties hold more than 500 values"
    described = {
        "_mp_stability": {
            "type": ["object", "null"],
            "properties": {
                "r2scan": {"properties": {"energy_above_hull": {"x-optimade-unit": "eV/atom"}}}
            },
        },
        "_mp_list": {"type": "list"},
    }
    with FileServer(json.dumps({"data": {"properties": described}}).encode()) as pages:
        reader = Optimade(pages.url)
        assert reader.known_fields() == ["_mp_stability"]
        assert reader.units == {"_mp_stability.r2scan.energy_above_hull": "eV/atom"}


def test_several_servers_in_one_run(server, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    with OptimadeServer(
        folder, documents(9), provider={"prefix": "oth", "name": "Other", "description": "of tests"}
    ) as other:
        both = ("--input", server.url, other.url, "--executor", "none", "--shard-size", "8")
        done = curate(*both, "--out", tmp_path / "run")
        assert done.returncode == 0, done.stderr
        run = Run(tmp_path / "run")
        entries = [entry for number in run.shards() for entry in run.read_structures(number)]
        assert [entry.material_id for entry in entries] == [
            *(f"tst:tst-{number}" for number in range(1, N + 1)),
            *(f"oth:tst-{number}" for number in range(1, 10)),
        ]
        assert {entry.source for entry in entries if isinstance(entry, StructureRecord)} == {
            "tst",
            "oth",
        }
        assert run.settings_record["source"]["database"] == "tst, oth"
        assert run.settings_record["source"]["license"] == "per row"

        sources = OptimadeSettings(input=(server.url, other.url)).open(Request())
        sources.snapshot()
        entries = list(sources.entries_after(None))
        for n in (3, N - 1, N, N + 1, N + 8):
            assert list(sources.entries_after(entries[n - 1][0])) == entries[n:]
    again = curate(*both, "--out", tmp_path / "run")  # what is frozen needs no server
    assert again.returncode == 0, again.stderr
