"""Imported by the forkserver before the first worker exists, so that all workers share what it loads.

This is the one module whose import does work: reading the libraries and tables costs seconds.
"""

from curate.describe.description import warm_up

warm_up()
