"""What a user can mend: one sentence each, shown without a traceback, exit code 2."""


class InputError(ValueError):
    """Wrong usage or unusable input; the message is one sentence that names it and says what to do."""
