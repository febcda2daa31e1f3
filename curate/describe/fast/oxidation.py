"""Likeliest oxidation states of a composition; stands in for `Composition.oxi_state_guesses`.

The library lists every way to give each atom of an element a state (millions for Ti11Zn4N24), then
every combination of the elements' charges. Only the best score of each charge matters, so it is
enough to keep that one while adding atom after atom and element after element. Scores are added in
the library's order and ties go to the solution it meets first, so the answer is the same.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from monty.serialization import loadfn
from pymatgen.core import Composition, Element, Species, Structure

MAX_ATOMS = 80  # in the reduced formula, as the Materials Project guesses


def add_oxidation_states(structure: Structure) -> None:
    """Give each element of the structure its guessed state, 0 where no charges balance.

    Raises ValueError, as the library does, for more than `MAX_ATOMS` atoms in the formula.
    """
    states = oxidation_states(structure.composition)
    if states is None:
        states = {element.symbol: 0 for element in structure.composition}
    structure.add_oxidation_state_by_element(states)


def oxidation_states(composition: Composition) -> dict[str, float] | None:
    """Mean oxidation state of each element in the most probable neutral combination."""
    if len(composition.elements) == 1:
        return {composition.elements[0].symbol: 0.0}
    reduced = composition.reduced_composition
    if reduced.num_atoms > MAX_ATOMS:
        raise ValueError(f"Composition {reduced} cannot accommodate max_sites setting!")
    amounts = {symbol: int(amount) for symbol, amount in reduced.get_el_amt_dict().items()}
    # charge so far -> (score, position of each element's charge in the library's order, charges)
    best: dict[int, tuple[float, tuple, tuple]] = {0: (0.0, (), ())}
    for symbol, amount in amounts.items():
        charges = _charges(symbol, amount)
        following: dict[int, tuple[float, tuple, tuple]] = {}
        for total, (score, places, chosen) in best.items():
            for place, (charge, added) in enumerate(charges.items()):
                candidate = (score + added, (*places, -place), (*chosen, charge))
                known = following.get(total + charge)
                if known is None or candidate[:2] > known[:2]:
                    following[total + charge] = candidate
        best = following
    if 0 not in best:
        return None
    return {
        symbol: charge / amount
        for (symbol, amount), charge in zip(amounts.items(), best[0][2], strict=True)
    }


def _charges(symbol: str, amount: int) -> dict[int, float]:
    """Charge of all atoms of an element -> best score, in the order the library meets the charges.

    That is the order of `combinations_with_replacement`: most copies of the earliest state first.
    """
    element = Element(symbol)
    states = element.icsd_oxidation_states or element.common_oxidation_states
    score: dict[tuple[int, int], float] = {(0, 0): 0.0}  # atoms used and charge -> best score
    for state in states:
        probability = _occurrence().get(Species(symbol, state), 0)
        following: dict[tuple[int, int], float] = {}
        for (used, charge), value in score.items():
            for copies in range(amount - used + 1):
                key = (used + copies, charge + copies * state)
                following[key] = max(value, following.get(key, value))
                value = value + probability
        score = following
    first: dict[tuple[int, int], tuple[int, ...]] = {(0, 0): ()}  # -> copies of each state
    for state in reversed(states):
        earliest: dict[tuple[int, int], tuple[int, ...]] = {}
        for (used, charge), counts in first.items():
            for copies in range(amount - used + 1):
                key = (used + copies, charge + copies * state)
                earliest[key] = max((copies, *counts), earliest.get(key, (-1,)))
        first = earliest
    whole = [charge for used, charge in first if used == amount]
    whole.sort(key=lambda charge: first[amount, charge], reverse=True)
    return {charge: score[amount, charge] for charge in whole}


@lru_cache(maxsize=1)
def _occurrence() -> dict[Species, float]:
    """How often each oxidation state occurs in the ICSD, from pymatgen's table."""
    data = loadfn(str(files("pymatgen.core") / "icsd_bv.yaml"))
    return {Species.from_str(name): count for name, count in data["occurrence"].items()}
