"""Structure record in, English description out. Nothing else here knows Robocrystallographer."""

from __future__ import annotations

import json
import re
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from curate.record import Description, StructureRecord

if TYPE_CHECKING:
    from pymatgen.core import Structure

SYMPRECS = (0.01, 0.1, 0.001)  # Å; the first that works is used, in the Materials Project's order
MIN_DISTANCE = 0.5  # Å; closer atoms are an error of the entry, not a bond
TRUSTED_ELEMENTS = 96  # up to Cm; beyond it pymatgen has no radius to bond neutral atoms by


@dataclass(frozen=True)
class DescribeOptions:
    """How a crystal is put into words; every choice changes the text and is part of a run's question."""

    describer: Literal["fast", "stock"] = "fast"
    """curate's own faster steps, or Robocrystallographer as released; the texts are the same."""
    text_format: Literal["raw", "unicode", "html", "latex"] = "raw"
    """How formulas and space groups are written; raw loses nothing in a text encoder."""
    site_labels: bool = True
    """Number inequivalent sites: Ti(1), O(1)."""
    conventional_cell: bool = True
    """Describe the conventional standard cell rather than the cell as given."""
    oxidation_states: bool = False
    """Guess oxidation states first, as the texts of the Materials Project do."""
    molecule_names: Literal["formula", "bundled", "pubchem"] = "formula"
    """Name molecules by formula, by Robocrystallographer's own table, or by asking PubChem
    (network); the last two need openbabel."""


def describe(record: StructureRecord, options: DescribeOptions | None = None) -> Description:
    """The English text of one crystal, or the reason why there is none. Never raises on a bad crystal.

    A record that brings its own text keeps it. Texts come out the same in every process: word lists
    that Robocrystallographer takes from sets are sorted, numbers are plain.
    """
    options = options or DescribeOptions()
    started = time.perf_counter()
    stage: str | None = "check"
    symprec, note = None, record.note
    result: dict[str, str | None] = {}
    try:
        if record.description is not None:
            result = {"text": record.description, "origin": record.description_origin}
            status, stage = "described", None
        elif refusal := unusable(record):
            status = refusal[0]
            result = dict(zip(("error_type", "error_message"), refusal, strict=True))
        else:
            stage = "condense"
            structure = record.to_pymatgen()
            if options.oxidation_states and not decorate(structure, options):
                note = "; ".join(filter(None, (note, "formula too large for oxidation states")))
            condensed, symprec = condense(structure, options)
            stage = "render"
            text = render(condensed, options)
            result = {"text": text, "condensed_structure": condensed, "origin": generator()}
            status, stage = "described", None
    except MemoryError as error:
        status, result = "out_of_memory", _reason(error)
    except Exception as error:  # Robocrystallographer fails in many ways; the reason is kept
        status, result = "error", _reason(error)
    return Description(
        material_id=record.material_id,
        status=status,
        symprec=symprec,
        seconds=time.perf_counter() - started,
        stage=stage,
        note=note,
        **result,
    )


def unusable(record: StructureRecord) -> tuple[str, str] | None:
    """Why the record can't be described, as (status, sentence); None where it can."""
    import numpy as np
    from pymatgen.core import Element

    lattice = np.asarray(record.lattice_vectors, float)
    positions = np.asarray(record.cartesian_site_positions, float).reshape(-1, 3)
    if record.nsites == 0:
        return "empty_cell", "the cell holds no atoms"
    if not (np.isfinite(lattice).all() and np.isfinite(positions).all()):
        return "unreadable", "the cell or a position is not a finite number"
    if abs(np.linalg.det(lattice)) < 1e-3:
        return "empty_cell", "the cell has no volume"
    for symbol in sorted(set(record.species_at_sites)):
        if not Element.is_valid_symbol(symbol):
            return "dummy_species", f"{symbol!r} is no chemical element"
        if Element(symbol).Z > TRUSTED_ELEMENTS:
            return "unsupported_element", f"Robocrystallographer has no bonding data for {symbol}"
    first, second, _, distances = record.to_pymatgen().get_neighbor_list(MIN_DISTANCE)
    if len(distances):
        worst = distances.argmin()
        return "overlapping_atoms", (
            f"sites {first[worst]} and {second[worst]} are {distances[worst]:.3f} Å apart, "
            f"closer than {MIN_DISTANCE} Å"
        )
    return None


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


def condense(structure: Structure, options: DescribeOptions) -> tuple[str, float]:
    """Robocrystallographer's condensed structure as JSON, and the symprec (Å) that gave it.

    Raises what Robocrystallographer raised at the first symprec where all of them fail.
    """
    first_error = None
    for symprec in SYMPRECS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # four a crystal, none about the crystal
                condensed = condenser(options, symprec).condense_structure(structure)
            return json.dumps(plain(condensed), ensure_ascii=False), symprec
        except MemoryError:
            raise
        except Exception as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def render(condensed: str, options: DescribeOptions | None = None) -> str:
    """The text of a condensed structure (JSON, as `condense` gives it)."""
    options = options or DescribeOptions()
    return in_fixed_order(describer(options).describe(restored(json.loads(condensed))))


def rendered_parts(condensed: str) -> dict[str, str]:
    """The text of a condensed structure by what it tells of: mineral, component_makeup, components.

    A part that says nothing about the crystal is empty.
    """
    parts = _part_describer().describe(restored(json.loads(condensed)))
    return {name: in_fixed_order(text or "") for name, text in parts.items()}


def warm_up() -> None:
    """Load what every description needs; the forkserver does this once for all workers."""
    condenser(DescribeOptions(), SYMPRECS[0])
    describer(DescribeOptions())


@lru_cache(maxsize=8)
def condenser(options: DescribeOptions, symprec: float):
    """The condenser for these options; made once a process."""
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
    from curate.describe.fast.verified import is_trusted

    return options.describer == "fast" and is_trusted()


@lru_cache(maxsize=8)
def describer(options: DescribeOptions):
    """The describer for these options; made once a process."""
    from robocrys import StructureDescriber

    return StructureDescriber(describe_symmetry_labels=options.site_labels, fmt=options.text_format)


@lru_cache(maxsize=1)
def _part_describer():
    from robocrys import StructureDescriber

    return StructureDescriber(return_parts=True)


@lru_cache
def generator() -> str:
    """Name and version of what wrote the texts."""
    from importlib.metadata import version

    return f"robocrys {version('robocrys')}"


def plain(value: Any) -> Any:
    """The same data in JSON's types: no tuples, no numpy scalars, text keys."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def restored(value: Any, key: str = "") -> Any:
    """The condensed structure from its JSON: site numbers are integers, orientations tuples."""
    if isinstance(value, dict):
        numbered = bool(value) and all(name.isdigit() for name in value)
        return {int(k) if numbered else k: restored(item, k) for k, item in value.items()}
    if isinstance(value, list):
        items = [restored(item) for item in value]
        return tuple(items) if key == "orientation" else items
    return value


def in_fixed_order(text: str) -> str:
    """The text with the words sorted that Robocrystallographer lists in the order of a set of strings.

    These are the kinds of sharing ("corner and edge-sharing") and the directions of components;
    with more than one of them stock output depends on PYTHONHASHSEED.
    """
    text = re.sub(r"(?<=a mixture of )((?:distorted )?)([a-z, ]+)(?=-sharing)", _sorted_words, text)
    return re.sub(r"(?<=oriented in the )(.+?)(?= directions)", _sorted_directions, text)


def _sorted_words(match: re.Match) -> str:
    return match[1] + _joined(sorted(re.findall(r"corner|edge|face", match[2])))


def _sorted_directions(match: re.Match) -> str:
    directions = re.findall(r"\([^()]*\)", match[1])
    return _joined(sorted(directions, key=lambda d: [int(x) for x in re.findall(r"-?\d+", d)]))


def _joined(words: list[str]) -> str:
    head = ", ".join(words[:-1]) + ("," if len(words) > 2 else "")
    return f"{head} and {words[-1]}" if head else words[-1]


def _reason(error: BaseException) -> dict[str, str | None]:
    return {"error_type": type(error).__name__, "error_message": str(error)[:500]}
