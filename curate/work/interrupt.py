"""Remember SIGINT and SIGTERM, because Python discards an exception that a signal raises inside a
finaliser or the callback of a weak reference."""

from __future__ import annotations

import signal
from threading import Event

_asked = Event()


def stop_on_signals() -> None:
    """From now on SIGINT and SIGTERM raise KeyboardInterrupt and are remembered."""
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)


def check() -> None:
    """Raise KeyboardInterrupt where one was asked for before; long loops call this."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _stop(number, frame) -> None:
    _asked.set()
    raise KeyboardInterrupt
