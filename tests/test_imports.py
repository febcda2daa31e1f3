"""The rooms of both packages: which may import which, and which files may import a heavy library.

To add a room, give it a line in `ROOMS`: it may import the rooms on the lines below it.
"""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room is a folder of the package, or a file that lies loose in it; `package` is its __init__.py.
# Rooms on one line do not import each other.
ROOMS = {
    "curate": (
        ("__main__",),
        ("cli",),
        ("build",),
        ("update",),
        ("report", "work", "hub"),
        ("dataset",),
        ("config",),
        ("sources",),
        ("run",),
        ("describe", "pages", "web"),
        ("package",),
        ("properties", "geometry"),
        ("record", "licenses", "files", "batches", "errors", "vocabulary", "hub_name"),
    ),
    "model": (
        ("__main__",),
        ("cli",),
        ("benchmark",),
        ("publish", "pages", "experiments"),
        ("search",),
        ("predict",),
        ("training",),
        ("data",),
        ("network",),
        ("graphs", "text", "descriptors"),
        ("config",),
        ("model_folder", "encoder_settings", "presets", "recipes"),
        ("files", "torch_files", "statistics"),
        ("package",),
    ),
}

# What `model` may use of `curate`: whole rooms, or files of a room.
MODEL_MAY_USE = (
    "curate",  # its version
    "curate.batches",
    "curate.dataset.card",
    "curate.dataset.spacegroups",
    "curate.dataset.splits",
    "curate.dataset.token_lengths",
    "curate.describe",
    "curate.errors",
    "curate.files",
    "curate.geometry",
    "curate.hub",
    "curate.hub_name",
    "curate.licenses",
    "curate.pages",
    "curate.properties",
    "curate.record",
    "curate.run.schema",
    "curate.sources.file_names",
    "curate.sources.files",
    "curate.sources.sample",
    "curate.vocabulary",
    "curate.web.retry",
    "curate.work.command",
    "curate.work.pool",
)

# Heavy or optional libraries: the only files, or folders, that may import them, at the top or lazily.
DOORS = {
    "ase": {"curate/sources/extxyz.py", "model/descriptors/sevennet.py"},
    "datasets": {"model/data/materials.py", "model/data/rows.py"},
    "datatrove": {"curate/work/slurm.py"},
    "dgl": {"model/network/message_passing.py"},
    "gradio": {"model/pages/app.py"},
    "jarvis": {"curate/sources/jarvis.py"},
    "jinja2": {
        "curate/dataset/card.py",
        "curate/pages/page.py",
        "model/publish/template.py",
    },
    "lmdb": {"curate/sources/ase_lmdb.py"},
    "matplotlib": {"model/benchmark/report.py", "model/experiments/report.py"},
    "mp_api": {"curate/sources/mp_client.py"},
    "optimade": {"curate/sources/optimade_client.py"},
    "dftd3": {"model/descriptors/sevennet.py"},
    "pebble": {"curate/work/pool.py"},
    "phonopy": {"model/descriptors/vibrations.py"},
    "plotly": {"curate/pages/page.py"},
    "pymatviz": {"curate/pages/figures.py", "curate/pages/palette.py"},
    "robocrys": {
        "curate/describe/fast",
        "curate/describe/molecules.py",
        "curate/describe/render.py",
    },
    "sevenn": {"model/descriptors/sevennet.py"},
    "sklearn": {"model/benchmark", "model/experiments/composition_baseline.py"},
    "tokenizers": {"curate/dataset/token_lengths.py", "curate/report/survey.py"},
    "torch": {
        "model/experiments/encoder_table.py",
        "model/descriptors/sevennet.py",
        "model/experiments/run.py",
        "model/network",
        "model/search/contrastive.py",
        "model/text",
        "model/torch_files.py",
        "model/training",
    },
    "transformers": {"model/text/encoder.py"},
}

STANDARD_LIBRARY_ONLY = ("record.py", "properties.py", "errors.py", "batches.py")


def files(*packages: str) -> list[Path]:
    """The Python files of the packages, relative to the repository."""
    found = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(found) > 20
    return [path.relative_to(ROOT) for path in found]


def imports(path: Path, top_level: bool = False) -> Iterator[str]:
    """Every module that a file imports, by its full name; those inside functions too."""
    tree = ast.parse((ROOT / path).read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if module_file(name) else node.module


def module_file(name: str) -> Path | None:
    """The file of a module of the two packages."""
    path = Path(*name.split("."))
    for found in (path.with_suffix(".py"), path / "__init__.py"):
        if name.split(".")[0] in ROOMS and (ROOT / found).is_file():
            return found
    return None


def room(path: Path) -> str:
    """The room of a file: `work` for curate/work/pool.py, `errors` for curate/errors.py."""
    if len(path.parts) > 2:
        return path.parts[1]
    return "package" if path.stem == "__init__" else path.stem


def inside(path: Path, places: set[str]) -> bool:
    """Whether a file is one of the places or lies below one."""
    return any(str(path) == place or place in map(str, path.parents) for place in places)


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_downward_only(package):
    levels = {name: n for n, line in enumerate(ROOMS[package]) for name in line}
    upward = []
    for path in files(package):
        here = room(path)
        assert here in levels, f"{path}: give the room {here!r} a line in ROOMS"
        for name in imports(path):
            target = module_file(name)
            if target is None or target.parts[0] != package or room(target) == here:
                continue
            if levels[room(target)] <= levels[here]:
                upward.append(f"{path} imports {name}")
    assert not upward


@pytest.mark.parametrize("package", ROOMS)
def test_the_table_names_no_room_that_is_gone(package):
    there = {room(path) for path in files(package)}
    assert {name for line in ROOMS[package] for name in line} <= there


def test_no_files_import_each_other_in_a_circle():
    graph: Mapping[str, set[str]] = {
        str(path): {str(found) for name in imports(path) if (found := module_file(name))}
        for path in files(*ROOMS)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_curate_never_imports_model():
    for path in files("curate"):
        assert not {name for name in imports(path) if name.split(".")[0] == "model"}, path


def test_model_uses_of_curate_only_what_is_listed():
    for path in files("model"):
        for name in imports(path):
            if name.split(".")[0] == "curate" and name != "curate":
                parents = {name.rsplit(".", n)[0] for n in range(name.count("."))}
                assert parents & set(MODEL_MAY_USE), f"{path} imports {name}"


def test_heavy_libraries_are_imported_by_their_doors_only():
    used = set()
    for path in files(*ROOMS):
        for library in {name.split(".")[0] for name in imports(path)} & DOORS.keys():
            assert inside(path, DOORS[library]), f"{path} imports {library}"
            used.update((library, place) for place in DOORS[library] if inside(path, {place}))
    listed = {(library, place) for library, places in DOORS.items() for place in places}
    assert listed == used, "a listed file no longer imports its library"


def test_a_record_needs_the_standard_library_only():
    allowed = {"__future__", "collections", "dataclasses", "functools", "itertools", "math"}
    allowed |= {"typing", "curate"}
    for name in STANDARD_LIBRARY_ONLY:
        path = Path("curate", name)
        for module in imports(path, top_level=True):
            assert module.split(".")[0] in allowed, f"{path} imports {module}"
            found = module_file(module)
            assert found is None or found.name in STANDARD_LIBRARY_ONLY, path
