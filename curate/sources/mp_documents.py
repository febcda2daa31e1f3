"""Turn documents of the Materials Project into structure records.

A document is a plain dictionary with the fields of `FIELDS`, from REST or from the bulk table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from curate.errors import InputError
from curate.properties import MATERIALS_PROJECT, Property, properties_of
from curate.record import DisorderedStructure, SkippedEntry, StructureRecord
from curate.sources.entries import record_of_atoms, value_of

DATABASE = MATERIALS_PROJECT.name
LICENSES = {"BY-C": "CC-BY-4.0", "BY-NC": "CC-BY-NC-4.0"}  # its own abbreviations
NONCOMMERCIAL = "BY-NC"  # GNoME's entries
PROPERTIES = properties_of(MATERIALS_PROJECT)
FIELDS = (
    *("material_id", "structure", "symmetry", "deprecated", "builder_meta"),
    *((found.field or found.name).partition(".")[0] for found in PROPERTIES),
)
PLAIN_ID = re.compile(r"m(p|vc)-[1-9]\d{0,5}")  # from mp-3347530 on ids are letters
WITHDRAWN_FIELDS = ("material_id", "deprecated")
TEXT_FIELDS = ("material_id", "description", "robocrys_version")


def shown_id(stored: str) -> str:
    """The id as papers write it, from any of its forms: `mp-aaaaaaft` is `mp-149`."""
    if PLAIN_ID.fullmatch(stored):
        return stored
    from emmet.core.types.typing import format_identifier

    return str(format_identifier(stored, legacy=True))


def asked_id(given: str) -> str:
    """The id of a user's list as papers write it; InputError where it can't be one."""
    if PLAIN_ID.fullmatch(given):
        return given
    from emmet.core.mpid import validate_identifier

    try:
        if "-" not in given:
            raise ValueError
        validate_identifier(given)
    except ValueError:
        raise InputError(
            f"--ids: {given} is not an id of the Materials Project, such as mp-149"
        ) from None
    return shown_id(given)


def license_of(document: Mapping[str, Any]) -> str | None:
    """The licence in the Materials Project's own abbreviation."""
    return (document.get("builder_meta") or {}).get("license")


def objection(document: Mapping[str, Any], noncommercial: bool) -> tuple[str, str] | None:
    """Why an entry is left out, as (kind, sentence); None where it is taken."""
    if document.get("deprecated"):
        return "Deprecated", "the Materials Project has withdrawn this entry"
    license = license_of(document)
    if license == NONCOMMERCIAL and not noncommercial:
        return "NonCommercial", "the licence is BY-NC; --include-noncommercial takes such entries"
    if license not in LICENSES:
        return "UnknownLicence", f"the licence is {license or 'not stated'}"
    return None


def record_of_document(
    document: Mapping[str, Any], text: Mapping[str, Any] | None = None
) -> StructureRecord | SkippedEntry:
    """A record with the properties that are known, and with the published text where one is given."""
    stored = str(document["material_id"])
    material_id = shown_id(stored)
    written = {}
    if text is not None:
        origin = f"{DATABASE}, robocrys_version {text['robocrys_version']}"
        written = {"description": text["description"], "description_origin": origin}
    try:
        properties = {found.name: value_of(_raw(document, found)) for found in PROPERTIES}
        return record_of_atoms(
            atoms_of(document["structure"]),
            material_id,
            source=DATABASE,
            license=LICENSES[license_of(document) or ""],
            spacegroup_number=(document.get("symmetry") or {}).get("number"),
            properties={"stored_material_id": stored, **properties},
            **written,
        )
    except Exception as error:  # a broken entry costs itself only
        return SkippedEntry.from_error(material_id, error)


def atoms_of(structure: Mapping[str, Any]) -> dict[str, Any]:
    """pymatgen's dictionary of a structure as jarvis' `atoms`, oxidation states left out.

    Read directly: `Structure.from_dict` takes five times as long. Raises DisorderedStructure.
    """
    elements = []
    for number, site in enumerate(structure["sites"]):
        species = site["species"]
        if len(species) != 1 or species[0]["occu"] != 1:
            names = ", ".join(f"{kind['element']}:{kind['occu']:g}" for kind in species)
            raise DisorderedStructure(f"site {number} holds {names}")
        elements.append(species[0]["element"])
    return {
        "lattice_mat": structure["lattice"]["matrix"],
        "coords": [site["abc"] for site in structure["sites"]],
        "elements": elements,
    }


def _raw(document: Mapping[str, Any], known: Property) -> Any:
    """A property as the document has it: `bulk_modulus.vrh` lies one level down."""
    name, _, below = (known.field or known.name).partition(".")
    return (document.get(name) or {}).get(below) if below else document.get(name)
