from collections import Counter

from curate.dataset.splits import ids_in_split, official_splits, task_sizes


def test_sizes_are_the_benchmarks_own():
    """Counted in the JARVIS-Leaderboard's files; ids in two splits are `leak`."""
    tasks = official_splits()
    assert len(tasks) == 12
    sizes = Counter(tasks["dft_3d_formation_energy_peratom"].values())
    assert sizes == {"train": 44_567, "val": 5_572, "test": 5_570, "leak": 2}
    assert Counter(tasks["megnet_e_form"].values()) == {
        "train": 60_000,
        "val": 5_000,
        "test": 4_239,
    }


def test_known_leaks_are_labelled():
    tasks = official_splits()
    for material_id in ("JVASP-113961", "JVASP-116461"):
        assert tasks["dft_3d_formation_energy_peratom"][material_id] == "leak"
    assert tasks["dft_3d_mbj_bandgap"]["JVASP-96735"] == "leak"


def test_asked_for_some_ids_it_gives_their_labels_and_no_others():
    every = official_splits()
    some = official_splits(["JVASP-1002", "JVASP-96735", "mp-149", "JVASP-01002", "quartz"])
    assert some["dft_3d_mbj_bandgap"] == {
        name: every["dft_3d_mbj_bandgap"][name] for name in ("JVASP-1002", "JVASP-96735")
    }
    assert some["megnet_e_form"] == {"mp-149": every["megnet_e_form"]["mp-149"]}
    assert list(some) == [task for task in every if task in some]
    assert official_splits(["quartz"]) == {}


def test_sizes_and_test_ids_count_what_is_listed():
    every = official_splits()
    assert task_sizes() == {task: len(labels) for task, labels in every.items()}
    listed = ids_in_split("dft_3d_mbj_bandgap", "test")
    labels = every["dft_3d_mbj_bandgap"]
    assert {labels[name] for name in listed} == {"test", "leak"}
    assert set(listed) >= {name for name, label in labels.items() if label == "test"}
