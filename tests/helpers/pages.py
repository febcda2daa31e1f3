"""What a written page holds."""

import base64
import gzip
import json
import re


def unpacked(page: str, name: str):
    """A packed part of a page, as its script reads it."""
    found = re.search(rf'<script type="text/plain" id="data-{name}">([\w+/=]*)</script>', page)
    return json.loads(gzip.decompress(base64.b64decode(found[1])))
