"""A dated table of JARVIS: downloaded over HTTP, streamed from its zip, described."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from statistics import mean, median

import datasets
import pytest
from broken_zips import BREAKS
from commands import curate
from file_server import FileServer

from curate.dataset.splits import official_splits
from curate.errors import InputError
from curate.record import SkippedEntry, StructureRecord
from curate.sources.jarvis import FIGSHARE_API, TABLES, Jarvis, LeaderboardTask, known_file
from curate.sources.sample import Sample
from curate.web.retry import RetryPolicy
from curate.web.zipped_json import Strict, check_zip, entries

MEMBER = "jdft_3d-8-18-2021.json"


def jarvis_rows(n: int) -> list[dict]:
    """Rows as the database has them: its keys, its "na", its lists."""
    rows = []
    for number, record in enumerate(list(Sample().records())[:n], 1):
        structure = record.to_pymatgen()
        rows.append(
            {
                "jid": record.material_id,
                "spg_number": str(record.spacegroup_number),
                "formula": structure.reduced_formula,
                "formation_energy_peratom": record.properties["formation_energy_peratom"],
                "optb88vdw_bandgap": "na",
                "slme": float("nan") if number == 2 else 0.5,
                "modes": [1.0, 2.0],
                "raw_files": ["a.zip"],
                "xml_data_link": "https://jarvis.nist.gov",
                "note": 'quoted \\" NaN, Infinity',
                "atoms": {
                    "lattice_mat": structure.lattice.matrix.tolist(),
                    "coords": structure.frac_coords.tolist(),
                    "elements": [site.specie.symbol for site in structure],
                    "cartesian": False,
                },
            }
        )
    return rows


def zipped(content: bytes | str, member: str = MEMBER) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return file.getvalue()


@pytest.fixture(scope="module")
def table() -> bytes:
    return zipped(json.dumps(jarvis_rows(12)))  # with NaN, as Python writes it


def test_every_table_is_known_to_the_installed_jarvis_tools():
    for name, table in TABLES.items():
        url, member = known_file(table)
        assert url.rsplit("/", 1)[1].isdigit() and member.endswith(".json")
        assert Jarvis(name).urls == [url, f"{FIGSHARE_API}/{url.rsplit('/', 1)[1]}"]
    assert known_file(TABLES["dft_3d_2021"])[1] == MEMBER


def test_records_keep_names_units_and_what_is_missing(table, tmp_path):
    with FileServer(table) as server:
        source = Jarvis("dft_3d_2021", mirror=server.url, cache=tmp_path)
        snapshot = source.snapshot()
        records = list(source.records())
        source.snapshot()
        assert [request.path for request in server.requests] == ["/29204826"]
    assert snapshot.version == f"dft_3d_2021 ({MEMBER})"
    assert snapshot.sha256 == hashlib.sha256(table).hexdigest()
    expected = list(Sample().records())[:12]
    assert [record.material_id for record in records] == [r.material_id for r in expected]
    for record, known in zip(records, expected, strict=True):
        assert isinstance(record, StructureRecord)
        assert record.species_at_sites == known.species_at_sites
        assert record.spacegroup_number == known.spacegroup_number
        assert record.properties["optb88vdw_bandgap"] is None
        assert record.properties["note"] == 'quoted \\" NaN, Infinity'
        assert {"modes", "raw_files", "atoms", "jid"}.isdisjoint(record.properties)
        flat = [x for row in record.cartesian_site_positions for x in row]
        assert flat == pytest.approx([x for row in known.cartesian_site_positions for x in row])
    assert [record.properties.get("slme") for record in records[:3]] == [0.5, None, 0.5]


def test_a_broken_entry_costs_itself_only(tmp_path):
    rows = jarvis_rows(4)
    del rows[1]["atoms"]
    rows[2]["atoms"]["elements"] = rows[2]["atoms"]["elements"][:-1]
    rows[3]["spg_number"] = 10**400  # no number of a space group, which may be missing
    path = tmp_path / "by_hand.zip"
    path.write_bytes(zipped(json.dumps([*rows, "what"])))
    source = Jarvis("dft_3d_2021", input=path)
    source.snapshot()
    found = list(source.records())
    assert [type(entry) for entry in found] == [
        StructureRecord,
        SkippedEntry,
        SkippedEntry,
        StructureRecord,
        SkippedEntry,
    ]
    assert [entry.status for entry in found if isinstance(entry, SkippedEntry)] == [
        "unreadable"
    ] * 3


def test_the_command_downloads_describes_and_needs_no_network_again(table, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    run = tmp_path / "run"
    with FileServer(table) as server:
        server.faults["/29204826"] = ["503", "cut"]
        command = [sys.executable, "-m", "curate", "build", "--db", "jarvis", "--out", str(run)]
        command += ["--limit", "3", "--workers", "1", "--mirror", server.url]
        first = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert first.returncode == 0, first.stderr
        assert "answers 503" in first.stderr
    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    rows = datasets.Dataset.from_parquet(str(next((run / "dataset" / "default").glob("*.parquet"))))
    assert len(rows) == 3 and all(rows["description"])
    assert rows["split_dft_3d_formation_energy_peratom"][0] in ("train", "val", "test", None)
    other = subprocess.run(
        [*command, "--snapshot", "dft_3d_2022"], env=environment, capture_output=True, text=True
    )
    assert other.returncode == 2 and "snapshot was dft_3d_2021, now dft_3d_2022" in other.stderr


def test_the_leaderboards_exfoliation_energies_come_with_their_official_split(tmp_path):
    run = tmp_path / "run"
    words = ("build", "--db", "jarvis", "--task", "exfoliation_energy", "--workers", 1)
    done = curate(*words, "--limit", 3, "--out", run)
    assert done.returncode == 0, done.stderr
    rows = datasets.Dataset.from_parquet(str(next((run / "dataset" / "default").glob("*.parquet"))))
    assert rows["material_id"][0] == "JVASP-2385" and rows["exfoliation_energy"][0] == 124.8
    assert rows["split_dft_3d_exfoliation_energy"][0] == "train"
    both = curate(*words, "--sample", "--out", tmp_path / "both")
    assert both.returncode == 2 and "--sample and --task choose different" in both.stderr

    records = list(LeaderboardTask("exfoliation_energy").records())
    labels = official_splits(record.material_id for record in records)["dft_3d_exfoliation_energy"]
    assert Counter(labels.values()) == {"train": 650, "val": 81, "test": 81}
    # always the median of the training part: 48.89 meV/atom on the leaderboard's test part
    energies = {r.material_id: r.properties["exfoliation_energy"] for r in records}
    parts = {
        part: [energies[name] for name, label in labels.items() if label == part]
        for part in ("train", "test")
    }
    errors = [abs(energy - median(parts["train"])) for energy in parts["test"]]
    assert mean(errors) == pytest.approx(48.89, abs=0.005)


def test_a_wrong_file_in_the_cache_mends_itself(table, tmp_path):
    (tmp_path / f"{MEMBER}.zip").write_bytes(zipped("[1, 2"))  # whole, but no table
    with FileServer(table) as server:
        source = Jarvis("dft_3d_2021", mirror=server.url, cache=tmp_path)
        source.snapshot()
        with pytest.raises(InputError, match="the same command downloads it again"):
            list(source.records())
        source.snapshot()
        assert len(list(source.records())) == 12


def test_another_table_under_the_address_is_not_kept(table, tmp_path):
    hasty = RetryPolicy(attempts=2, first_wait=0.01, longest_wait=0.02)
    with FileServer(zipped("[]", "other.json")) as server:
        source = Jarvis("dft_3d_2021", mirror=server.url, cache=tmp_path, retry=hasty)
        with pytest.raises(InputError, match=f"holds other.json, not {MEMBER}"):
            source.snapshot()
        server.content = table
        assert source.snapshot().sha256 == hashlib.sha256(table).hexdigest()


def test_a_wall_tells_how_to_go_on_by_hand(table, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    with FileServer(table) as server:
        server.faults["/29204826"] = ["challenge"]
        command = [sys.executable, "-m", "curate", "build", "--out", str(tmp_path / "run")]
        done = subprocess.run(
            [*command, "--mirror", server.url], env=environment, capture_output=True, text=True
        )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "and give the file as --input FILE.zip" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no zip at all", "not a zip"),
        (zipped("[]", "other.json"), f"holds other.json, not {MEMBER}"),
        (zipped("[1, 2"), "can't be read"),
        (zipped(b" " * 40_000_000), "would unpack"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "by_hand.zip"
    path.write_bytes(content)
    source = Jarvis("dft_3d_2021", input=path)
    source.snapshot()
    with pytest.raises(InputError, match=words):
        list(source.records())


def test_two_members_or_a_wrong_checksum_are_no_table(table, tmp_path):
    path = tmp_path / "table.zip"
    path.write_bytes(table)
    check_zip(path)
    middle = len(table) // 2
    path.write_bytes(table[:middle] + bytes([table[middle] ^ 255]) + table[middle + 1 :])
    with pytest.raises(ValueError):
        check_zip(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", "[]")
        archive.writestr("../b.json", "[]")
    with pytest.raises(ValueError, match=r"holds \.\./b\.json, a\.json"):
        check_zip(path)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_words_that_json_lacks_become_null_wherever_the_chunks_end(size, tmp_path):
    known = [
        {"a": float("nan"), "b": float("-inf"), "c": [float("inf"), 1.5, None]},
        {"d": "NaN, Infinity", "e": 'a "NaN", \\', "NaN": "-Infinity,NaN"},
        {"f": "\\\\", "g": float("nan")},
    ]
    stream = Strict(io.BytesIO(json.dumps(known).encode()))
    text = b""
    while piece := stream.read(size):
        text += piece
    expected = json.dumps(known).replace(": NaN", ": null").replace(": -Infinity", ": null")
    expected = json.dumps(known).replace(": NaN", ": null").replace(": -Infinity", ": null")
    assert json.loads(text) == json.loads(expected.replace("[Infinity", "[null"))
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(json.dumps(known)))
    assert [entry.get("g") for entry in entries(path)] == [None, None, None]


@pytest.mark.parametrize("digits", ["0", "9" * 18, str(2**63), "1" * 400])
def test_a_number_that_the_parser_lacks_costs_at_most_its_entry(tmp_path, digits):
    rows = jarvis_rows(3)
    rows[1]["optb88vdw_bandgap"], rows[1]["note"] = "HERE", f"9e999, {digits}"
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(json.dumps(rows).replace('"HERE"', digits)))
    source = Jarvis("dft_3d_2021", input=path)
    source.snapshot()
    first, odd, last = source.records()
    assert isinstance(first, StructureRecord) and isinstance(last, StructureRecord)
    if len(digits) < 400:
        assert odd.properties["optb88vdw_bandgap"] == float(digits)
        assert odd.properties["note"] == f"9e999, {digits}"
    else:
        assert "optb88vdw_bandgap is a number larger than any" in odd.error_message


@pytest.mark.parametrize("damage", BREAKS, ids=lambda damage: damage.__name__)
def test_a_broken_zip_is_one_sentence_that_names_it(tmp_path, damage):
    path = tmp_path / "table.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.json", json.dumps([{"jid": f"x-{n}"} for n in range(500)]))
    assert len(list(entries(path, "table.json"))) == 500
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError) as error:
        list(entries(path, "table.json"))
    assert str(error.value).startswith(f"{path} ") and "\n" not in str(error.value)
    with pytest.raises(ValueError) as found:
        check_zip(path, "table.json")
    assert "\n" not in str(found.value)
