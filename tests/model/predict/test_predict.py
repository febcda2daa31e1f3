"""A trained model on new crystals: files, datasets, structures in memory."""

import json
import math
import shutil
from dataclasses import replace

import pytest
from corpus import TARGET, records, rows, write_dataset
from pymatgen.core import Lattice, Structure

from curate.errors import InputError
from curate.run.schema import record_of_row
from model.config import EvaluateConfig, PredictConfig
from model.data.materials import load_rows
from model.files import read_csv
from model.predict.evaluate import evaluate
from model.predict.predictor import Predictor, predict


@pytest.fixture(scope="module")
def predictor(trained, cache):
    return Predictor.from_pretrained(trained, cache)


def test_predictions_are_those_of_the_training(trained, dataset, cache):
    expected = {
        row["id"]: float(row["prediction"]) for row in read_csv(trained / "predictions.csv")
    }
    found = predict(PredictConfig(trained, (dataset,), cache=cache))
    assert {p.id: p.value for p in found} == pytest.approx(expected, abs=1e-5)


def test_a_moved_model_predicts_the_same_numbers(trained, tmp_path, dataset, cache):
    moved = tmp_path / "elsewhere"
    shutil.copytree(trained, moved)
    here, there = (
        [p.value for p in predict(PredictConfig(place, (dataset,), cache=cache))]
        for place in (trained, moved)
    )
    assert here == there


def test_a_crystal_without_text_is_described_first(predictor, silicon, tmp_path):
    described = replace(silicon, description=(tmp_path / "none").name)
    by_its_own, by_ours = predictor.predict([described, silicon])
    written = (predictor.described(silicon)).description
    assert "Fd-3m" in written
    again = predictor.predict([replace(silicon, description=written)])[0]
    assert by_ours.value == pytest.approx(again.value, abs=1e-6)
    assert by_ours.value != by_its_own.value
    assert by_ours.unit == "eV/atom"


def test_structures_of_pymatgen_are_taken_as_they_are(predictor):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
    )
    (prediction,) = predictor.predict([salt.get_primitive_structure()])
    assert prediction.id == "structure 1"
    assert math.isfinite(prediction.value)


def test_a_bad_file_costs_one_line(tmp_path, trained, cache, silicon, rutile):
    for record in (silicon, rutile):
        record.to_pymatgen().to(filename=str(tmp_path / f"{record.material_id}.cif"))
    (tmp_path / "broken.cif").write_text("data_broken\n_cell_length_a nonsense\n")
    places = [str(tmp_path / f"{name}.cif") for name in ("silicon", "broken", "missing", "rutile")]
    out = tmp_path / "predictions.csv"
    found = list(predict(PredictConfig(trained, tuple(places), out=out, cache=cache)))
    assert [p.id for p in found] == ["silicon", "broken", "missing", "rutile"]
    assert [p.value is None for p in found] == [False, True, True, False]
    assert "broken.cif" in found[1].error
    assert "No such file" in found[2].error
    written = read_csv(out)
    assert [row["id"] for row in written] == [p.id for p in found]
    assert float(written[3]["prediction"]) == found[3].value


def test_a_crystal_that_has_no_features_costs_one_line(predictor, silicon):
    heavy = replace(
        silicon, material_id="heavy", species_at_sites=("Lr", "Si"), description="LrSi."
    )
    bad, good = predictor.predict([heavy, replace(silicon, description="Si.")])
    assert "'Lr'" in bad.error
    assert good.error is None


def test_a_models_pooling_is_recorded_and_an_earlier_folder_reads_cls(
    tmp_path, settings, dataset, cache, trained
):
    from model.training.train import train

    config = settings(tmp_path / "m", modality="text", text_pooling="own", epochs=1)
    train(config)
    assert json.loads((config.out / "question.json").read_text())["text_pooling"] == "own"
    for folder, pooling in ((config.out, "mean"), (trained, "cls")):
        stored = json.loads((folder / "preprocessing.json").read_text())
        assert stored["text_recipe"]["pooling"] == pooling
        predictor = Predictor.from_pretrained(folder, cache)
        assert predictor.encoder.pooling == pooling
        known = {row["id"]: row["prediction"] for row in read_csv(folder / "predictions.csv")}
        crystals = [record_of_row(row) for row in load_rows(dataset)][:8]
        for found in predictor.predict(crystals):
            assert found.value == pytest.approx(float(known[found.id]), abs=1e-4)


def test_a_model_of_the_graph_alone_needs_no_text(tmp_path, settings, silicon):
    from model.training.train import train

    config = settings(tmp_path / "m", modality="graph", epochs=1)
    train(config)
    (prediction,) = Predictor.from_pretrained(config.out).predict([silicon])
    assert math.isfinite(prediction.value)
    assert json.loads((config.out / "preprocessing.json").read_text())["text_encoder"] is None


def test_elements_that_no_training_crystal_has_are_said(trained, cache, silicon, tmp_path, caplog):
    folder = tmp_path / "m"
    shutil.copytree(trained, folder)
    path = folder / "preprocessing.json"
    stored = json.loads(path.read_text())
    learned = {
        row["id"] for row in read_csv(trained / "predictions.csv") if row["split"] == "train"
    }
    in_training = [row for row in rows() if row["material_id"] in learned]
    assert stored["elements"] == sorted({s for r in in_training for s in r["species_at_sites"]})
    stored["elements"].remove("Si")
    path.write_text(json.dumps(stored))
    (prediction,) = Predictor.from_pretrained(folder, cache).predict([silicon])
    assert math.isfinite(prediction.value)
    assert caplog.messages.count("no training crystal has Si, as silicon") == 1
    del stored["elements"]  # as folders of earlier versions
    path.write_text(json.dumps(stored))
    caplog.clear()
    Predictor.from_pretrained(folder, cache).predict([silicon])
    assert "no training crystal" not in caplog.text


def test_evaluation_repeats_the_scores_of_the_training(trained, dataset, cache):
    metrics = json.loads((trained / "metrics.json").read_text())
    result = evaluate(EvaluateConfig(trained, dataset, cache=cache))
    for part in ("train", "val", "test"):
        assert result[part] == pytest.approx(metrics[part], rel=1e-4)
    assert "new" not in result


def test_crystals_the_model_never_saw_are_scored_apart(trained, tmp_path, cache):
    changed = rows()[:6]
    changed[0]["material_id"] = "JVASP-0"
    changed[1][TARGET] = None
    data = write_dataset(tmp_path / "dataset", changed)
    out = tmp_path / "scored.csv"
    result = evaluate(EvaluateConfig(trained, data, out=out, cache=cache))
    assert result["new"]["n"] == 1
    assert result["dropped"] == {"no target": 1}
    assert len(read_csv(out)) == 5


def test_pickled_weights_are_refused(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").rename(tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        Predictor.from_pretrained(tmp_path / "m")


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no preprocessing\.json"):
        Predictor.from_pretrained(tmp_path)


def test_another_encoder_under_the_same_name_is_refused(trained, tmp_path, cache):
    shutil.copytree(trained, tmp_path / "m")
    path = tmp_path / "m" / "preprocessing.json"
    stored = json.loads(path.read_text())
    stored["text_recipe"]["encoder"] = "another"
    path.write_text(json.dumps(stored))
    with pytest.raises(InputError, match="not the one of the training"):
        Predictor.from_pretrained(tmp_path / "m", cache).predict(records()[:1])


def test_the_texts_author_is_watched(predictor, caplog):
    with caplog.at_level("WARNING"):
        predictor.predict([replace(records()[0], description="By hand.", description_origin="me")])
    assert "descriptions by me; the model learned from robocrys 0.2.13" in caplog.text
