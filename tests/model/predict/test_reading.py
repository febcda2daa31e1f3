"""`predict` and the app read files as `build` does; a bad cell costs itself, with or without a text."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from curate.errors import InputError
from curate.record import StructureRecord
from curate.sources.file_names import kind
from curate.sources.files import Files, read_file
from model.config import GraphConfig, PredictConfig
from model.graphs.build import build_graphs
from model.pages.app_session import read_upload
from model.predict import Predictor
from model.predict.predictor import Prediction, predict, read_crystals
from model.training.train import train

READERS = Path(__file__).parents[2] / "data" / "readers"
FILES = sorted(path for path in READERS.rglob("*") if kind(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_build_predict_and_the_app_read_the_same(path):
    built = list(Files(path).records())
    predicted = list(read_crystals([str(path)]))
    assert [entry.material_id for entry in built] == [
        entry.id if isinstance(entry, Prediction) else entry.material_id for entry in predicted
    ]
    for entry, other in zip(built, predicted, strict=True):
        if isinstance(entry, StructureRecord):
            assert repr(other) == repr(entry)  # NaN is no NaN
        else:
            assert other.error == entry.error_message
    if len(built) > 1:
        return
    if isinstance(built[0], StructureRecord):
        assert repr(read_upload(path)) == repr(built[0])
    else:
        with pytest.raises(InputError) as refusal:
            read_upload(path)
        assert str(refusal.value) in built[0].error_message


def test_folders_globs_and_files_of_one_name_are_read(tmp_path, silicon, rutile):
    for name, record in (("a", silicon), ("b", rutile)):
        (tmp_path / name).mkdir()
        record.to_pymatgen().to(filename=str(tmp_path / name / "x.cif"))
    found = list(read_crystals([str(tmp_path)]))
    assert [record.material_id for record in found] == ["x", f"{tmp_path}/b/x"]
    assert len(list(read_crystals([str(tmp_path / "*" / "x.cif")]))) == 2
    (failed,) = read_crystals([str(tmp_path / "*.vasp")])
    assert "no CIF, POSCAR, extxyz or JSON file there" in failed.error


@pytest.fixture
def bad(silicon) -> dict[str, StructureRecord]:
    """Cells of which nothing can be made."""
    flat = next(iter(read_file(READERS / "zero_volume.vasp")))
    lost = next(iter(read_file(READERS / "nan_coordinate.vasp")))
    close = [(0.0, 0.0, 0.0), (0.0, 0.0, 0.1)]
    return {
        "the cell has no volume": flat,
        "not a finite number": lost,
        "closer than 0.5 Å": replace(silicon, cartesian_site_positions=tuple(close)),
    }


@pytest.mark.parametrize("graph", ["full", "quotient"])
def test_a_bad_cell_has_no_graph_and_costs_no_other(bad, silicon, graph):
    records = [silicon, *bad.values(), silicon]
    first, *reasons, last = build_graphs(records, replace(GraphConfig(), graph=graph))
    for said, reason in zip(reasons, bad, strict=True):
        assert reason in said
    assert not isinstance(first, str)
    assert type(last) is type(first)


def test_a_model_of_the_graph_alone_gives_bad_cells_no_number(tmp_path, settings, silicon):
    config = settings(tmp_path / "m", modality="graph", epochs=1)
    train(config)
    silicon.to_pymatgen().to(filename=str(tmp_path / "silicon.cif"))
    places = [
        READERS / "zero_volume.vasp",
        READERS / "nan_coordinate.vasp",
        tmp_path / "silicon.cif",
    ]
    found = list(predict(PredictConfig(config.out, tuple(map(str, places)))))
    assert [p.value is None for p in found] == [True, True, False]
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    failed, good = Predictor.from_pretrained(config.out).predict([alloy, silicon])
    assert "Cu:0.5" in failed.error.replace(" ", "")
    assert math.isfinite(good.value)
