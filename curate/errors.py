"""What a user can mend: one sentence each, shown without a traceback, exit code 2."""


class InputError(ValueError):
    """Wrong usage or unusable input; the message is one sentence that names it and says what to do."""


def named(ids: set[str], most: int = 5) -> str:
    """A few of the ids and how many there are: `a, b, c and 4 more`."""
    shown = sorted(ids)[:most]
    return ", ".join(shown) + (f" and {len(ids) - most} more" if len(ids) > most else "")
