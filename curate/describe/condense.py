"""Robocrystallographer's condensed structure of a crystal, by its own steps or by ours."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

from curate.describe.lean_imports import import_robocrys
from curate.describe.options import DescribeOptions
from curate.describe.render import as_json, describer

if TYPE_CHECKING:
    from pymatgen.core import Structure

SYMPRECS = (0.01, 0.1, 0.001)  # Å; the first that works is used, in the Materials Project's order


def condense(structure: Structure, options: DescribeOptions) -> tuple[str, float]:
    """Robocrystallographer's condensed structure.

    Args:
        structure: An ordered crystal, with oxidation states where they shall be in the text.
        options: Describer, cell and names of molecules.

    Returns:
        The condensed structure as JSON, and the symprec (Å) that gave it.

    Raises:
        Exception: What Robocrystallographer raised at the first symprec, where all of them fail.
    """
    first_error = None
    for symprec in SYMPRECS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # four a crystal, none about the crystal
                condensed = condenser(options, symprec).condense_structure(structure)
            return as_json(condensed), symprec
        except MemoryError:
            raise
        except Exception as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def decorate(structure: Structure, options: DescribeOptions) -> bool:
    """Give the sites of the structure guessed oxidation states; False for too large a formula.

    Elements of a formula whose charges do not balance get the state 0.
    """
    try:
        if is_fast(options):
            from curate.describe.fast.oxidation import add_oxidation_states

            add_oxidation_states(structure)
        else:
            structure.add_oxidation_state_by_guess(max_sites=-80)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=8)
def condenser(options: DescribeOptions, symprec: float):
    """The condenser for these options; made once a process."""
    import_robocrys()
    from curate.describe.fast import FastCondenser
    from curate.describe.molecules import NamingCondenser, molecule_namer

    kind = FastCondenser if is_fast(options) else NamingCondenser
    return kind(
        use_conventional_cell=options.conventional_cell,
        symprec=symprec,
        molecule_namer=molecule_namer(options.molecule_names),
    )


def is_fast(options: DescribeOptions) -> bool:
    """Whether curate's own steps are asked for and give stock's texts with what is installed."""
    import_robocrys()
    from curate.describe.fast.verified import is_trusted

    return options.describer == "fast" and is_trusted()


def warm_up() -> None:
    """Load what every description needs; the forkserver does this once for all workers."""
    condenser(DescribeOptions(), SYMPRECS[0])
    describer(DescribeOptions())
