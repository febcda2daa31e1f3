"""A report says what is in a dataset, from all of its rows, and shows whatever it says as text."""

import base64
import gzip
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from corpus import rows, write_dataset
from pages import unpacked
from report_run import FAILED_ID, HOSTILE_ID, HOSTILE_TEXT, write_run

from curate.config import ReportConfig
from curate.errors import InputError
from curate.pages.crystals import GRID
from curate.pages.figures import histogram, parity
from curate.pages.page import packed, packed_details
from curate.pages.palette import palette, periodic_table, spacegroup_symbols
from curate.report.dataset_files import find_dataset
from curate.report.page import report
from curate.report.survey import NUMBER, survey


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("report") / "run")


class Tags(HTMLParser):
    """Tags of a page, and its text outside scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags[-1:] and self.tags[-1][0] not in ("script", "style"):
            self.text += data


def test_numbers_are_of_all_rows_and_the_table_is_a_seeded_sample(run, tmp_path):
    whole, part = survey(find_dataset(run), 1_000, 0), survey(find_dataset(run), 20, 3)
    assert whole.n_rows == part.n_rows == 49
    assert whole.elements == part.elements
    assert whole.properties == part.properties
    assert len(whole.shown) == 50
    assert len(part.shown) <= 20
    shown = {row["material_id"] for row in part.shown}
    assert {FAILED_ID, HOSTILE_ID} <= shown  # failed; slowest of the described
    again = survey(find_dataset(run), 20, 3)
    other = survey(find_dataset(run), 20, 4)
    assert shown == {row["material_id"] for row in again.shown}
    assert shown != {row["material_id"] for row in other.shown}


def test_counts_repeats_and_leaks(run):
    found = survey(find_dataset(run), 1_000, 0)
    assert found.statuses == {"described": 49, "error": 1}
    assert list(found.reasons) == [("error", "no bonds in <i>this</i> cell of # Å")]
    first = found.shown[0]["material_id"]
    assert [first, HOSTILE_ID] in found.same_cell
    assert all(HOSTILE_ID not in group for group in found.same_text)
    assert len(found.tokens) == 49
    assert found.units["formation_energy_peratom"] == "eV/atom"


def test_reasons_that_differ_in_a_number_are_one():
    assert NUMBER.sub("#", "site 12 is 0.3 Å off") == "site # is # Å off"
    assert NUMBER.sub("#", "2D components, mp-149, O2") == "2D components, mp-#, O2"


def test_leaks_and_texts_seen_in_training_are_named(tmp_path):
    task = "dft_3d_formation_energy_peratom"
    labels = ["leak", "train", "test", "test"]
    changed = [
        {**row, f"split_{task}": labels[n] if n < 4 else None} for n, row in enumerate(rows())
    ]
    changed[2]["description"] = changed[1]["description"]
    ids = [row["material_id"] for row in changed]
    folder = Path(write_dataset(tmp_path / "leaky", changed))
    found = survey(find_dataset(folder), 1_000, 0)
    assert found.leaks[task] == ids[:1]
    assert found.seen[task] == 1
    assert found.same_text == [ids[1:3]]
    report(ReportConfig(folder, tmp_path / "report.html"))
    views = {
        v["name"]: v for v in unpacked((tmp_path / "report.html").read_text(), "table")["views"]
    }
    assert views["leaks"]["ids"] == ids[:1]
    assert views["same-text"]["ids"] == ids[1:3]


def test_the_database_space_group_goes_before_the_found_one(run):
    found = survey(find_dataset(run), 1_000, 0)
    given = {r["material_id"]: r["spacegroup_number"] for r in found.shown if "description" in r}
    for row in found.shown:
        known = given.get(row["material_id"])
        if row["status"] == "described":
            assert row["spacegroup"] == (known or 12)  # C2/m in the condensed structure


def test_the_page_says_when_it_shows_a_sample(run, tmp_path):
    for limit, said in ((1_000, False), (20, True)):
        out = tmp_path / f"{limit}.html"
        report(ReportConfig(run, out, rows=limit))
        page = out.read_text()
        assert ("A sample is shown:" in page) is said
        table = unpacked(page, "table")["rows"]
        assert (len(table["material_id"]) == 50) is not said
        assert "drawn with seed 0" in page or not said


def test_what_a_dataset_says_is_no_markup(run, tmp_path):
    out = tmp_path / "report.html"
    report(ReportConfig(run, out))
    page = out.read_text()
    assert HOSTILE_ID not in page
    assert HOSTILE_TEXT not in page
    tags = Tags(page)
    assert {tag for tag, _ in tags.tags}.isdisjoint({"img", "u"})
    assert not [attributes for _, attributes in tags.tags if "onerror" in attributes]
    assert "JVASP & friends <u>" in tags.text
    assert HOSTILE_ID in tags.text  # among the repeats
    assert HOSTILE_ID in unpacked(page, "table")["rows"]["material_id"]
    assert HOSTILE_TEXT in [detail["text"] for detail in unpacked(page, "details-0")]


def test_the_page_asks_for_nothing(run, tmp_path):
    out = tmp_path / "report.html"
    report(ReportConfig(run, out))
    page = out.read_text()
    for tag, attributes in Tags(page).tags:
        assert not attributes.get("src"), tag
        assert attributes.get("href", "data:,")[:1] in ("#", "d"), tag
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert "default-src 'none'" in policy


def test_a_crystal_is_packed_as_it_is(run, tmp_path):
    out = tmp_path / "report.html"
    report(ReportConfig(run, out))
    page = out.read_text()
    head = unpacked(page, "table")
    details = unpacked(page, "details-0")
    found = survey(find_dataset(run), 1_000, 0).shown
    for number, row in enumerate(found):
        detail = details[head["rows"]["detail"][number]]
        assert detail["species"] == list(row["species_at_sites"])
        for one, fractions in zip(
            row["cartesian_site_positions"],
            zip(*[iter(detail["positions"])] * 3, strict=True),
            strict=True,
        ):
            placed = [
                sum(
                    f / GRID * vector[k]
                    for f, vector in zip(fractions, detail["lattice"], strict=True)
                )
                for k in range(3)
            ]
            from_cell = [(p - q) for p, q in zip(placed, one, strict=True)]
            assert is_lattice_vector(from_cell, row["lattice_vectors"])


def is_lattice_vector(vector, lattice) -> bool:
    import numpy as np

    steps = np.linalg.solve(np.array(lattice).T, vector)
    return bool(np.allclose(steps, np.round(steps), atol=2e-4))


def test_details_stop_where_the_room_does():
    details = [{"text": f"{n} " * 100} for n in range(250)]
    pieces, n_packed = packed_details(iter(details), 10**9)
    assert (len(pieces), n_packed) == (3, 250)
    room = len(pieces[0]) + len(pieces[1])
    assert packed_details(iter(details), room) == (pieces[:2], 200)
    assert packed_details(iter(details), 10) == ([], 0)


def test_no_number_is_none_of_jsons():
    text = gzip.decompress(base64.b64decode(packed({"a": [1.0, float("nan"), float("inf")]})))
    assert text == b'{"a":[1.0,null,null]}'


def test_histogram_counts_every_value_and_draws_the_limit():
    figure = histogram([1, 2, 2, 600], "tokens", whole=True, limit=512)
    assert sum(figure["data"][0]["y"]) == 4
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [512]
    assert figure["layout"]["xaxis"]["title"]["text"] == "tokens"
    energies = histogram([-1.0, 0.5], "<b>gap</b>", "eV")
    assert energies["layout"]["xaxis"]["title"]["text"] == "&lt;b&gt;gap&lt;/b&gt; (eV)"


def test_parity_draws_the_densest_last():
    figure = parity([0, 0, 0, 5], [0, 0, 0, 5], ["a", "b", "c", "<d>"], "eV")
    (points,) = figure["data"]
    assert points["text"] == ["&lt;d&gt;", "a", "b", "c"]
    assert points["marker"]["color"] == [0, 0.477, 0.477, 0.477]


def test_symbols_and_colours_are_the_fields_own():
    symbols = spacegroup_symbols()
    assert len(set(symbols)) == 230
    assert (symbols[11], symbols[13], symbols[224]) == ("C2/m", "P2_1/c", "Fm-3m")
    oxygen = palette(["O"])["O"]
    assert oxygen == {"color": "#ff0d0d", "radius": 0.66, "metal": False}
    cells = periodic_table({"Fe": 10, "O": 100}, log=True)
    assert len(cells) == 118
    iron, oxygen = (next(c for c in cells if c["symbol"] == s) for s in ("Fe", "O"))
    assert (iron["row"], iron["column"], iron["share"], oxygen["share"]) == (4, 8, 0, 1)


def test_what_is_no_dataset_is_said_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match="neither a run nor a dataset"):
        report(ReportConfig(tmp_path, tmp_path / "report.html"))
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="holds no dataset yet"):
        report(ReportConfig(tmp_path, tmp_path / "report.html"))
    assert not (tmp_path / "report.html").exists()


def test_a_dataset_folder_without_a_manifest(dataset, tmp_path):
    shown = report(ReportConfig(Path(dataset), tmp_path / "report.html"))
    assert (shown.n_rows, shown.n_details, shown.n_condensed) == (48, 48, 0)
    head = unpacked((tmp_path / "report.html").read_text(), "table")
    assert [view["name"] for view in head["views"]][:2] == ["all", "longest"]


def test_the_command_line_says_what_it_wrote(run, tmp_path):
    out = tmp_path / "pages" / "report.html"
    command = [sys.executable, "-m", "curate", "report"]
    done = subprocess.run([*command, run, "--out", out], capture_output=True, text=True)
    assert done.stdout.startswith(f"{out}: 50 crystals, "), done.stderr
    assert out.stat().st_size > 1_000_000
    done = subprocess.run([*command, tmp_path / "gone"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        f"curate: {tmp_path}/gone is neither a run nor a dataset: it holds no Parquet files\n"
    )
