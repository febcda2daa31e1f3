from collections import Counter

from curate.dataset.splits import official_splits


def test_sizes_are_the_benchmarks_own():
    """Counted in the JARVIS-Leaderboard's files; ids in two splits are `leak`."""
    tasks = official_splits()
    assert len(tasks) == 11
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
