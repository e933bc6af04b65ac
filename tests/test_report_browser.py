"""People read the report in a real browser, opened from a file: on a phone, at a desk, in the dark, printed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from reported import TEMPLATES, changed, material
from test_page_browser import browser  # noqa: F401 -- the fixture

from hearth.report import report

WIDTHS = (390, 1200)
OVERFLOWING = """() => [...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 1 && box.right > innerWidth + 0.5 && !e.closest('.wide, .table, svg');
}).map(e => e.outerHTML.slice(0, 80))"""
BOXES = """e => [...e.querySelectorAll('text')].map(t => {
  const box = t.getBoundingClientRect();
  return [t.textContent, box.left, box.right, box.top, box.bottom];
})"""
# Luminance of text against what lies behind it, as WCAG 2.2 defines contrast.
CONTRASTS = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
  const found = {};
  for (const e of document.querySelectorAll('p, li, td, th, dd, dt, h2, h3, small, a, code, figcaption, text, b, summary, .tag')) {
    if (!e.textContent.trim() || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), ink = rgb(e.tagName === 'text' ? style.fill : style.color).slice(0, 3);
    const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
    const name = e.tagName + '.' + (e.getAttribute('class') || '');
    found[name] = Math.min(found[name] || 99, (a + 0.05) / (b + 0.05));
  }
  return found;
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(TEMPLATES, material()), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Callable[..., Any]]:  # noqa: F811
    """Return what opens a module's `file` without a network; at the end nothing may have been complained about or fetched."""
    contexts, complaints, addresses = [], [], []

    def opening(width: int, scheme: str = "light", path: Path = file, media: str = "screen") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.emulate_media(media=media, color_scheme=scheme)
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(path.as_uri())
        return page

    yield opening
    for context in contexts:
        context.close()
    assert complaints == []
    assert {address for address in addresses if not address.startswith(("file:", "data:,"))} == set()
    assert len(addresses) <= 2 * len(contexts)  # the file itself, and its empty icon


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("cards", [False, True])
def test_nothing_is_wider_than_the_page(opened: Callable[..., Any], width: int, cards: bool) -> None:
    page = opened(width)
    if cards:
        for summary in page.locator("summary").all():
            summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []


def clashes(page: Any) -> list[tuple[str, ...]]:
    """Return the words of pictures that lie outside of their picture, or on another word of it."""
    found: list[tuple[str, ...]] = []
    for picture in page.locator("svg:visible").all():
        frame, label = picture.bounding_box(), picture.get_attribute("aria-label") or "untold"
        boxes = picture.evaluate(BOXES)
        for place, (text, left, right, top, bottom) in enumerate(boxes):
            if left < frame["x"] - 4 or right > frame["x"] + frame["width"] + 4:
                found.append((label[:40], text, "outside"))
            for other, a, b, c, d in boxes[place + 1 :]:
                # A line's box is taller than its letters.
                if min(right, b) - max(left, a) > 1 and min(bottom, d) - max(top, c) > 4:
                    found.append((label[:40], text, other))
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_no_word_of_a_picture_lies_on_another_or_outside(opened: Callable[..., Any], width: int) -> None:
    assert clashes(opened(width)) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_each_picture_is_seen_and_told(opened: Callable[..., Any], width: int) -> None:
    page = opened(width)
    pictures = page.locator("svg[role=img][aria-label]").all()
    assert len(pictures) == page.locator("svg").count() >= 14
    for picture in pictures:
        box = picture.bounding_box()
        assert box["width"] > 250
        assert box["height"] > 30
        assert len(picture.get_attribute("aria-label")) > 20
    assert page.locator("figure").count() == page.locator("figcaption").count() == len(pictures)
    assert all(text.strip() for text in page.locator("figcaption").all_inner_texts())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(opened: Callable[..., Any], scheme: str) -> None:
    page = opened(1200, scheme)
    for summary in page.locator("summary").all():
        summary.click()
    found = page.evaluate(CONTRASTS)
    assert len(found) > 20
    assert {name: round(ratio, 2) for name, ratio in found.items() if ratio < 4.5} == {}


def test_the_dark_page_is_dark_and_the_printed_one_white(opened: Callable[..., Any]) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    assert opened(1200, "dark").evaluate(ground) == "rgb(22, 22, 21)"
    assert opened(1200, "light").evaluate(ground) == "rgb(250, 249, 247)"
    printed = opened(720, "dark", media="print")
    assert printed.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ground')").strip() == "#fff"
    assert printed.evaluate("getComputedStyle(document.querySelector('h2')).color") == "rgb(0, 0, 0)"


def test_the_printed_page_shows_the_folded_cards(opened: Callable[..., Any]) -> None:
    page = opened(720, media="print")
    assert page.get_by_text("Ethical considerations").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 721


def test_the_contents_lead_to_their_sections_by_keyboard(opened: Callable[..., Any]) -> None:
    page = opened(1200)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Data"
    for _ in range(5):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/report.html#ratios", timeout=5000)
    assert 0 <= page.locator("#ratios").bounding_box()["y"] < 60


def test_a_failed_gate_is_seen_first(opened: Callable[..., Any], tmp_path: Path) -> None:
    gate = {
        "passed": False,
        "reasons": ["mdape is 0.2, wanted at most 0.085 (gate.mdape_max)"],
        "checks": {"mdape": False},
    }
    (tmp_path / "no.html").write_text(report(TEMPLATES, changed(gate=gate)), encoding="utf-8")
    page = opened(390, path=tmp_path / "no.html")
    assert page.get_by_text("must not be released").first.bounding_box()["y"] < 300
    assert page.get_by_text("mdape is 0.2, wanted at most 0.085").is_visible()
    assert page.evaluate(OVERFLOWING) == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ('<p style="width:90rem">wide</p>', "wider"),
        ('<svg viewBox="0 0 420 60"><text x="10" y="20">one</text><text x="14" y="22">two</text></svg>', "untold"),
        ('<p style="color:#aaa8a4">faint</p>', "faint"),
    ],
)
def test_planted_faults_are_found(opened: Callable[..., Any], tmp_path: Path, planted: str, found: str) -> None:
    text = report(TEMPLATES, material()).replace("<footer>", f"{planted}<footer>")
    (tmp_path / "bad.html").write_text(text, encoding="utf-8")
    page = opened(390, path=tmp_path / "bad.html")
    if found == "wider":
        assert len(page.evaluate(OVERFLOWING)) == 1
    elif found == "untold":
        assert page.locator("svg[role=img][aria-label]").count() < page.locator("svg").count()
        assert clashes(page) == [("untold", "one", "two")]
    else:
        assert min(page.evaluate(CONTRASTS).values()) < 4.5
