"""Settings of glibc's malloc that speed up training on CPUs."""

from __future__ import annotations

import ctypes
import logging
import sys

log = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
ONE_GIB = 1 << 30


def tune_glibc_malloc() -> bool:
    """Let glibc reuse blocks up to 1 GiB instead of mapping and unmapping each; False where it can't.

    Every tensor above 32 MiB is otherwise mapped anew and unmapped after use, and its pages are
    faulted in and cleared by the kernel each time: half of a CPU training step. Kept blocks make
    the step faster and its peak memory higher; benchmarks/results/training.json has both.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False  # another C library, which has its own ways
    kept = bool(mallopt(M_MMAP_THRESHOLD, ONE_GIB))
    log.debug("malloc keeps blocks up to 1 GiB: %s", kept)
    return kept
