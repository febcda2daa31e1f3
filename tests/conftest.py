"""Crystals by name, from textbook lattice constants; nothing here needs a network or a download."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from curate import StructureRecord

# Two tests run side by side: more threads would wait for each other at every barrier.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config, items) -> None:
    """Leave out the comparisons with DGL on a Python that it has no wheel for."""
    if sys.version_info >= (3, 12):
        compared = [item for item in items if item.get_closest_marker("dgl")]
        items[:] = [item for item in items if item not in compared]
        config.hook.pytest_deselected(items=compared)


def record(structure: Structure, material_id: str, **fields) -> StructureRecord:
    return StructureRecord.from_pymatgen(structure, material_id, **fields)


@pytest.fixture(scope="session")
def silicon() -> StructureRecord:
    """Diamond cubic, a = 5.431 Å, primitive cell of two atoms."""
    cell = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.431), ["Si"], [[0, 0, 0]])
    return record(cell.get_primitive_structure(), "silicon")


@pytest.fixture(scope="session")
def rock_salt() -> StructureRecord:
    """NaCl, a = 5.640 Å, conventional cell of eight atoms."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return record(
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.640), ["Na", "Cl"], sites), "rock_salt"
    )


@pytest.fixture(scope="session")
def rutile() -> StructureRecord:
    """TiO2, a = 4.594 Å, c = 2.959 Å, u = 0.305."""
    lattice = Lattice.tetragonal(4.594, 2.959)
    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    return record(Structure.from_spacegroup("P4_2/mnm", lattice, ["Ti", "O"], sites), "rutile")


@pytest.fixture(scope="session")
def mos2() -> StructureRecord:
    """2H-MoS2, a = 3.160 Å, c = 12.294 Å, z(S) = 0.621: two layers."""
    lattice = Lattice.hexagonal(3.160, 12.294)
    sites = [[1 / 3, 2 / 3, 0.25], [1 / 3, 2 / 3, 0.621]]
    return record(Structure.from_spacegroup("P6_3/mmc", lattice, ["Mo", "S"], sites), "mos2")


@pytest.fixture(scope="session")
def dry_ice() -> StructureRecord:
    """CO2, a = 5.624 Å, u(O) = 0.1185: a molecular crystal."""
    sites = [[0, 0, 0], [0.1185] * 3]
    return record(
        Structure.from_spacegroup("Pa-3", Lattice.cubic(5.624), ["C", "O"], sites), "dry_ice"
    )


@pytest.fixture(scope="session")
def crystals(silicon, rock_salt, rutile, mos2, dry_ice) -> dict[str, StructureRecord]:
    """All of them, by name."""
    return {r.material_id: r for r in (silicon, rock_salt, rutile, mos2, dry_ice)}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> str:
    """Folder of a dataset of 48 JARVIS-DFT crystals with their texts."""
    from corpus import write_dataset

    return write_dataset(tmp_path_factory.mktemp("corpus") / "dataset")


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """Text embeddings shared by all tests of a session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def settings(dataset, cache):
    """Settings of a training of seconds on that dataset; each test gives `out` and its own changes."""
    from corpus import TARGET, TINY

    from model.config import TrainConfig

    def of(out: Path, **changed) -> TrainConfig:
        fixed = {
            "data": dataset,
            "target": TARGET,
            "text_encoder": "minilm",
            "epochs": 3,
            "batch_size": 16,
            "network": TINY,
            "cache": cache,
        }
        return TrainConfig(out=out, **{**fixed, **changed})

    return of


@pytest.fixture(scope="session")
def trained(tmp_path_factory, settings) -> Path:
    """A model of graph and text, trained on the official split."""
    from model.training.train import train

    out = tmp_path_factory.mktemp("models") / "both"
    train(settings(out, split="official"))
    return out


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """A run folder: AlAs, RbBr, RbI and NaBr of the embedded sample, described."""
    folder = tmp_path_factory.mktemp("built")
    ids = ("JVASP-1372", "JVASP-1921", "JVASP-1945", "JVASP-1951")
    (folder / "ids.txt").write_text("\n".join(ids))
    command = f"-m curate build --db jarvis --sample --ids {folder}/ids.txt --workers 1"
    command += f" --out {folder}/run"
    subprocess.run([sys.executable, *command.split()], check=True, capture_output=True)
    return folder / "run"


@pytest.fixture
def hub():
    """A Hugging Face Hub on loopback, with two users."""
    from hub_clients import TOKEN
    from hub_server import HubServer

    with HubServer() as server:
        server.add_user(TOKEN, "ada", orgs=("lab",))
        server.add_user("hf_reader", "bob", role="read")
        yield server
