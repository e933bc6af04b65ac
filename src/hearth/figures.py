"""Tell a figure from what only looks like one."""

import math


def finite(value: object) -> bool:
    """Return whether a value is a number that is finite; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False
