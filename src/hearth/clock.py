"""Say what time it is, to the log, the journal and the monitor; a simulation says another one."""

import os
from datetime import UTC, datetime
from pathlib import Path

from hearth.errors import Refusal

CLOCK = "HEARTH_CLOCK"  # the environment names by it a file with a time, which stands in for the real one


def now() -> datetime:
    """Return the present moment in UTC; refuse a stand-in that is no time with its offset."""
    if not (name := os.environ.get(CLOCK)):
        return datetime.now(UTC)
    try:
        said = datetime.fromisoformat(Path(name).read_text().strip())
    except (OSError, ValueError) as error:
        raise Refusal(
            f"{CLOCK} names {name}, which holds no time ({error}); write one such as 2015-03-01T08:00:00+00:00."
        ) from None
    if said.tzinfo is None:
        raise Refusal(f"{name} holds {said.isoformat()}, wanted a time with its offset from UTC, such as +00:00.")
    return said.astimezone(UTC)
