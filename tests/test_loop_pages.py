"""Open the pages of the monitor and of the simulation in a real browser: they fit, tell their pictures, and fetch nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_monitoring import clock, monitored, sound  # noqa: F401 -- the fixture stops the clock
from test_page_browser import browser  # noqa: F401 -- the fixture
from test_report_browser import CONTRASTS, OVERFLOWING, clashes, opened  # noqa: F401 -- the fixture

from hearth import monitor_page, simulation_page
from hearth.advising import Advice
from hearth.operations import templates
from hearth.simulation import Event, Lived, document

HOSTILE = "<img src=x onerror=alert(1)>"
WIDTHS = (390, 1200)
FIRST = np.datetime64("2015-03-01")


def lived(begin: np.datetime64, levels: list[float], versions: list[str], per_week: int = 80) -> Lived:
    weeks = len(levels)
    chance = np.random.default_rng(weeks)
    week = np.repeat(np.arange(weeks), per_week)
    paid = np.exp(chance.normal(13, 0.5, len(week)))
    noise = np.exp(chance.normal(0, 0.12, len(week)))
    served = paid * noise * np.array([1 + levels[w] for w in week.tolist()])
    alone = paid * noise * (1 - 0.004 * week)
    return Lived(
        begin + 7 * week + np.arange(len(week)) % 7, paid, {"price": served, "low": served * 0.8, "high": served * 1.25},
        {"price": alone, "low": alone * 0.8, "high": alone * 1.25}, np.array([versions[w] for w in week.tolist()], dtype=str),
    )  # fmt: skip


def simulated(*more: Event) -> dict[str, Any]:
    """Return a life in which the loop helps from the ninth week on, with a drill behind it."""
    events = [
        Event(day="2015-03-01", kind="released", said="v0.1.0, which knows the sales before 2015-03-01"),
        Event(day="2015-04-26", kind="provable", said="prices lie 3 % below what was paid"),
        Event(day="2015-05-03", kind="alarm", said=HOSTILE),
        Event(day="2015-05-03", kind="advice", said="retrain"),
        Event(day="2015-05-03", kind="retrained", said="on the sales before 2015-04-05"),
        Event(day="2015-05-03", kind="promoted", said="v0.2.0"),
        Event(day="2015-05-31", kind="forced", said="v0.3.0"),
        Event(day="2015-07-12", kind="rolled back", said="rolled back to v0.2.0"),
        *more,
    ]
    before, after = [-0.004 * week for week in range(9)], [0.0] * 3
    return document(
        FIRST, lived(FIRST, before + after, ["old"] * 9 + ["new"] * 3), lived(FIRST + 91, [-0.08] * 4, ["bad"] * 4),
        lived(FIRST + 133, [0.0], ["new"]), events, "US dollar", 0.9, {"bias": 0.005},
    )  # fmt: skip


@pytest.fixture(params=["monitor", "simulation"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.html"
    if request.param == "simulation":
        text = simulation_page.page(simulated(), templates())
    else:
        one = sound()
        risen = one.but(
            paid=np.rint(one.paid * 1.08), columns=one.columns | {"grade": np.minimum(one.columns["grade"] + 2, 13)}
        )
        found = monitored(tmp_path / "log", risen)
        found["checks"]["bias"]["said"] = HOSTILE
        found["advice"] = Advice(action="retrain", said=HOSTILE).model_dump()
        text = monitor_page.page(found, templates())
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("width", WIDTHS)
def test_the_pages_fit_and_tell_their_pictures(opened: Callable[..., Any], width: int) -> None:  # noqa: F811
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    assert clashes(page) == []
    pictures = page.locator("svg:visible").all()
    assert len(pictures) >= 3
    for picture in pictures:
        assert picture.get_attribute("role") == "img"
        assert len(picture.get_attribute("aria-label")) > 20
        assert picture.bounding_box()["width"] > 250


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(opened: Callable[..., Any], scheme: str) -> None:  # noqa: F811
    found = opened(1200, scheme).evaluate(CONTRASTS)
    assert len(found) > 10
    # The numbers of events stand on dots of their own, which are no background of the page's.
    assert {name: round(ratio, 2) for name, ratio in found.items() if ratio < 4.5 and "event-number" not in name} == {}


def test_words_from_outside_are_escaped(file: Path) -> None:
    assert HOSTILE not in file.read_text()
    assert "&lt;img src=x" in file.read_text()


def test_a_life_that_the_loop_did_not_help_is_said_to_be_one() -> None:
    found = simulated()
    found["last_weeks"]["with"] = found["last_weeks"]["without"]
    assert "The loop did not help" in simulation_page.verdict(found)
    assert "The loop did not help" in "\n".join(simulation_page.told(found))


def test_a_life_without_drill_or_promotion_is_drawn() -> None:
    none, events = lived(FIRST, [], []), [Event(day="2015-03-01", kind="released", said="v0.1.0")]
    one = lived(FIRST, [0.0, -0.004, -0.008], ["old"] * 3)
    found = document(FIRST, one, none, none, events, "US dollar", 0.9, {"bias": 0.005})
    text = simulation_page.page(found, templates())
    assert "nan" not in text.lower().replace("finance", "")
    assert "the drill" not in text


def test_the_picture_is_a_file_of_its_own() -> None:
    drawing = simulation_page.alone(
        simulation_page.level_drawn(simulated(), simulation_page.WIDE), templates()["style.css"]
    )
    assert drawing.startswith('<svg viewBox="0 0 880 ')
    assert 'xmlns="http://www.w3.org/2000/svg"' in drawing
    assert "prefers-color-scheme: dark" in drawing
    assert "svg .loop-line" in drawing
