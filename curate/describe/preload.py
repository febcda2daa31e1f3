"""Imported by the forkserver before the first worker exists, so that all workers share what it loads.

This is the one module whose import does work: reading the libraries and tables costs a second or two.
"""

import gc

from curate.describe.condense import warm_up
from curate.describe.lean_imports import mark_own_process

mark_own_process()
warm_up()
gc.freeze()  # else each worker walks through all of this in its own collections, 4 % of its time
