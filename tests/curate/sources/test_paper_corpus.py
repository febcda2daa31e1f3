"""A zip laid out as the paper's corpus is, made of textbook crystals."""

import csv
import io
import zipfile

import pytest
from broken_zips import BREAKS
from pymatgen.io.cif import CifWriter
from slow_files import shared_sites_cif

from curate.build import in_a_worker
from curate.config import BuildConfig
from curate.errors import InputError
from curate.record import SkippedEntry
from curate.sources.paper_corpus import PaperCorpusSettings, PublishedCorpus


def table(columns: int, rows: list[list]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([[f"column {i}" for i in range(columns)], *rows])
    return text.getvalue()


@pytest.fixture
def corpus(tmp_path, silicon, rutile):
    path = tmp_path / "dataset.zip"
    si, tio2 = (str(CifWriter(crystal.to_pymatgen())) for crystal in (silicon, rutile))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "dataset/mp_2018_new/mat_text.csv",
            table(
                6,
                [
                    ["mp-149", "Si", "0.0", "0.61", "Si is diamond.", ""],
                    ["mp-1", "Cs", "0.0", "0.0", "No file for this.", ""],
                    ["mp-2", "Pd", "0.0", "0.0", " ", ""],
                ],
            ),
        )
        file.writestr("dataset/mp_2018_new/mp-149.cif", si)
        file.writestr("dataset/mp_2018_new/mp-2.cif", si)
        file.writestr(
            "dataset/mp_2018_small/description.csv",
            table(6, [["mp-149", "Si", "60.5", "88.9", "Si is diamond, said otherwise.", ""]]),
        )
        file.writestr("dataset/mp_2018_small/cif/mp-149.cif", si)
        file.writestr(
            "dataset/jarvis/mbj_bandgap/description.csv",
            table(5, [["JVASP-5", "TiO2", "3.1", "TiO2 is Rutile.", ""]]),
        )
        file.writestr("dataset/jarvis/mbj_bandgap/cif/JVASP-5.cif", tio2)
        file.writestr("../../escape.cif", "never read")
    return path


def test_structures_targets_and_texts_come_as_published(corpus):
    found = {entry.material_id: entry for entry in PublishedCorpus(corpus).records()}
    assert set(found) == {"mp-149", "mp-1", "mp-2", "JVASP-5"}
    silicon = found["mp-149"]
    assert silicon.description == "Si is diamond."
    assert silicon.description_origin == "figshare 23643669"
    assert silicon.properties == {
        "formation_energy": 0.0,
        "band_gap": 0.61,
        "shear_modulus": 60.5,
        "bulk_modulus": 88.9,
    }
    assert silicon.note == "another text in mp_2018_small/description.csv"
    assert silicon.license == "CC-BY-4.0"
    assert found["JVASP-5"].properties == {"mbj_bandgap": 3.1}
    assert found["JVASP-5"].nsites == 6


def test_what_is_missing_is_a_row_with_a_reason(corpus):
    found = {entry.material_id: entry for entry in PublishedCorpus(corpus).records()}
    assert isinstance(found["mp-1"], SkippedEntry) and found["mp-1"].error_type == "MissingFile"
    assert isinstance(found["mp-2"], SkippedEntry) and found["mp-2"].error_type == "EmptyText"


def test_other_files_are_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        PublishedCorpus(tmp_path / "nowhere.zip")
    (tmp_path / "page.zip").write_text("<html>")
    with pytest.raises(InputError, match="not a readable zip"):
        PublishedCorpus(tmp_path / "page.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("readme.txt", "something else")
    with pytest.raises(InputError, match=r"holds none of mp_2018_new/mat_text\.csv"):
        PublishedCorpus(tmp_path / "other.zip")


def test_a_table_of_another_shape_names_the_line(tmp_path):
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("jarvis/slme/description.csv", "unknown tables are left alone")
        file.writestr("jarvis/mbj_bandgap/description.csv", "id,a,b,c,d\nJVASP-5,TiO2,3.1\n")
    with pytest.raises(InputError, match=r"mbj_bandgap/description\.csv, line 2: 3 columns"):
        list(PublishedCorpus(path).records())


def packed(corpus):
    """The same corpus with every member deflated."""
    with zipfile.ZipFile(corpus) as old:
        members = {name: old.read(name) for name in old.namelist() if ".." not in name}
    with zipfile.ZipFile(corpus, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, content)
    return corpus.read_bytes()


@pytest.mark.parametrize("damage", BREAKS, ids=lambda damage: damage.__name__)
def test_a_broken_zip_is_one_sentence_that_names_it(corpus, damage):
    corpus.write_bytes(damage(packed(corpus)))
    with pytest.raises(InputError) as error:
        list(PublishedCorpus(corpus).records())
    assert str(corpus) in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_zips_with_any_byte_wrong_are_read_or_refused(corpus):
    """The tables at a zip's end and the heads of its members, flipped byte by byte."""
    good = packed(corpus)
    places = [good.find(b"PK\x01\x02"), 0]
    for place in (p for start in places for p in range(start, start + 120)):
        corpus.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        try:
            assert list(PublishedCorpus(corpus).records())
        except InputError as error:
            assert "\n" not in str(error)


def test_tables_and_zips_have_bounds_that_say_themselves(corpus, monkeypatch, caplog):
    monkeypatch.setattr("curate.sources.paper_corpus.MOST_ROWS", 2)
    with pytest.raises(InputError, match=r"mat_text\.csv has more than 2 rows"):
        list(PublishedCorpus(corpus).records())
    monkeypatch.setattr("curate.sources.paper_corpus.LARGEST_TEXT", 20)
    with pytest.raises(InputError, match="a line of more than 20 characters"):
        list(PublishedCorpus(corpus).records())
    monkeypatch.setattr("curate.web.zips.MOST_MEMBERS", 3)
    with pytest.raises(InputError, match="members, and at most 3 are read"):
        PublishedCorpus(corpus)


def test_a_long_table_says_how_far_it_is(corpus, monkeypatch, caplog):
    monkeypatch.setattr("curate.sources.paper_corpus.ROWS_BETWEEN_LINES", 2)
    caplog.set_level("INFO")
    list(PublishedCorpus(corpus).records())
    assert "mp_2018_new/mat_text.csv: 2 rows" in caplog.text


def test_a_cif_that_takes_for_ever_costs_itself(corpus, tmp_path):
    slow = tmp_path / "slow.zip"
    with zipfile.ZipFile(corpus) as old, zipfile.ZipFile(slow, "w") as new:
        for info in old.infolist():
            is_silicon = info.filename == "dataset/mp_2018_new/mp-149.cif"
            new.writestr(info, shared_sites_cif() if is_silicon else old.read(info))
    settings = PaperCorpusSettings(input=slow)
    config = BuildConfig(out=tmp_path / "run", source=settings, timeout=5.0)
    found = {e.material_id: e for e in PublishedCorpus(slow, in_a_worker(config)).records()}
    here = {e.material_id: e for e in PublishedCorpus(corpus).records()}
    stopped = found.pop("mp-149")
    assert isinstance(stopped, SkippedEntry) and stopped.error_type == "Timeout"
    assert found == {name: here[name] for name in ("mp-1", "mp-2", "JVASP-5")}
