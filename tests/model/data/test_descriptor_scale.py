"""Descriptors as the third input: scaled by the training part, imputed, and known to the model's folder."""

import json
from dataclasses import replace

import numpy as np
import pytest
from corpus import TINY, rows, write_dataset

from curate.errors import InputError
from curate.run.schema import record_of_row
from model.data.descriptor_scale import FARTHEST, DescriptorScale
from model.data.materials import label_column, load_rows, read_materials
from model.data.prepare import prepare
from model.descriptors import DESCRIPTORS, Crystal, column_names, descriptor_values
from model.model_folder import PREPROCESSING, ModelFolder
from model.network.batch import collate
from model.predict.predictor import Predictor
from model.predict.sentence_attribution import attribute_sentences
from model.training.train import train

NAMES = ["composition"]


def values_of(**columns) -> np.ndarray:
    """Rows of the composition with these columns and zeros elsewhere."""
    names = [name.removeprefix("composition: fraction of ") for name in column_names(NAMES)]
    values = np.zeros((len(next(iter(columns.values()))), len(names)))
    for symbol, column in columns.items():
        values[:, names.index(symbol)] = column
    return values


def test_columns_that_vary_are_standardised_and_the_others_left_out():
    values = values_of(H=[0.0, 0.5, 1.0], O=[1.0, 0.5, np.nan], Si=[0.2, 0.2, 0.2])
    scale = DescriptorScale.fit(NAMES, values)
    assert scale.columns == ["composition: fraction of H", "composition: fraction of O"]
    assert (scale.width, scale.mean, scale.std[1]) == (2, [0.5, 0.75], 0.25)
    found = scale.standardise(values)
    assert found.dtype == np.float32
    assert found[:, 0] == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert found[:, 1].tolist() == [1, -1, 0]  # a number that is missing is the mean
    assert scale.standardise(values_of(H=[1e9], O=[-1e9])).tolist() == [[FARTHEST, -FARTHEST]]


def test_descriptors_that_say_nothing_are_refused():
    with pytest.raises(InputError, match="--descriptors composition: no number differs"):
        DescriptorScale.fit(NAMES, values_of(Si=[1.0, 1.0]))


def test_the_scale_is_that_of_the_training_part(settings, tmp_path, dataset):
    config = settings(
        tmp_path / "m", descriptors=("composition", "magpie"), split="official", modality="graph"
    )
    loaded = load_rows(dataset)
    column = label_column(loaded, config.target, config.split, config.folds)
    materials = read_materials(loaded, config.target, column)
    prepared = prepare(config, materials)
    learned = [m for m in materials if m.id in prepared.parts["train"].ids]
    values = descriptor_values(config.descriptors, learned)
    assert len(learned) == 40 and prepared.preprocessing.descriptors == DescriptorScale.fit(
        config.descriptors, values
    )
    batch = collate(list(prepared.parts["train"]))
    assert batch.descriptors.shape == (40, sum(prepared.descriptor_widths))
    spread = batch.descriptors.numpy().std(0)
    assert np.abs(batch.descriptors.numpy().mean(0)).max() < 0.2  # not 0 where some were too far
    assert spread.max() < 1.001


@pytest.mark.parametrize("modality", ["both", "graph", "text"])
def test_a_model_predicts_what_it_predicted(modality, settings, tmp_path, dataset, cache):
    config = settings(tmp_path / "m", descriptors=NAMES, modality=modality, epochs=1, network=TINY)
    train(config)
    assert json.loads((config.out / "config.json").read_text())["descriptor_widths"][0] > 5
    predictor = Predictor.from_pretrained(config.out, cache)
    known = {row["id"]: float(row["prediction"]) for row in ModelFolder(config.out).predictions}
    records = [record_of_row(row) for row in load_rows(dataset)]
    found = {p.id: p.value for p in predictor.predict(records)}
    assert found == pytest.approx(known, abs=1e-4)
    if modality == "both":
        explained = attribute_sentences(predictor, records[0])
        assert explained.prediction == pytest.approx(known[records[0].material_id], abs=1e-4)
    assert train(config)["test"]["n"] == 4  # the record on disk, a list, is that of the tuple
    with pytest.raises(InputError, match=r"descriptors was \['composition'\], now \[\]"):
        train(replace(config, descriptors=()))


def test_other_descriptors_than_those_of_the_training_are_refused(
    settings, tmp_path, cache, silicon, monkeypatch
):
    config = settings(tmp_path / "m", descriptors=NAMES, modality="graph", epochs=1)
    train(config)
    monkeypatch.setattr(type(DESCRIPTORS["composition"]), "version", 2)
    with pytest.raises(InputError, match="'composition' of this version is not the one"):
        Predictor.from_pretrained(config.out, cache).predict([silicon])


def test_the_condensed_structure_is_read_or_made(settings, tmp_path, cache, caplog, silicon, built):
    dataset = str(built)
    config = settings(
        tmp_path / "m",
        data=dataset,
        descriptors=("condensed",),
        modality="graph",
        epochs=1,
        split="random",
    )
    train(config)
    predictor = Predictor.from_pretrained(config.out, cache)
    (crystal,) = [predictor.crystal_of(silicon)]
    assert isinstance(crystal, Crystal) and json.loads(crystal.condensed)["formula"] == "Si"
    known = {row["id"]: float(row["prediction"]) for row in ModelFolder(config.out).predictions}
    records = [record_of_row(row) for row in load_rows(dataset)]
    found = {p.id: p.value for p in predictor.predict(records)}
    assert found == pytest.approx(known, abs=1e-4)


def test_a_dataset_without_condensed_structures_is_one_sentence(settings, tmp_path):
    data = write_dataset(tmp_path / "dataset", rows())
    config = settings(tmp_path / "m", data=data, descriptors=("condensed",), modality="graph")
    with pytest.raises(InputError, match="no crystal of the dataset has a condensed structure"):
        train(config)
    assert not config.out.exists()


def test_a_folder_of_before_descriptors_reads_none(trained, tmp_path):
    stored = ModelFolder(trained).read(PREPROCESSING)
    assert stored["descriptors"] is None


def test_a_descriptor_named_twice_is_refused(settings, tmp_path):
    with pytest.raises(InputError, match="one is named twice"):
        settings(tmp_path, descriptors=("cell", "cell"))
