"""Open a comparison's page in a real browser: it fits a phone and a desk, tells its pictures, escapes names, fetches nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_comparison_text import BETTER, SAME, WORSE, comparison, part
from test_page_browser import browser  # noqa: F401 -- the fixture
from test_report_browser import CONTRASTS, OVERFLOWING, clashes, opened  # noqa: F401 -- the fixture

from hearth.changes import Pair
from hearth.comparison import Comparison, Week
from hearth.comparison_page import page
from hearth.operations import templates

HOSTILE = "<img src=x onerror=alert(1)>"


def compared(**other: Any) -> Comparison:
    """Return a comparison with all that a page can show: each verdict, many slices, weeks, and a hostile name."""
    weeks = tuple(
        Week(week=f"2015-0{month}-0{day}", rows=200, mdape=Pair(base=0.08 + day / 500, candidate=0.09 - month / 500),
             median_ratio=Pair(base=1.0, candidate=1.0))
        for month in (3, 4, 5) for day in (1, 8)
    )  # fmt: skip
    slices = tuple(part(f"{grade} to under {grade + 1}", (SAME, WORSE, BETTER)[grade % 3]) for grade in range(20))
    params = {"model.members.mean.depth": Pair(base=6, candidate=HOSTILE)}
    whole = {"weeks": weeks, "slices": slices, "params": params,
             "differences": {"rmse_log": WORSE, "mdape": BETTER, "bias": SAME, "coverage": SAME}}  # fmt: skip
    return comparison(**whole | other)


def told(found: Comparison) -> str:
    return page(found, templates())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "comparison.html"
    path.write_text(told(compared()), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1200, "dark")])
def test_the_page_is_readable_on_a_phone_and_at_a_desk(
    opened: Callable[[int, str], Any],  # noqa: F811
    width: int,
    scheme: str,
) -> None:
    shown = opened(width, scheme)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.evaluate(OVERFLOWING) == []
    assert clashes(shown) == []
    pictures = shown.locator("svg[role=img][aria-label]").all()
    assert len(pictures) == shown.locator("svg").count() == 6
    assert all(picture.get_attribute("aria-label") for picture in pictures)
    assert {name: ratio for name, ratio in shown.evaluate(CONTRASTS).items() if ratio < 4.5} == {}
    assert HOSTILE[:30] in shown.locator("table").nth(2).inner_text()
    assert shown.locator("img").count() == 0


def test_the_page_says_what_the_terminal_says() -> None:
    text = told(compared())
    assert "worse in rmse_log" in text
    assert text == told(compared())
    assert "none of 1" in told(compared(slices=(part("all", SAME),)))
    assert told(compared(weeks=())).count("<svg") == 5, "without weeks there is no line to draw"
