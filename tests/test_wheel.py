"""The wheel holds all that the commands need; run by make test-wheel, since it installs everything."""

import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[1]
SMALL = (
    "--text-encoder minilm --max-neighbors 8 --width 16 --embedding-width 8 --alignn-layers 1"
    " --gcn-layers 1 --epochs 2 --batch-size 16"
)


def run(command: str, cwd: Path) -> str:
    """Standard output of a command that must end well, run where the checkout is not seen."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        shlex.split(command), cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """Wheel and sdist of a clone of what is tracked here."""
    place = tmp_path_factory.mktemp("built")
    tracked = run("git ls-files -z --cached --others --exclude-standard", ROOT)
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "source" / name).write_bytes((ROOT / name).read_bytes())
    # `build` makes the sdist, and the wheel from the sdist: what lacks in one lacks in both
    run(f"{sys.executable} -m build --outdir {place} {place}/source", place)
    (wheel,), (sdist,) = place.glob("*.whl"), place.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="module")
def commands(built, tmp_path_factory) -> Path:
    """Folder of the commands of an empty environment that the wheel was installed in."""
    folder = tmp_path_factory.mktemp("environment")
    run(f"{sys.executable} -m venv {folder}", folder)
    pip = f"{folder}/bin/python -m pip install --quiet -c {ROOT}/constraints.txt"
    run(f"{pip} '{built[0]}[demo,report]'", folder)
    return folder / "bin"


def test_wheel_and_sdist_hold_each_file_of_the_packages(built):
    wheel, _ = built
    tracked = run("git ls-files curate model hub_cards", ROOT).split()
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in tracked if (ROOT / name).is_file()} - held == set()


def test_the_installed_commands_describe_train_predict_and_report(commands, tmp_path):
    (tmp_path / "where.py").write_text(
        "import curate, model; print(curate.__file__, model.__file__)"
    )
    places = run(f"{commands}/python where.py", tmp_path).split()
    assert all(Path(place).is_relative_to(commands.parent) for place in places)

    curate, crysmmnet = f"{commands}/curate", f"{commands}/crysmmnet"
    said = run(f"{curate} build --db jarvis --sample --limit 40 --out run", tmp_path)
    assert "described" in said and (tmp_path / "run" / "dataset" / "README.md").is_file()
    target = "--data run --target formation_energy_peratom --out model --cache cache"
    assert "test   MAE" in run(f"{crysmmnet} train {target} {SMALL}", tmp_path)
    run(f"{crysmmnet} predict model run --cache cache --out predicted.csv", tmp_path)
    assert len((tmp_path / "predicted.csv").read_text().splitlines()) == 41
    run(f"{curate} report run --out run.html", tmp_path)
    run(f"{crysmmnet} report model --data run --cache cache --out model.html", tmp_path)
    for page in ("run.html", "model.html"):
        assert (tmp_path / page).stat().st_size > 100_000
