"""The English text of a condensed structure, and the condensed structure as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

from curate.describe.lean_imports import import_robocrys
from curate.describe.options import DescribeOptions

POINT = "\ue000"  # of Unicode's private use area: no formula has it


def render(condensed: str, options: DescribeOptions | None = None) -> str:
    """The text of a condensed structure.

    Args:
        condensed: JSON, as in the column `condensed_structure` of a dataset.
        options: Format and labels; those that concern the condensing have no effect here.

    Returns:
        The description, the same in every process.
    """
    options = options or DescribeOptions()
    structure = restored(condensed)
    if options.text_format == "unicode-or-html":
        text = unicode_or_html(structure, options)
    elif options.text_format == "unicode":
        text = describer(options).describe(without_points(structure)).replace(POINT, ".")
    else:
        text = describer(options).describe(structure)
    return in_fixed_order(text)


def unicode_or_html(structure: dict[str, Any], options: DescribeOptions) -> str:
    """The text in Unicode, or in HTML where a formula can't be written so, as the Materials Project does."""
    try:
        return describer(replace(options, text_format="unicode")).describe(structure)
    except ValueError as error:
        if "subscript period" not in str(error):
            raise
        return describer(replace(options, text_format="html")).describe(structure)


def rendered_parts(condensed: str) -> dict[str, str]:
    """The text of a condensed structure by what it tells of: mineral, component_makeup, components.

    A part that says nothing about the crystal is empty.
    """
    parts = _part_describer().describe(restored(condensed))
    return {name: in_fixed_order(text or "") for name, text in parts.items()}


@lru_cache(maxsize=8)
def describer(options: DescribeOptions):
    """The describer for these options; made once a process."""
    import_robocrys()
    from robocrys import StructureDescriber

    return StructureDescriber(describe_symmetry_labels=options.site_labels, fmt=options.text_format)


@lru_cache(maxsize=1)
def _part_describer():
    import_robocrys()
    from robocrys import StructureDescriber

    return StructureDescriber(return_parts=True)


def as_json(condensed: dict[str, Any]) -> str:
    """The condensed structure as JSON, numpy's numbers as plain ones."""
    return json.dumps(condensed, ensure_ascii=False, default=lambda number: number.item())


def restored(condensed: str) -> dict[str, Any]:
    """The condensed structure from its JSON: site numbers are integers, orientations tuples."""
    return json.loads(condensed, object_hook=_restored)


def _restored(value: dict[str, Any]) -> dict[Any, Any]:
    if value and all(name.isdigit() for name in value):
        return {int(name): item for name, item in value.items()}
    if isinstance(orientation := value.get("orientation"), list):
        value["orientation"] = tuple(orientation)
    return value


def without_points(value: Any, key: str = "") -> Any:
    """The condensed structure with POINT for the decimal points of its formulas: Unicode has no
    subscript for them, and pymatgen's `unicodeify` refuses such a formula."""
    if isinstance(value, dict):
        return {name: without_points(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [without_points(item) for item in value]
    is_formula = key in ("formula", "poly_formula") and isinstance(value, str)
    return value.replace(".", POINT) if is_formula else value


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
