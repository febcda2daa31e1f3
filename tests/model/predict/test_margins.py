"""Margins of a model folder: from its own validation part, at any level, without training again."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from corpus import TARGET, records

from curate.errors import InputError
from model.config import EvaluateConfig, PredictConfig
from model.data.neighborhood import Neighborhood
from model.files import read_csv, write_csv
from model.model_folder import ModelFolder
from model.predict.evaluate import evaluate
from model.predict.predictor import Predictor, predict
from model.training.calibration import Calibration, held_margins, margin_line
from model.training.metrics import line
from model.training.train import train


def folder_of(trained, place, n_val, n_test, members=1, log10=False, seed=0):
    """A copy of a model whose predictions are drawn: noise of a scale that the spread says, or not."""
    shutil.copytree(trained, place)
    chance = np.random.default_rng(seed)
    n = n_val + n_test
    scale = chance.choice([0.1, 1.0], n)
    values = np.exp(chance.uniform(1, 5, n)) if log10 else chance.standard_normal(n)
    unit = values if log10 else 1.0
    targets = values + 0.1 * unit * scale * chance.standard_normal(n)
    parts = ["val"] * n_val + ["test"] * n_test
    columns = [map(str, range(n)), parts, targets, values, 0.1 * unit * scale]
    header = ["id", "split", "target", "prediction", "spread"]
    keep = 5 if members > 1 else 4
    write_csv(place / "predictions.csv", header[:keep], zip(*columns[:keep], strict=True))
    for name, change in (("question", {"members": members}), ("preprocessing", {"log10": log10})):
        path = place / f"{name}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return ModelFolder(place)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("log10", [False, True])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_margins_of_known_noise_hold_as_often_as_they_say(trained, tmp_path, members, log10, level):
    folder = folder_of(trained, tmp_path / "m", 2_000, 20_000, members, log10)
    found = held_margins(folder, level)
    assert found["coverage"] == pytest.approx(level, abs=0.03)  # 3 standard deviations of 2,000
    assert found["n_val"] == 2_000 and found["shortage"] is None
    if members > 1:
        assert level < 0.9 or found["mean"] < 0.95 * found["constant"]
        assert found["certain_half"] < 0.6
    elif not log10:
        assert found["mean"] == pytest.approx(found["constant"])
        assert found["certain_half"] is None


def test_one_networks_margin_is_a_quantile_of_its_validation_errors(trained, tmp_path, cache):
    folder = folder_of(trained, tmp_path / "m", 40, 5)
    errors = sorted(
        abs(float(r["prediction"]) - float(r["target"]))
        for r in folder.predictions
        if r["split"] == "val"
    )
    predictor = Predictor.from_pretrained(folder.path, cache)
    for level, rank in ((0.5, 21), (0.9, 37), (0.95, 39)):
        (found, *_) = predictor.predict(records()[:2], level=level)
        assert found.margin == pytest.approx(errors[rank - 1])
        assert found.level == level


def test_a_small_validation_part_is_said_to_be_too_small(trained, cache, dataset, tmp_path, caplog):
    """The official split of the 48 crystals has four for validation."""
    n = sum(row["split"] == "val" for row in read_csv(trained / "predictions.csv"))
    out = tmp_path / "found.csv"
    found = list(predict(PredictConfig(trained, (dataset,), cache=cache, out=out)))
    assert {one.margin for one in found} == {one.level for one in found} == {None}
    assert f"the validation part has {n} crystals, and a level of 0.9 needs 9" in caplog.text
    assert {row["margin"] for row in read_csv(out)} == {""}
    level = n / (n + 1) - 0.01
    found = list(predict(PredictConfig(trained, (dataset,), cache=cache, level=level)))
    assert all(one.margin > 0 and one.level == level for one in found)


def test_a_level_that_is_no_share_is_refused(trained, dataset, cache):
    with pytest.raises(InputError, match=r"--level must be above 0 and below 1, as 0\.9, not 90"):
        list(predict(PredictConfig(trained, (dataset,), cache=cache, level=90)))


def test_training_crystals_are_near_and_a_crystal_in_another_direction_is_far():
    chance = np.random.default_rng(0)
    training = chance.standard_normal((50, 6)) * [1, 1, 1, 0.01, 0.01, 0.01]
    validation = chance.standard_normal((30, 6)) * [1, 1, 1, 0.01, 0.01, 0.01]
    found = Neighborhood.measure(training, validation, 0)
    assert found.distances(3 * training) == pytest.approx(np.zeros(50), abs=1e-6)
    assert (found.distances(validation) <= found.limit + 1e-6).all()
    assert found.distances(np.eye(6)[[5]])[0] > found.limit


def test_of_many_validation_crystals_one_in_a_hundred_is_far():
    found = Neighborhood(np.eye(2, dtype=np.float32), np.linspace(0.01, 10, 1000))
    assert found.limit == pytest.approx(9.91)


def test_of_many_training_crystals_a_share_is_kept(monkeypatch):
    monkeypatch.setattr("model.data.neighborhood.MOST_KEPT", 7)
    vectors = np.random.default_rng(0).standard_normal((20, 3))
    assert Neighborhood.measure(vectors, vectors, 0).vectors.shape == (7, 3)


def test_a_crystal_unlike_the_training_is_said_to_be(trained, cache, tmp_path, silicon, caplog):
    folder = tmp_path / "m"
    shutil.copytree(trained, folder)
    known = Neighborhood.load(ModelFolder(folder))
    assert known.validation.max() <= known.limit
    record = replace(silicon, description="Si.")
    (found,) = Predictor.from_pretrained(folder, cache).predict([record])
    moved = Neighborhood(known.vectors, np.array([-1.0], np.float32))  # everything is far
    moved.save(ModelFolder(folder))
    (found,) = Predictor.from_pretrained(folder, cache).predict([record])
    assert found.unlike == "far from all training crystals"
    assert "far from all training crystals: silicon" in caplog.text
    (folder / "neighborhood.safetensors").unlink()  # as folders of earlier versions
    (found,) = Predictor.from_pretrained(folder, cache).predict([record])
    assert found.unlike is None
    predictor = Predictor.from_pretrained(folder, cache)
    strange = next(one for one in ("Tc", "Xe", "Hf") if one not in predictor.preprocessing.elements)
    (found,) = predictor.predict([replace(record, species_at_sites=(strange, strange))])
    assert found.unlike == f"no training crystal has {strange}"


def test_calibration_knows_nothing_of_test_and_training_crystals(trained, tmp_path):
    folder = folder_of(trained, tmp_path / "m", 30, 10, members=2)
    before = Calibration.from_folder(folder)
    rows = folder.predictions
    changed = [
        [*(row[name] for name in ("id", "split")), "999", row["prediction"], row["spread"]]
        if row["split"] == "test"
        else list(row.values())
        for row in rows
    ]
    write_csv(folder.path / "predictions.csv", list(rows[0]), changed)
    after = Calibration.from_folder(folder)
    assert (after.scores == before.scores).all() and after.typical == before.typical


@pytest.fixture(scope="module")
def gap(tmp_path_factory, settings):
    """A model of another property, of the graph alone."""
    out = tmp_path_factory.mktemp("gap") / "gap"
    train(settings(out, target="optb88vdw_bandgap", modality="graph", epochs=1))
    return out


def test_several_models_say_what_each_says_alone_and_describe_once(
    trained, gap, cache, tmp_path, silicon, rutile, monkeypatch
):
    for record in (silicon, rutile):
        record.to_pymatgen().to(filename=str(tmp_path / f"{record.material_id}.cif"))
    (tmp_path / "bad.cif").write_text("data_broken\n")
    crystals = tuple(str(tmp_path / f"{name}.cif") for name in ("silicon", "bad", "rutile"))
    copy = tmp_path / "second"  # a second model of texts
    shutil.copytree(trained, copy)
    alone = [
        list(predict(PredictConfig(place, crystals, cache=cache, level=0.7)))
        for place in (trained, gap, copy)
    ]
    asked = []
    from model.predict import predictor as module

    real = module.description_of
    monkeypatch.setattr(
        module, "description_of", lambda record: asked.append(record.material_id) or real(record)
    )
    out = tmp_path / "out.csv"
    config = PredictConfig(
        trained, crystals, also=(str(gap), str(copy)), cache=cache, level=0.7, out=out
    )
    together = list(predict(config))
    assert asked == ["silicon", "rutile"]
    names = [
        "formation_energy_peratom (both)",
        "optb88vdw_bandgap",
        "formation_energy_peratom (second)",
    ]
    assert [one.target for one in together] == names * 3
    for number in range(3):
        assert [replace(one, target="") for one in together[number::3]] == alone[number]
    table = read_csv(out)
    assert [row["id"] for row in table] == ["silicon", "bad", "rutile"]
    for number, name in enumerate(names):
        for row, one in zip(table, alone[number], strict=True):
            assert row[f"{name} error"] == (one.error or "")
            if one.value is not None:
                assert float(row[f"{name} prediction"]) == one.value
                assert row[f"{name} unit"] == one.unit
                assert float(row[f"{name} margin"]) == one.margin


def test_a_training_says_how_wide_its_margins_are_and_how_many_hold(trained, tmp_path):
    folder = folder_of(trained, tmp_path / "one", 40, 50)
    held = held_margins(folder)
    said = margin_line(held, "eV")
    assert said.startswith(f"margin ± {held['mean']:.4f} eV (90 %); ")
    assert f"{50 * held['coverage']:.0f} of 50 test crystals" in said
    assert "on average" in margin_line(
        held_margins(folder_of(trained, tmp_path / "3", 40, 50, 3)), ""
    )
    few = margin_line(held_margins(folder_of(trained, tmp_path / "few", 4, 50)), "eV")
    assert few == "no margins: the validation part has 4 crystals, and a level of 0.9 needs 9"


def test_an_evaluation_says_how_many_new_crystals_lie_within_their_margins(
    trained, tmp_path, dataset, cache
):
    folder = folder_of(
        trained, tmp_path / "m", 40, 5
    )  # whose crystals are not those of the dataset
    new = evaluate(EvaluateConfig(folder.path, dataset, cache=cache))["new"]
    predictions = Predictor.from_pretrained(folder.path, cache).predict(records())
    targets = {record.material_id: record.properties[TARGET] for record in records()}
    within = [abs(one.value - targets[one.id]) <= one.margin for one in predictions]
    assert 0 < sum(within) < len(within)
    assert (new["held"], new["level"]) == (sum(within), 0.9)
    assert line("new", new, "eV/atom").endswith(f", {sum(within)} within their margins (90 %)")
    few = evaluate(EvaluateConfig(trained, dataset, cache=cache))["test"]
    assert "held" not in few and line("test", few, "eV/atom").endswith(f"n {few['n']}")
