"""Licences of a dataset's rows: what its card must say, and whether it may be published.

A licence that forbids passing entries on, or passing on texts made from them (no derivatives),
stops every push. An unknown licence stops public ones. Non-commercial licences are passed on: the
card names them. Rows under several licences make a dataset under `other`, each row naming its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# the Hub's identifiers of licences; its families (`cc`, `gpl`) name no version and are left out
HUB_LICENSES = {
    *("afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause"),
    *("bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0"),
    *("cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0"),
    *("cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    *("cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0"),
    *("cdla-permissive-2.0", "cdla-sharing-1.0", "ecl-2.0", "epl-1.0", "epl-2.0"),
    *("etalab-2.0", "eupl-1.1", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "mit"),
    *("mpl-2.0", "ncsa", "odbl", "odc-by", "osl-3.0", "pddl", "postgresql", "unlicense"),
    *("wtfpl", "zlib"),
}
LINKS = {"nist-terms-of-use": "https://www.nist.gov/open/license"}  # of licences it doesn't list
MATERIALS_PROJECT = {"by-c": "cc-by-4.0", "by-nc": "cc-by-nc-4.0"}  # its own abbreviations
ADDRESS = re.compile(r"https?://[\w.~:/?#@!$&+,;=%-]+")
FORBIDDEN = re.compile(
    r"all rights reserved|proprietary|confidential|no(t|n)?[- ]?redistribut|-nd\b|no[- ]?deriv",
    re.I,
)


def is_unknown(license: str | None) -> bool:
    """Whether the words say nothing about what is allowed."""
    return (license or "").strip().lower() in ("", "unknown", "none")


def refusal(licenses: Iterable[str | None], private: bool) -> str | None:
    """Why rows under these licences can't be pushed, in one sentence; None where they can."""
    named = sorted({license or "unknown" for license in licenses})
    if forbidden := [license for license in named if FORBIDDEN.search(license)]:
        return f"the licence {forbidden[0]!r} of some rows forbids passing them on"
    if not private and any(is_unknown(license) for license in named):
        return (
            "the licence of some rows is unknown: build with --license to state it, or push "
            "with --private"
        )
    return None


def identifier(license: str) -> str:
    """The Hub's identifier of a licence, `other` where it has none: `CC BY 4.0` is `cc-by-4.0`."""
    spelled = _slug(license)
    spelled = MATERIALS_PROJECT.get(spelled, spelled)
    return spelled if spelled in HUB_LICENSES else "other"


def card_fields(licenses: Iterable[str | None]) -> dict[str, str]:
    """The card's YAML fields `license` and, for one that the Hub doesn't list, `license_name`.

    `license_link` is added where it is known: a licence may be an address itself.
    """
    named = sorted({license or "unknown" for license in licenses})
    identifiers = {identifier(license) for license in named}
    if len(named) == 1 or (len(identifiers) == 1 and "other" not in identifiers):
        if "other" not in identifiers:
            return {"license": identifiers.pop()}
        if is_unknown(named[0]):
            return {"license": "unknown"}
        name = _slug(named[0])
        link = named[0] if ADDRESS.fullmatch(named[0]) else LINKS.get(name)
        return {
            "license": "other",
            "license_name": name,
            **({"license_link": link} if link else {}),
        }
    return {"license": "other", "license_name": "several-see-license-column"}


def _slug(license: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", license.lower()).strip("-")
