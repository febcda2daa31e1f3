"""Names of repositories on the Hugging Face Hub."""

from __future__ import annotations

import re

OWNER_AND_NAME = re.compile(r"(?!.*\.\.)\w[\w.-]{0,95}/\w[\w.-]{0,95}", re.ASCII)


def is_hub_name(text: str) -> bool:
    """Whether a text is OWNER/NAME, as a repository on the Hub is called."""
    return OWNER_AND_NAME.fullmatch(text) is not None
