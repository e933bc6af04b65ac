"""Name the one error that is the user's to mend."""


class Refusal(Exception):
    """Say in one sentence what was found, what was wanted and what to do; it is shown without a traceback.

    `status` is the exit status of the command: 1, the answer is no.
    """

    status = 1


class WrongUseError(Refusal):
    """Say that the question cannot be asked so: an unknown revision, a missing argument, a file that cannot be read."""

    status = 2
