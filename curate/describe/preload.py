"""Imported by the forkserver before the first worker exists, so that all workers share what it loads.

This is the one module whose import does work: reading the libraries and tables costs a second or two.
"""

from curate.describe.condense import warm_up
from curate.describe.lean_imports import mark_own_process

mark_own_process()
warm_up()
