"""`crysmmnet benchmark` on 48 crystals, and published predictions scored again."""

import csv
import gzip
import hashlib
import json
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import TARGET, rows, write_dataset

from curate.dataset.splits import ids_in_split
from curate.errors import InputError
from model.benchmark import run
from model.benchmark.answer import Answer
from model.benchmark.benchmark import benchmark
from model.benchmark.folds import Fold
from model.benchmark.inputs import Inputs
from model.benchmark.matbench import ordered, scores
from model.benchmark.report import write_contribution
from model.config import BenchmarkConfig
from model.publish.leaderboard import check_contribution, file_name

ROOT = Path(__file__).parents[3]
FOLDS = "fold_matbench_small"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("benchmark")
    changed = [{**row, FOLDS: str(number % 2)} for number, row in enumerate(rows())]
    write_dataset(place / "data", changed)
    table = [
        {"task": "small", "model": "zero", "fold": 0, "id": row["material_id"], "prediction": 0.0}
        for row in changed
    ]
    pq.write_table(pa.Table.from_pylist(table), place / "published.parquet")
    return place


def config(folder: Path, **changes) -> BenchmarkConfig:
    settings = {
        "data": str(folder / "data"),
        "target": TARGET,
        "folds": FOLDS,
        "out": folder / "out",
        "descriptors": ("magpie", "cell"),
        "seeds": (0, 1),
        "inner_folds": 3,
        "published": folder / "published.parquet",
        "cache": folder / "cache",
    }
    return BenchmarkConfig(**{**settings, **changes})


def test_the_answer_holds_together(folder):
    out = benchmark(config(folder))
    found = json.loads((out / "results.json").read_text())
    with (out / "predictions.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 48 and {row["fold"] for row in table} == {"0", "1"}
    for model, score in found["models"].items():
        maes = [
            np.mean([abs(float(r[model]) - float(r["target"])) for r in table if r["fold"] == fold])
            for fold in "01"
        ]
        assert score["fold maes"] == pytest.approx(maes), model
        assert score["mae"] == pytest.approx(np.mean(maes))
    zero = np.mean([abs(float(row["target"])) for row in table])
    assert found["published"]["zero"]["mae"] == pytest.approx(zero, rel=0.2)
    assert found["models"]["blend"]["mae"] < found["published"]["zero"]["mae"]
    shares = found["chosen"]["blend, fold 0"]
    assert sum(shares.values()) == pytest.approx(1) and not any(
        "shuffled" in name for name in shares
    )
    assert {"contents_sha256", "versions", "command"} <= found["made"].keys()
    shared = found["made"]["shared with training"]["0"]["formula"]
    formulas = {row["material_id"]: row["chemical_formula_reduced"] for row in rows()}
    learned = {formulas[row["id"]] for row in table if row["fold"] == "1"}
    assert shared == sum(formulas[row["id"]] in learned for row in table if row["fold"] == "0")
    text = (out / "report.md").read_text()
    assert "published: zero" in text and "the text's share" in text
    assert (out / "folds.png").read_bytes().startswith(b"\x89PNG")


def test_the_leaderboards_file_holds_every_test_crystal_and_its_own_digest(folder):
    out = benchmark(config(folder))
    found = json.loads(gzip.decompress((out / "results.json.gz").read_bytes()))
    results = found["tasks"]["matbench_small"]["results"]
    assert sorted(results) == ["fold_0", "fold_1"]
    assert {len(fold["data"]) for fold in results.values()} == {24}
    digest = found.pop("hash")
    assert digest == hashlib.sha256(json.dumps(ordered(found)).encode()).hexdigest()


def test_it_goes_on_where_it_was_stopped_with_the_same_numbers(folder, monkeypatch):
    out = benchmark(config(folder))
    before = (out / "predictions.csv").read_bytes()
    (out / "fits" / "trees-fold-1-seed-0.json").unlink()
    fitted = []
    fit = run.fit_fold
    monkeypatch.setattr(run, "fit_fold", lambda *a: fitted.append(a[0].name) or fit(*a))
    benchmark(config(folder))
    assert fitted == ["trees"] and (out / "predictions.csv").read_bytes() == before


def test_another_question_in_the_same_folder_is_refused(folder):
    benchmark(config(folder))
    with pytest.raises(InputError, match=r"other settings \(inner_folds\)"):
        benchmark(config(folder, inner_folds=4))


def test_a_kill_while_the_settings_were_written_locks_no_folder(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    left = out / f"settings.json.{platform.node()}-999999999.partial"
    left.write_text("{")
    benchmark(config(folder, out=out, seeds=(0,)))
    assert not left.exists() and (out / "report.md").is_file()


def test_a_drawn_split_has_no_folds(folder):
    with pytest.raises(InputError, match="--folds COLUMN"):
        benchmark(config(folder, folds=None, out=folder / "other"))


def test_a_damaged_fit_is_named(folder):
    out = benchmark(config(folder))
    damaged = out / "fits" / "kernel-fold-0-seed-0.json"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    with pytest.raises(InputError, match=r"kernel-fold-0-seed-0\.json is damaged; delete it"):
        benchmark(config(folder))
    damaged.write_bytes(whole)


@pytest.mark.parametrize(
    ("task", "model", "mae"),
    [  # as on the leaderboard of matbench v0.1, in the results files of its repository
        ("jdft2d", "alignn", 43.4244),
        ("jdft2d", "coNGN", 36.1698),
        ("jdft2d", "rf", 50.0440),
        ("phonons", "alignn", 29.5385),
        ("phonons", "coNGN", 28.8874),
        ("phonons", "automatminer_expressv2020", 56.1706),
    ],
)
def test_published_predictions_have_their_published_scores(task, model, mae):
    known = pq.read_table(ROOT / f"curate/data/matbench_{task}.parquet").to_pylist()
    targets = {row["id"]: row["target"] for row in known}
    table = pq.read_table(
        ROOT / "benchmarks/published/matbench.parquet",
        filters=[("task", "=", f"matbench_{task}"), ("model", "=", model)],
    ).to_pylist()
    assert {row["id"] for row in table} == targets.keys()
    maes = []
    for fold in range(5):
        tested = [row for row in table if row["fold"] == fold]
        wanted = np.array([targets[row["id"]] for row in tested])
        maes.append(scores(wanted, np.array([row["prediction"] for row in tested]))["mae"])
    assert np.mean(maes) == pytest.approx(mae, abs=1e-3)


def test_the_jarvis_leaderboards_file_holds_its_test_ids_or_is_not_written(
    folder, tmp_path, caplog
):
    task = "dft_3d_exfoliation_energy"
    ids = sorted(ids_in_split(task, "test"))
    fold = Fold("test", np.arange(0), np.arange(len(ids)))
    targets = np.linspace(1, 2, len(ids))
    inputs = Inputs(ids, targets, {}, {})
    answer = Answer(inputs, [fold], [0], ["blend"], {("blend", "test", 0): targets + 0.5}, {}, {})
    asked = config(folder, folds=None, split="official", out=tmp_path)
    write_contribution(asked, answer, f"split_{task}")
    path = tmp_path / file_name(task)
    assert check_contribution(path, task) == len(ids) == 81
    path.unlink()
    short = replace(answer, inputs=replace(inputs, ids=[*ids[1:], "JVASP-0"]))
    write_contribution(asked, short, f"split_{task}")
    assert (
        not path.exists()
        and "1 test crystals of dft_3d_exfoliation_energy are not in" in caplog.text
    )
