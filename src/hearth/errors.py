"""Name the one error that is the user's to mend."""


class Refusal(Exception):
    """Say in one sentence what was found, what was wanted and what to do; it is shown without a traceback."""
