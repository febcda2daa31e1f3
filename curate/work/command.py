"""Run a command-line program: signals, errors that the user can correct, and exit codes."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from curate.describe.lean_imports import mark_own_process
from curate.errors import InputError, shown
from curate.work.interrupt import stop_on_signals


class ShownRecord(logging.LogRecord):
    """A log record whose message may hold text from outside."""

    def getMessage(self) -> str:  # noqa: N802 (the name is logging's)
        """The message, with control characters shown."""
        return shown(super().getMessage())


def run_command(program: str, main: Callable[[], int], after_disk_error: str = "") -> NoReturn:
    """Run `main` and exit with its code; an error of the user or the disk is one sentence and code 2.

    Args:
        program: Name that messages begin with.
        main: Parses the command line, does the work, and returns the exit code.
        after_disk_error: What is added to the message of an OSError.
    """
    mark_own_process()
    logging.setLogRecordFactory(ShownRecord)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what can't be written is shown instead
    stop_on_signals()
    try:
        sys.exit(main())
    except BrokenPipeError:  # whoever read the output has seen enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except InputError as error:
        message = str(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}{after_disk_error}"
    except KeyboardInterrupt:
        print("\nstopped; the same command continues from here", file=sys.stderr)
        sys.exit(130)
    print(f"{program}: {' '.join(shown(message).splitlines())}", file=sys.stderr)
    sys.exit(2)
