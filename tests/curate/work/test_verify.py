"""A run against stock Robocrystallographer, with one text changed on purpose."""

import json
from dataclasses import replace

import pytest
from builds import some
from commands import curate

from curate.build import build
from curate.config import BuildConfig
from curate.run.folder import Run
from curate.sources.jarvis import JarvisSettings
from curate.work.verify import compare, sample, verify


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three described crystals; the text of the second says octahedra where it said something else."""
    ids = tmp_path_factory.mktemp("ids") / "ids.txt"
    ids.write_text("\n".join(record.material_id for record in some(3)))
    config = BuildConfig(
        out=tmp_path_factory.mktemp("run"),
        source=JarvisSettings(sample=True),
        ids=ids,
        workers=1,
    )
    build(config)
    run = Run(config.out)
    descriptions = run.read_descriptions(0)
    descriptions[1] = replace(descriptions[1], text=f"{descriptions[1].text} Or not.")
    run.write_descriptions(0, descriptions)
    return run


def test_a_changed_text_is_found_and_goes_onto_the_card(run):
    wrong = run.read_descriptions(0)[1].material_id
    done = curate("verify", run.folder, "--n", 3)
    assert done.returncode == 1, done.stderr
    assert "3 checked, 1 differ from stock" in done.stdout and wrong in done.stdout
    found = json.loads(run.verification_file.read_text())
    assert [difference["material_id"] for difference in found["differences"]] == [wrong]
    card = " ".join((run.dataset / "README.md").read_text().split())
    assert f"with stock Robocrystallographer: 1 differed ({wrong})." in card


def test_the_seed_draws_the_sample(run):
    draws = [[r.material_id for r, _ in sample(run, 2, seed)] for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2] or draws[0] != draws[3]
    assert len(verify(run, n=1, seed=2).checked) == 1


def test_a_crystal_that_fails_both_ways_is_no_difference(silicon):
    broken = replace(silicon, species_at_sites=("X", "X"))
    assert compare(broken, None) is None
    difference = compare(silicon, None)
    assert difference is not None and "not described, but stock writes 'Si is" in str(difference)
