"""A dropped CIF is described and predicted with and without its text; a broken one gets a sentence."""

import sys
from dataclasses import replace

import pytest

from curate.errors import InputError
from curate.pages.page import plotly_script
from curate.run.schema import record_of_row
from model.data.materials import load_rows
from model.model_folder import ModelFolder
from model.pages.app import cell_of, effects_html, make_page, prediction_html
from model.pages.app_session import AppSession
from model.pages.upload import MAX_ATOMS
from model.predict.nearest_crystals import TrainingCrystals, embedded
from model.predict.predictor import Prediction, Predictor
from model.predict.sentence_attribution import SentenceAttribution
from model.training.train import train


@pytest.fixture(scope="module")
def session(trained, dataset, cache) -> AppSession:
    return AppSession(trained, dataset, cache)


@pytest.fixture
def cif(rutile, tmp_path):
    rutile.to_pymatgen().to(filename=str(tmp_path / "rutile.cif"))
    return tmp_path / "rutile.cif"


def answers(session, path) -> dict:
    """All that was said in the end."""
    said: dict = {}
    for step in session.answer(str(path)):
        said |= step
    return said


def test_a_cif_is_described_predicted_and_compared(session, cif, rutile, cache):
    steps = [sorted(step) for step in session.answer(str(cif))]
    assert steps[:3] == [["status"], ["status", "structure"], ["status", "text"]]
    said = answers(session, cif)
    assert said["status"].startswith("O2Ti, 6 atoms in the cell. Described in")
    assert said["text"].startswith("TiO2 is Rutile structured")
    prediction, without = said["prediction"]
    whole = prediction.value
    record = said["structure"]
    (described,) = session.predictor.predict([replace(record, description=said["text"])])
    assert whole == pytest.approx(described.value, abs=1e-5)
    assert without == pytest.approx(said["attribution"].without_text)
    assert without != pytest.approx(whole, abs=1e-6)
    similarities = [neighbor.similarity for neighbor in said["neighbors"]]
    assert similarities == sorted(similarities, reverse=True)
    assert len(similarities) == 8


def test_an_element_that_no_training_crystal_has_is_said(trained, cif, cache):
    session = AppSession(trained, None, cache)
    assert "no training crystal" not in answers(session, cif)["status"]
    session.preprocessing.elements.remove("Ti")
    assert "the model has seen no training crystal with Ti" in answers(session, cif)["status"]


def test_a_training_crystal_is_most_like_itself(session, dataset, trained, cache, tmp_path):
    record = next(
        r for r in map(record_of_row, load_rows(dataset)) if r.material_id in session.known.ids
    )
    nearest = session.neighbors(record)[0]
    assert nearest.similarity == pytest.approx(1, abs=1e-5)
    vectors, _ = embedded(session.predictor, [record])
    session.known.save(ModelFolder(tmp_path))
    again = TrainingCrystals.load(ModelFolder(tmp_path))
    assert again.nearest(vectors[0], 3) == session.known.nearest(vectors[0], 3)
    assert TrainingCrystals.load(ModelFolder(trained)) is None
    assert AppSession(trained, None, cache).neighbors(record) is None


def test_a_broken_cif_is_answered_with_a_sentence(session, tmp_path):
    broken = tmp_path / "<b>broken.cif"
    broken.write_text("data_x\n_cell_length_a nothing\nloop_\n")
    said = answers(session, broken)
    assert list(said) == ["status"]
    assert said["status"].startswith("<b>broken.cif: ")
    assert "\n" not in said["status"]
    assert str(tmp_path) not in said["status"]
    other = tmp_path / "crystal.json"
    other.write_text('{"@module": "os", "@class": "system"}')
    status = answers(session, other)["status"]
    assert status == "crystal.json: neither a pymatgen structure nor a jarvis atoms dictionary"
    other = tmp_path / "crystal.pkl"
    other.write_text("")
    assert answers(session, other)["status"].startswith("crystal.pkl: unknown kind of file")


def test_a_file_of_two_crystals_is_refused(session, rutile, tmp_path):
    one = rutile.to_pymatgen().to(fmt="cif")
    (tmp_path / "two.cif").write_text(one + one)
    assert answers(session, tmp_path / "two.cif")["status"] == (
        "two.cif: it holds 2 crystals; this page takes one at a time"
    )


def test_a_large_cell_is_refused(session, rock_salt, tmp_path):
    cell = rock_salt.to_pymatgen()
    cell.make_supercell((3, 3, 3))
    cell.to(filename=str(tmp_path / "large.cif"))
    said = answers(session, tmp_path / "large.cif")
    assert said["status"] == f"large.cif: 216 atoms; this page takes cells of up to {MAX_ATOMS}"


def test_a_model_of_the_graph_alone_says_so(settings, cif, dataset, cache, tmp_path):
    train(settings(tmp_path / "graph", modality="graph", epochs=1))
    said = answers(AppSession(tmp_path / "graph", dataset, cache), cif)
    assert said["prediction"][1] is None
    assert said["status"].endswith("sees the structure only and reads no text.")
    assert "text" not in said
    assert said["neighbors"]


def test_a_text_is_no_markup(rutile):
    attribution = SentenceAttribution(1.0, ("<script>x</script>",), (0.5,), 0.5)
    html = effects_html(attribution, "eV")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    frame = cell_of(replace(rutile, species_at_sites=rutile.species_at_sites))
    assert frame.count("<") == 2  # the frame and its end; the framed page is escaped
    assert 'sandbox="allow-scripts"' in frame


def test_a_missing_extra_is_named(trained, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError, match=r"pip install 'crysmmnet\[app\]'"):
        make_page(trained, None, cache)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(InputError, match=r"pip install 'crysmmnet\[report\]'"):
        plotly_script()


def test_what_the_head_reads_gives_the_prediction(trained, dataset, cache):
    import torch

    from model.network.inference import embed, infer

    predictor = Predictor.from_pretrained(trained, cache)
    records = [record_of_row(row) for row in load_rows(dataset)][:5]
    examples = list(predictor.examples(records))
    vectors = embed(predictor.model, examples, 2)
    with torch.inference_mode():
        values = predictor.model.head(torch.from_numpy(vectors)).squeeze(1).numpy()
    assert values == pytest.approx(infer(predictor.model, examples, 5), abs=1e-5)


def test_the_app_says_margin_and_what_is_unlike(session):
    found = Prediction(
        "x", 1.5, "eV", margin=0.21, level=0.9, unlike="no training crystal has <b>Xe"
    )
    said = prediction_html(session, (found, 1.4))
    assert "1.5</b><span class='margin'> ± 0.21</span>" in said
    assert "the margin is to hold for 90 % of crystals" in said
    assert "no training crystal has &lt;b&gt;Xe" in said
    plain = prediction_html(session, (Prediction("x", 1.5, "eV"), 1.4))
    assert "±" not in plain and "Unlike" not in plain and "no margin" in plain
