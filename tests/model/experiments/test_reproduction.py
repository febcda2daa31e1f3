"""An experiment that is made again says whether it came out the same, and if not, what was different."""

import json

import pytest
from corpus import TARGET

from model.experiments.reproduction import reproduction
from model.files import write_csv

NAMES = ("target", "encoder", "modality", "text", "train_fraction", "seed", "fold", "mae")
MADE = {
    "data_sha256": ["d"],
    "texts": [{"sha256": "t"}],
    "code_sha256": ["c"],
    "versions": [{"torch": "2.6"}],
    "hardware": ["a machine"],
}


def result(mae, seed=1, **changed):
    row = dict(
        zip(NAMES, (TARGET, "alignn", "graph", "description", 1.0, seed, None, mae), strict=True)
    )
    return row | changed


@pytest.fixture
def answer(tmp_path):
    rows = [result(0.1), result(1 / 3, seed=2)]
    write_csv(tmp_path / "results.csv", NAMES, ([row[name] for name in NAMES] for row in rows))
    (tmp_path / "made.json").write_text(json.dumps(MADE))
    return tmp_path


def test_the_same_numbers_are_the_same_whatever_made_them(answer):
    found = reproduction(
        answer, [result(0.1), result(1 / 3, seed=2)], {**MADE, "hardware": ["other"]}
    )
    assert found.sentence == "all 2 results came out as before"


def test_what_differs_is_named_with_what_was_not_as_it_was(answer):
    changed = {**MADE, "code_sha256": ["e"], "texts": [{"sha256": "u"}]}
    found = reproduction(answer, [result(0.1), result(0.34, seed=2), result(7.0, seed=3)], changed)
    assert (found.same, found.because) == (1, ("texts", "code_sha256"))
    assert found.sentence == (
        f"1 of 2 results differ from before ({TARGET} alignn graph description 1.0 2); not the same "
        "as then: the texts, the code"
    )
    unexplained = reproduction(answer, [result(0.2)], MADE)
    assert unexplained.sentence.endswith("not the same as then: nothing that is recorded")


def test_what_an_earlier_version_did_not_record_may_be_the_reason(answer):
    (answer / "made.json").write_text(json.dumps({"versions": MADE["versions"]}))
    found = reproduction(answer, [result(0.2)], MADE)
    assert found.because == ("data_sha256", "texts", "code_sha256", "hardware")


def test_a_first_answer_is_compared_with_nothing(tmp_path, answer):
    assert reproduction(tmp_path / "new", [result(0.1)], MADE) is None
    assert reproduction(answer, [result(0.1, seed=9)], MADE) is None
