"""Every number of a dataset has a unit, or the user is told how to give it one."""

import pyarrow.parquet as pq
import pytest
from builds import Crystals, some
from commands import curate
from pymatgen.io.cif import CifWriter

from curate.build import build
from curate.config import BuildConfig
from curate.errors import InputError
from curate.properties import (
    BY_NAME,
    PROPERTIES,
    UNITS,
    citation_of,
    parse_units,
    split_unit,
)
from curate.run.folder import Run
from curate.sources.paper_corpus import PARTS


def test_each_name_stands_for_one_property():
    assert len(BY_NAME) == len(PROPERTIES)
    assert UNITS["mbj_bandgap"] == "eV" and UNITS["spillage"] == "1"
    assert "is_stable" not in UNITS


def test_every_target_of_the_papers_corpus_has_a_unit():
    units = {name: UNITS[name] for part in PARTS for name in part.targets}
    assert units["bulk_modulus"] == units["shear_modulus"] == "GPa"
    assert units["formation_energy"] == "eV/atom"


def test_a_database_is_known_with_its_version():
    assert citation_of("JARVIS-DFT 2021.8.18") == BY_NAME["mbj_bandgap"].citation
    assert citation_of("tst") is None


def test_units_are_read_from_flags_and_headers():
    assert parse_units(["gap=eV", "a=b=GPa"]) == {"gap": "eV", "a=b": "GPa"}
    for wrong in ("gap", "gap=", "=eV"):
        with pytest.raises(InputError, match="write NAME=UNIT"):
            parse_units([wrong])
    assert split_unit("gap:eV") == ("gap", "eV")
    assert split_unit("gap") == ("gap", None) and split_unit("gap:") == ("gap:", None)


def unit(run, name: str) -> str | None:
    schema = pq.read_schema(run / "dataset" / "default" / "train-00000.parquet")
    return (schema.field(name).metadata or {}).get(b"unit", b"").decode() or None


def test_ones_own_targets_need_a_unit(tmp_path, rutile):
    CifWriter(rutile.to_pymatgen()).write_file(tmp_path / "rutile.cif")
    table, run = tmp_path / "table.csv", tmp_path / "run"
    table.write_text("id,gap,label,is_known,band_gap,my hardness:GPa\nrutile,1.5,x,,3.0,8\n")
    command = ("build", "--db", "files", "--input", tmp_path / "rutile.cif", "--properties", table)
    command += ("--out", run, "--workers", 1)
    refused = curate(*command)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "the unit of gap is not known; add --units gap=UNIT with" in refused.stderr
    assert "name as gap:UNIT" in refused.stderr and not (run / "structures").exists()

    done = curate(*command, "--units", "gap=eV")
    assert done.returncode == 0, done.stderr
    assert "no unit" not in done.stderr
    expected = {"gap": "eV", "my hardness": "GPa", "band_gap": "eV", "label": None}
    assert {name: unit(run, name) for name in expected} == expected
    assert "| `gap` | double | eV |" in (run / "dataset" / "README.md").read_text()

    wrong = curate(*command, "--units", "gap=eV", "energy=eV")
    assert wrong.returncode == 2 and "has no property energy; it has band_gap, gap" in wrong.stderr


def test_units_may_be_stated_later_and_nothing_is_described_again(tmp_path, caplog):
    """Numbers that nobody asked for, as those inside files, do not stop a build."""
    [record] = some(1)
    record.properties["hardness"] = 3.0
    config = BuildConfig(out=tmp_path, workers=1)
    build(config, source=Crystals([record]))
    assert "no unit is known for hardness; to state it add --units hardness=UNIT" in caplog.text
    assert unit(tmp_path, "hardness") is None
    described = [p.stat().st_mtime_ns for p in Run(tmp_path).descriptions.iterdir()]
    caplog.clear()
    build(BuildConfig(out=tmp_path, workers=1, units=("hardness=GPa",)), source=Crystals([record]))
    assert unit(tmp_path, "hardness") == "GPa" and "no unit" not in caplog.text
    assert [p.stat().st_mtime_ns for p in Run(tmp_path).descriptions.iterdir()] == described
    build(config, source=Crystals([record]))  # stated once is enough
    assert unit(tmp_path, "hardness") == "GPa" and "no unit" not in caplog.text
