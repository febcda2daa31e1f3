"""Import Robocrystallographer without the libraries that the fast describer never calls.

`import robocrys` loads pymatgen's AFLOW prototype tables, pandas, matminer (with sympy, matplotlib and
scikit-learn) and a molecule namer, and lets typeguard parse and recompile inflect. A description
by `curate.describe.fast` uses none of them, and they are nearly all of the time that a command takes
to start (benchmarks/results/startup.json).

In a process of our own, `import_robocrys` puts stand-ins in the place of three modules while robocrys
is imported. A stand-in's function imports the real module when it is called, so the stock describer
works as released. Where `curate` is imported as a library nothing of this happens: robocrys
is then imported as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

DEFERRED = {
    "robocrys.condense.fingerprint": (
        "get_site_fingerprints",
        "get_structure_fingerprint",
        "get_fingerprint_distance",
    ),
    "robocrys.condense.mineral": ("MineralMatcher",),
    "robocrys.condense.molecule": ("MoleculeNamer",),
}

_is_own_process = False


def mark_own_process() -> None:
    """Say that this process belongs to a command of ours, so that imports may be lean."""
    global _is_own_process
    _is_own_process = True


def import_robocrys() -> None:
    """Import robocrys: leanly in a process of our own, as it is elsewhere."""
    if not _is_own_process or "robocrys" in sys.modules:
        import_module("robocrys")
        return
    try:
        with _stand_ins(), _without_type_checks():
            import_module("inflect")
            import_module("robocrys")
    except ImportError:  # a release that is laid out in another way
        for name in [name for name in sys.modules if name.split(".")[0] == "robocrys"]:
            del sys.modules[name]
        import_module("robocrys")


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Inside the block, the modules of DEFERRED can be imported without their libraries."""
    stand_ins = {}
    for module_name, names in DEFERRED.items():
        stand_ins[module_name] = ModuleType(module_name)
        for name in names:
            setattr(stand_ins[module_name], name, _deferred(module_name, name))
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for module_name, stand_in in stand_ins.items():
            if sys.modules.get(module_name) is stand_in:
                del sys.modules[module_name]


def _deferred(module_name: str, name: str) -> Callable:
    """A function or class of a module, imported when it is called."""

    def call(*args, **kwargs):
        return getattr(import_module(module_name), name)(*args, **kwargs)

    return call


@contextmanager
def _without_type_checks() -> Iterator[None]:
    """Inside the block, `typeguard.typechecked` leaves functions as they are, as under `python -O`."""
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = lambda target=None, **options: (  # type: ignore[assignment]
        target if target is not None else lambda function: function
    )
    try:
        yield
    finally:
        typeguard.typechecked = checked
