"""Tell a comparison as a page (to be drawn)."""

from hearth.comparison import Comparison


def page(found: Comparison) -> str:
    """Return the page."""
    return found.model_dump_json()
