"""Cards of a dataset that was built and of a model that was trained, against the Hub's conventions."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import get_dataset_config_names, load_dataset, load_dataset_builder
from hub_card_rules import check_card, front_matter
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index

from curate.dataset.card import size_category
from curate.dataset.splits import ids_in_split
from curate.errors import InputError
from model.config import PushModelConfig
from model.files import read_csv, write_csv
from model.model_folder import ModelFolder
from model.publish.metadata import base_model, benchmark_of
from model.publish.push import model_card
from model.publish.space import plan_space

ROOT = Path(__file__).parents[1]


@pytest.fixture
def model(trained, tmp_path) -> ModelFolder:
    """A copy of a trained model, to be changed."""
    return ModelFolder(Path(shutil.copytree(trained, tmp_path / "model")))


def rewrite(folder: ModelFolder, name: str, **changed) -> None:
    (folder.path / name).write_text(json.dumps({**folder.read(name), **changed}))


def test_the_dataset_card_is_as_the_hub_asks(built):
    card = (built / "dataset" / "README.md").read_text()
    assert check_card(card, "dataset") == ([], [])
    data = DatasetCard(card).data
    assert data.size_categories == ["n<1K"]
    assert (data.license, data.license_name) == ("other", "nist-terms-of-use")
    assert data.license_link.startswith("https://")
    assert (data.source_datasets, data.language) == (["original"], ["en"])
    assert DatasetCard(f"---\n{data.to_yaml()}\n---\n").data.to_dict() == data.to_dict()


def test_datasets_finds_both_configs_and_every_row(built, tmp_path):
    folder = str(built / "dataset")
    assert get_dataset_config_names(folder) == ["default", "manifest"]
    for config in ("default", "manifest"):
        rows = pq.read_table(built / "dataset" / config)
        builder = load_dataset_builder(folder, config, cache_dir=str(tmp_path))
        assert set(builder.config.data_files) == {"train"}
        loaded = load_dataset(folder, config, split="train", cache_dir=str(tmp_path))
        assert loaded.column_names == rows.schema.names
        assert loaded["material_id"][:] == rows["material_id"].to_pylist()
    assert load_dataset_builder(folder, cache_dir=str(tmp_path)).config.name == "default"


@pytest.mark.parametrize(
    ("n", "category"),
    [
        *((0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (76_000, "10K<n<100K")),
        *((999_999, "100K<n<1M"), (5_335_299, "1M<n<10M"), (10_000_000, "10M<n<100M")),
    ],
)
def test_a_size_is_a_category_of_the_hub(n, category):
    assert size_category(n) == category
    card = f"---\nsize_categories:\n- {category}\n---\n"
    assert check_card(card, "dataset") == ([], [])


def test_a_model_card_names_encoder_licence_and_benchmark(trained):
    folder = ModelFolder(trained)
    card = model_card(folder, "ada/net", "CC BY 4.0")
    assert check_card(card, "model") == ([], [])
    data = ModelCard(card).data
    assert (data.license, data.language, data.pipeline_tag) == ("cc-by-4.0", ["en"], "graph-ml")
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data.base_model_relation == "adapter"
    [result] = data.eval_results
    tested = sum(row["split"] == "test" for row in folder.predictions)
    task = "dft_3d_formation_energy_peratom"
    whole = len(set(ids_in_split(task, "test")))
    assert result.dataset_name == f"JARVIS-Leaderboard {task}, {tested} of {whole} test materials"
    assert result.dataset_type == task
    assert result.metric_value == folder.metrics["test"]["mae"]
    index = front_matter(card)["model-index"]
    assert eval_results_to_model_index("net", data.eval_results) == index


def test_a_fold_of_matbench_is_named_and_one_of_ones_own_is_not(model):
    rewrite(model, "metrics.json", folds="fold_matbench_jdft2d", fold="3", split="random")
    assert benchmark_of(model) == ("matbench_jdft2d", "Matbench v0.1 matbench_jdft2d, fold 3")
    rewrite(model, "metrics.json", folds="fold", fold="3", split="random")
    assert benchmark_of(model) is None
    card = model_card(model, "ada/net")
    assert "model-index" not in front_matter(card)
    assert check_card(card, "model") == ([], [])


def test_one_test_material_that_is_not_the_benchmarks_and_it_is_none(model):
    rows = read_csv(model.path / "predictions.csv")
    odd = next(number for number, row in enumerate(rows) if row["split"] == "test")
    rows[odd]["id"] = "mine"
    write_csv(model.path / "predictions.csv", list(rows[0]), [list(row.values()) for row in rows])
    assert benchmark_of(model) is None


@pytest.mark.parametrize(
    ("encoder", "tuned", "said"),
    [
        ("m3rg-iitd/matscibert", "no", ("m3rg-iitd/matscibert", "adapter")),
        ("m3rg-iitd/matscibert", "lora", ("m3rg-iitd/matscibert", "finetune")),
        ("tfidf", "no", None),
        ("/a/folder", "no", None),
    ],
)
def test_the_base_model_is_the_encoder_that_the_hub_has(model, encoder, tuned, said):
    rewrite(model, "question.json", text_encoder=encoder, tune_text=tuned)
    assert base_model(model) == (
        {"base_model": said[0], "base_model_relation": said[1]} if said else {}
    )


def test_a_model_that_reads_no_text_has_no_base_model_and_no_language(model):
    rewrite(model, "preprocessing.json", text_encoder=None)
    head = front_matter(model_card(model, "ada/net"))
    assert not {"base_model", "language", "license"} & set(head)


def test_a_licence_that_says_nothing_is_refused(trained):
    with pytest.raises(InputError, match="--license 'unknown' says nothing: name a licence"):
        model_card(ModelFolder(trained), "ada/net", "unknown")


def test_an_odd_name_of_a_target_stays_a_name(model):
    odd = "gap: #1 | <b>`x`</b> {{ y }} [a](http://b)"
    rewrite(model, "metrics.json", target=odd, split="random")
    card = model_card(model, "ada/net")
    assert check_card(card, "model") == ([], [])
    assert "<b>" not in card and "](http://b" not in card and "{{" not in card
    config = PushModelConfig(model.path, "ada/try", space=True, license="mit")
    page = plan_space(config).card
    assert check_card(page, "space") == ([], [])
    assert front_matter(page)["title"] == f"CrysMMNet for {odd}"
    assert "<b>" not in page.split("\n---\n", 1)[1]


def test_the_card_of_a_space_is_as_the_hub_asks(trained):
    plan = plan_space(PushModelConfig(trained, "ada/try", space=True))
    assert check_card(plan.card, "space") == ([], [])
    head = front_matter(plan.card)
    assert (head["sdk"], head["app_file"]) == ("gradio", "app.py")
    assert "license" not in head
    assert f"gradio=={head['sdk_version']}\n" in (ROOT / "constraints.txt").read_text()
    assert {"app.py", "trained/config.json"} <= {file.path for file in plan.files}


@pytest.mark.parametrize(
    ("kind", "head", "error"),
    [
        ("dataset", "size_categories: [n>1M]", '"size_categories" must be one of'),
        ("dataset", "task_categories: [crystals]", '"task_categories" must be one of'),
        ("dataset", "license: other", '"license_name" is needed'),
        ("dataset", "license: nist", '"license" must be one of'),
        ("dataset", "configs: [{data_files: a}]", '"configs[0].config_name" is required'),
        ("model", "pipeline_tag: text-retrieval", '"pipeline_tag" must be one of'),
        ("model", "metrics: [rmse]", '"metrics" must be one of'),
        ("model", "base_model: minilm", '"base_model" must be a name on the Hub'),
        ("space", "sdk: gradio\ntitle: a\ncolorTo: teal", '"colorTo" must be one of'),
        (
            "space",
            "sdk: gradio\ntitle: a\nshort_description: " + "b" * 61,
            '"short_description" length must be less',
        ),
    ],
)
def test_what_the_hub_would_refuse_is_noticed(kind, head, error):
    [found] = check_card(f"---\n{head}\n---\n", kind)[0]
    assert found.startswith(error)
