"""Be a row as it stands in a file, before anyone has judged it."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """Hold a row as it stands in a file: its number from 0, its cells by column, why it cannot be read (empty if it can)."""

    number: int
    cells: Mapping[str, Any]
    fault: str = ""


def finite(text: str) -> Any:
    """Return the number that a text is, or the text itself where that is beyond all floats."""
    number = float(text)
    return text if math.isinf(number) else number
