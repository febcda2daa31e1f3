"""Errors that a user can correct: shown as one sentence without a traceback, exit code 2."""


class InputError(ValueError):
    """Wrong usage or unusable input; the message is one sentence that names it and says what to do."""


def shown(text: object) -> str:
    """A text from outside for a terminal: what is no character of a line is shown by its number.

    Line breaks and tabs stay. A control character could move the cursor or colour what follows, and a
    half of a surrogate pair can't be written at all.
    """
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in str(text)
    )


def named(ids: set[str], most: int = 5) -> str:
    """A few of the ids and how many more there are: `a, b, c and 4 more`."""
    shown = sorted(ids)[:most]
    return ", ".join(shown) + (f" and {len(ids) - most} more" if len(ids) > most else "")


def first_line(error: object) -> str:
    """The first line of an error's message, at most 200 characters; its type where it has none."""
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    lines = str(message).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
