"""Imported as a library, curate leaves every other library as it is; only its own commands import leanly."""

import json
import os
import subprocess
import sys

# Everything that a module of these libraries holds, by identity; what a description adds lazily is new
# names, never another object under an old one.
SNAPSHOT = """
import importlib, json, sys
for name in ("inflect", "typeguard", "robocrys.condense.mineral", "robocrys.condense.fingerprint",
             "robocrys.condense.molecule", "robocrys.describe.describer", "matminer.featurizers.site",
             "pymatgen.analysis.prototypes", "pymatgen.core.local_env", "pymatgen.io.cif"):
    importlib.import_module(name)
LIBRARIES = ("inflect", "typeguard", "robocrys", "matminer", "pymatgen")
def held():
    return {
        (module, name): id(value)
        for module, content in list(sys.modules.items())
        if module.split(".")[0] in LIBRARIES
        for name, value in list(vars(content).items())
        if not name.startswith("__")
    } | {
        (module, kind, name): id(value)
        for module, content in list(sys.modules.items())
        if module.split(".")[0] in LIBRARIES
        for kind, owner in list(vars(content).items())
        if isinstance(owner, type) and owner.__module__ == module
        for name, value in list(vars(owner).items())
        if not name.startswith("__") and name != "_abc_impl"
    }
before = held()
import curate, curate.build, curate.cli, model.cli
from curate.describe import describe
from curate.sources.sample import Sample
record = next(iter(Sample().records()))
assert describe(record).text
after = held()
print(json.dumps(sorted(map(list, (key for key in before if after.get(key) != before[key])))))
"""
FIRST = """
import sys
from curate.describe import describe
from curate.sources.sample import Sample
assert describe(next(iter(Sample().records()))).text
import inflect, robocrys.condense.condenser, robocrys.condense.mineral, typeguard
print(robocrys.condense.condenser.MineralMatcher is robocrys.condense.mineral.MineralMatcher,
      isinstance(robocrys.condense.condenser.MineralMatcher, type),
      typeguard.typechecked.__module__)
try:
    inflect.engine().plural(3)
except typeguard.TypeCheckError:
    print("checked")
"""
WORKER = """
import sys
import curate.describe.preload
import robocrys.condense.condenser as condenser, typeguard
print("matminer" in sys.modules, "pandas" in sys.modules, "pymatgen.analysis.prototypes" in sys.modules,
      typeguard.typechecked.__module__)
from robocrys.condense.mineral import MineralMatcher
print(type(condenser.MineralMatcher()) is MineralMatcher)
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_of_another_library_is_replaced():
    assert json.loads(run(SNAPSHOT)) == []


def test_a_user_who_describes_first_gets_the_libraries_whole():
    assert run(FIRST).split() == ["True", "True", "typeguard", "checked"]


def test_a_worker_starts_without_what_it_never_calls_and_can_still_call_it():
    absent, works = run(WORKER).splitlines()
    assert absent.split() == ["False", "False", "False", "typeguard"]
    assert works == "True"
