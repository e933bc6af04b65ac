"""Tell a simulated life as a page."""

from collections.abc import Mapping
from typing import Any


def page(found: Mapping[str, Any], templates: Mapping[str, str]) -> str:
    """Return the page."""
    return str(found)


def told(found: Mapping[str, Any]) -> list[str]:
    """Return what a terminal is told."""
    return [f"{event['day']}  {event['kind']:12}  {event['said']}" for event in found["events"]]
