"""Splits: a column's, a fold's, drawn by crystal, formula or chemical system; what their parts share."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from builds import some
from commands import curate
from corpus import TARGET, rows, write_dataset
from small import rotated, supercell

from curate.errors import InputError
from model.config import ExperimentConfig, TrainConfig
from model.data.materials import as_label, label_column, load_rows, read_materials
from model.data.overlap import overlap_line, overlap_with_training
from model.data.splits import chemical_system, formula, split_of
from model.experiments.run import fold_labels, trainings
from model.model_folder import ModelFolder
from model.publish.push import model_card
from model.training.train import train


class Crystal:
    """A material of which a split reads id, label and record only."""

    def __init__(self, record, label=None):
        self.id, self.record, self.label = record.material_id, record, label


def config(**changed) -> TrainConfig:
    return TrainConfig(data="data", target="gap", out=Path("out"), **changed)


def parts(split) -> dict[str, list[str]]:
    return {"train": split.train, "val": split.val, "test": split.test}


@pytest.fixture(scope="module")
def crystals():
    """200 of the sample: 130 formulas of which are there once."""
    return [Crystal(record) for record in some(200)]


def test_a_random_split_is_seeded_disjoint_and_80_10_10(crystals):
    split = split_of(crystals, config(seed=1))
    assert (len(split.train), len(split.val), len(split.test)) == (160, 20, 20)
    assert sorted(split.train + split.val + split.test) == sorted(c.id for c in crystals)
    assert split == split_of(crystals, config(seed=1)) != split_of(crystals, config(seed=2))


def test_a_random_split_is_the_one_of_earlier_versions(crystals):
    """Drawn with f041074 from the same ids."""
    named = [Crystal(replace(c.record, material_id=f"m{n}")) for n, c in enumerate(crystals[:30])]
    split = split_of(named, config(seed=123))
    assert (split.val, split.test) == (["m9", "m11", "m16"], ["m4", "m19", "m21"])


@pytest.mark.parametrize(
    ("name", "key"), [("formula", formula), ("chemical-system", chemical_system)]
)
def test_groups_stay_whole(crystals, name, key):
    for seed in range(5):
        split = split_of(crystals, config(split=name, seed=seed))
        sizes = [len(ids) for ids in parts(split).values()]
        assert sum(sizes) == 200 and all(20 <= size <= 30 for size in sizes[1:])
        part_of = {i: part for part, ids in parts(split).items() for i in ids}
        places = {(key(c.record), part_of[c.id]) for c in crystals}
        assert len(places) == len({group for group, _ in places})
        assert split == split_of(crystals, config(split=name, seed=seed))
        assert split.test == [c.id for c in crystals if c.id in split.test]
    assert split != split_of(crystals, config(split=name, seed=9))


def test_chemical_systems_are_wider_than_formulas(rutile, silicon):
    assert formula(rutile) == "O2Ti" and chemical_system(rutile) == "O-Ti"
    assert chemical_system(silicon) == "Si"


def test_a_column_says_the_parts(crystals):
    labels = ["train", "Validation", " test ", "leak", None, "TRAIN", "val"]
    chosen = [Crystal(c.record, as_label(x)) for c, x in zip(crystals, labels, strict=False)]
    split = split_of(chosen, config(split="mine"))
    ids = [c.id for c in chosen]
    assert parts(split) == {"train": [ids[0], ids[5]], "val": [ids[1], ids[6]], "test": [ids[2]]}
    assert split.leak == [ids[3]] and split.dropped["no part in mine"] == [ids[4]]
    wrong = [Crystal(crystals[0].record, "holdout")]
    with pytest.raises(
        InputError, match=rf"--split mine: {ids[0]} has 'holdout' there; write train"
    ):
        split_of(wrong, config(split="mine"))


@pytest.mark.parametrize("how", ["random", "formula"])
def test_one_fold_is_tested_and_validation_drawn_from_the_others(crystals, how):
    folded = [
        Crystal(c.record, as_label(float(n % 5) if n else None)) for n, c in enumerate(crystals)
    ]
    tested = []
    for fold in "01234":
        split = split_of(folded, config(folds="fold", fold=fold, split=how))
        assert split.test == [c.id for c in folded if c.label == fold]
        assert set(split.train) | set(split.val) == {
            c.id for c in folded if c.label not in (fold, None)
        }
        assert 15 <= len(split.val) <= 24 and not set(split.train) & set(split.val)
        assert split.dropped == {"no fold in fold": [folded[0].id]}
        tested += split.test
        if how == "formula":
            by_id = {c.id: formula(c.record) for c in folded}
            assert not {by_id[i] for i in split.train} & {by_id[i] for i in split.val}
    assert sorted(tested) == sorted(c.id for c in folded[1:])
    with pytest.raises(InputError, match="--fold 7: fold has no such fold; it has 0, 1, 2, 3, 4"):
        split_of(folded, config(folds="fold", fold="7"))


def test_folds_and_splits_that_do_not_fit_are_refused(dataset):
    with pytest.raises(InputError, match="--folds COLUMN and --fold LABEL"):
        config(folds="fold")
    with pytest.raises(InputError, match="--folds COLUMN and --fold LABEL"):
        config(fold="1")
    with pytest.raises(InputError, match="--split official has no meaning with --folds"):
        config(folds="fold", fold="1", split="official")
    with pytest.raises(InputError, match=r"--split mine: the dataset has no such column; .* slme"):
        label_column(load_rows(dataset), TARGET, "mine", None)


def test_labels_are_text():
    labels = [as_label(x) for x in (3.0, 3, "3", " a ", "", None, float("nan"), True, 2.5)]
    assert labels == ["3", "3", "3", "a", None, None, None, "True", "2.5"]


def test_what_parts_share_is_counted(silicon, rutile, rock_salt, mos2):
    def named(record, name):
        return replace(record, material_id=name)

    anatase_like = replace(
        named(rutile, "other TiO2"), lattice_vectors=((9, 0, 0), (0, 2.2, 0), (0, 0, 3.9))
    )
    dioxide = replace(named(rutile, "TiO"), species_at_sites=("Ti", "Ti", "Ti", "O", "O", "O"))
    records = [
        *(silicon, rutile, rock_salt, mos2),
        *(named(rotated(silicon), "Si again"), named(supercell(rock_salt), "NaCl again")),
        *(anatase_like, dioxide),
    ]
    shared = overlap_with_training(
        [Crystal(record) for record in records],
        {
            "train": ["silicon", "rutile", "rock_salt"],
            "val": ["Si again", "mos2"],
            "test": ["NaCl again", "other TiO2", "TiO"],
            "leak": [],
        },
    )
    assert shared == {
        "val": {"formula": 1, "chemical_system": 1, "near_duplicate": 1},
        "test": {"formula": 2, "chemical_system": 3, "near_duplicate": 1},
    }


def test_a_column_of_ones_own_targets_becomes_the_split(tmp_path):
    """From a table of targets with a text column and a column of folds, to the scores."""
    chosen = some(12)
    structures = tmp_path / "structures"
    structures.mkdir()
    lines = ["id,gap:eV,part,fold:1"]
    for number, record in enumerate(chosen):
        record.to_pymatgen().to(str(structures / f"c{number}.cif"))
        part = ["train", "train", "train", "train", "validation", "test"][number % 6]
        lines.append(f"c{number},{number / 10},{part},{number % 3}")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    run = tmp_path / "run"
    done = curate(
        *("build", "--db", "files", "--input", structures, "--properties", tmp_path / "table.csv"),
        *("--out", run, "--workers", 1),
    )
    assert done.returncode == 0, done.stderr
    data = load_rows(str(run))
    materials = read_materials(data, "gap", label_column(data, "gap", "part", None))
    split = split_of(materials, config(split="part"))
    assert [len(ids) for ids in parts(split).values()] == [8, 2, 2]
    assert split.test == [m.id for m in materials if m.label == "test"]
    assert fold_labels(str(run), "fold") == ["0", "1", "2"]
    folds = read_materials(data, "gap", "fold")
    assert Counter(m.label for m in folds) == {"0": 4, "1": 4, "2": 4}


def test_scores_come_with_what_is_shared(tmp_path, settings):
    """Four crystals stand twice in the dataset, once in training and once in the test set."""
    changed = rows()
    for number, row in enumerate(changed):
        row["part"] = "test" if number < 4 else "val" if number < 8 else "train"
    twins = [
        {**row, "material_id": f"{row['material_id']}b", "part": "train"} for row in changed[:4]
    ]
    data = write_dataset(tmp_path / "dataset", [*changed, *twins])
    metrics = train(
        settings(
            tmp_path / "m", data=data, split="part", modality="text", text="constant", epochs=1
        )
    )
    assert metrics["split"] == "part" and metrics["test"]["n"] == 4
    shared = metrics["shared_with_training"]["test"]
    assert shared == {"formula": 4, "chemical_system": 4, "near_duplicate": 4}
    assert json.loads((tmp_path / "m" / "question.json").read_text())["split"] == "part"
    assert overlap_line(metrics).startswith("of the test crystals 4 have their formula in training")
    card = model_card(ModelFolder(tmp_path / "m"), "ada/net")
    assert "| split | the column part of the dataset |" in card
    assert "| formula 4, elements 4, structure too 4 |" in card
    again = train(
        settings(
            tmp_path / "m", data=data, split="part", modality="text", text="constant", epochs=1
        )
    )
    assert again == metrics
    swapped = [{**row, "part": {"test": "val", "val": "test"}.get(row["part"])} for row in changed]
    other = write_dataset(tmp_path / "other", swapped)
    with pytest.raises(InputError, match="contents of the dataset changed"):
        train(
            settings(
                tmp_path / "m", data=other, split="part", text="constant", modality="text", epochs=1
            )
        )


def test_a_model_of_a_fold_says_so(tmp_path, settings):
    changed = [{**row, "fold": number % 4} for number, row in enumerate(rows())]
    data = write_dataset(tmp_path / "dataset", changed)
    metrics = train(
        settings(
            *(tmp_path / "m",),
            **{"data": data, "folds": "fold", "fold": "3", "split": "formula"},
            **{"modality": "text", "text": "constant", "epochs": 1},
        )
    )
    assert (metrics["folds"], metrics["fold"], metrics["test"]["n"]) == ("fold", "3", 12)
    assert metrics["shared_with_training"]["val"]["formula"] == 0
    card = model_card(ModelFolder(tmp_path / "m"), "ada/net")
    assert "| split | fold 3 of the column fold is the test set; a tenth of the others is " in card
    assert "validation, drawn by formula with the seed |" in card
    tested = {
        row["id"] for row in ModelFolder(tmp_path / "m").predictions if row["split"] == "test"
    }
    assert tested == {row["material_id"] for row in changed if row["fold"] == 3}


def test_an_experiment_trains_every_fold(tmp_path):
    changed = [{**row, "fold": f"f{number % 3}"} for number, row in enumerate(rows())]
    data = write_dataset(tmp_path / "dataset", changed)
    planned = list(
        trainings(
            ExperimentConfig(
                kind="text", data=data, targets=(TARGET,), out=tmp_path, folds="fold", seeds=(1, 2)
            )
        )
    )
    pairs = Counter((training.seed, training.fold) for _, training in planned)
    assert pairs.keys() == {(seed, fold) for seed in (1, 2) for fold in ("f0", "f1", "f2")}
    assert len({training.out for _, training in planned}) == len(planned)
    assert pq.read_schema(tmp_path / "dataset" / "train-00000.parquet").field("fold")
