"""A Space holds all that its page needs: code, model, requirements, similar crystals."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hub_clients import run

from curate.errors import InputError
from model.config import PushModelConfig
from model.publish.space import code, plan_space

ROOT = Path(__file__).parents[3]

TRY = """
import sys, curate
from pathlib import Path
from model.pages.app_session import AppSession
assert Path(curate.__file__).is_relative_to(Path.cwd()), curate.__file__
said = {}
for step in AppSession("trained", None, Path("cache")).answer(sys.argv[1]):
    said |= step
print(said["prediction"][0].value, len(said["neighbors"]))
"""


def write(space, folder: Path) -> Path:
    """Files of a repository on disk, as a Space lays them out."""
    for path, content in space.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_a_pushed_space_runs_from_its_own_files(hub, trained, dataset, cache, tmp_path, rutile):
    push = f"-m model push {trained} ada/try --space --data {dataset} --cache {cache}"
    dry = run(hub, tmp_path / "home", *push.split(), "--dry-run", token=None)
    assert dry.stdout.startswith("space ada/try (public)\n"), dry.stderr
    assert ("spaces", "ada/try") not in hub.repos
    done = run(hub, tmp_path / "home", *push.split())
    assert done.stdout.startswith(f"pushed to {hub.url}/spaces/ada/try, commit "), done.stderr
    again = run(hub, tmp_path / "home", *push.split())
    assert again.stdout.startswith("already up to date:"), again.stderr
    files = hub.repos["spaces", "ada/try"].files()
    card = files["README.md"].decode()
    assert "sdk: gradio" in card
    assert "formation_energy_peratom" in card
    assert not re.search(r"\{\{|\{%", card + files["requirements.txt"].decode())
    assert not [path for path in files if "__pycache__" in path or path.endswith(".bin")]

    space = write(files, tmp_path / "space")
    rutile.to_pymatgen().to(filename=str(tmp_path / "rutile.cif"))
    clean = {"PYTHONPATH": str(space), "OMP_NUM_THREADS": "1", "PATH": ""}
    tried = subprocess.run(
        [sys.executable, "-c", TRY, str(tmp_path / "rutile.cif")],
        cwd=space,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert tried.returncode == 0, tried.stderr
    value, n_neighbors = tried.stdout.split()
    here = run(hub, tmp_path, *f"-m model predict {trained} {tmp_path}/rutile.cif".split())
    assert float(value) == pytest.approx(float(here.stdout.split("\t")[1]), abs=1e-3)
    assert n_neighbors == "8"


def test_the_requirements_are_the_projects_own():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = {*project["dependencies"], *extras["report"], *extras["demo"], *extras["app"]}
    needed -= {"crysmmnet[report]"}
    lines = (ROOT / "hub_cards" / "space" / "requirements.txt").read_text().splitlines()
    assert {line for line in lines if line and not line.startswith("{%")} == needed


def test_all_of_the_code_goes_along():
    paths = {file.path for file in code()}
    for name in (
        "model/pages/app.py",
        "curate/pages/templates/page.js",
        "curate/describe/description.py",
    ):
        assert name in paths
    assert "curate/data/benchmark_splits.parquet" in paths


def test_what_can_not_be_a_space_is_said(trained, tmp_path):
    with pytest.raises(InputError, match="not the folder of a finished training"):
        plan_space(PushModelConfig(tmp_path, "ada/try", space=True))
