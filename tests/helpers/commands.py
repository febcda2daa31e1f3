"""The commands, as a user calls them."""

import os
import subprocess
import sys


def curate(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "curate", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
