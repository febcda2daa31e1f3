"""Imports follow the way of a material: source → record → description → dataset → model."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOORS = {  # heavy library: the only files that may know it
    "robocrys": {"description.py", "molecules.py", "fast"},
    "ase": {"extxyz.py"},
    "mp_api": {"mp_client.py"},
    "optimade": {"optimade_client.py"},
    "jinja2": {"card.py", "push.py", "page.py"},
    "plotly": {"page.py"},
    "pymatviz": {"palette.py", "figures.py"},
    "pebble": {"pool.py"},
    "datatrove": {"slurm.py"},
}


def imports(path: Path) -> set[str]:
    """Every module a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def test_curate_never_imports_model():
    for path in files("curate"):
        assert not {name for name in imports(path) if name.split(".")[0] == "model"}, path


def test_heavy_libraries_have_one_door():
    for path in files("curate"):
        for name in imports(path):
            allowed = DOORS.get(name.split(".")[0])
            if allowed is not None:
                assert path.name in allowed or path.parent.name in allowed, (path, name)


def test_a_record_needs_the_standard_library_only():
    for name in ("record.py", "errors.py", "batches.py"):
        tree = ast.parse((ROOT / "curate" / name).read_text())
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        modules = {getattr(node, "module", None) or node.names[0].name for node in top}
        assert all(
            module.split(".")[0]
            in {
                "__future__",
                "collections",
                "dataclasses",
                "functools",
                "itertools",
                "math",
                "typing",
            }
            for module in modules
        ), modules
