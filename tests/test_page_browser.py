"""People use the page in a real browser, served by the real bento: fill it in, slide, err, lose the service, go by keys."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import Remade, needs
from playwright.sync_api import Browser, sync_playwright
from test_page import ASSETS, TEMPLATE, bicycles

from hearth.bento import served
from hearth.page import page

# No sandbox, since tests may run as root in a container; nothing that would call home.
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
WAIT_MS = 8000
SIZES = {"small": (320, 640), "phone": (390, 844), "desk": (1280, 900)}


@dataclass
class Seen:
    """Hold a page and what the browser complained about."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def price(self) -> str:
        return self.page.locator("#amount").inner_text()

    def settled(self, change: Callable[[], object]) -> str:
        """Make a change; return the price that it leads to, once its contributions are drawn too."""
        with self.page.expect_response("**/explain", timeout=WAIT_MS):
            change()
        self.page.locator("#why:not(.stale)").wait_for(timeout=WAIT_MS)
        return self.price()

    def body(self) -> dict[str, Any]:
        """Return the request in the line for a terminal."""
        line = self.page.locator("#curl").inner_text()
        return json.loads(re.search(r"-d '(\{.*\})'$", line, flags=re.DOTALL)[1])  # type: ignore[index]

    def slider(self, column: str) -> Any:
        return self.page.locator(f"[data-column={column}] [type=range]")

    def error(self, column: str) -> Any:
        return self.page.locator(f"[data-column={column}] .error")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = needs("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=list(QUIET))
        yield running
        running.close()


@pytest.fixture(scope="module")
def address(remade: Remade) -> Iterator[str]:
    with served(remade.checkout.root / "models/house_prices.bento") as (address, _):
        yield address


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Callable[..., Seen]]:
    """Return what opens the page; at the end nothing may have been complained about or fetched from elsewhere."""
    contexts, all_seen = [], []

    def opening(size: str = "desk", scheme: str = "light", wait: bool = True) -> Seen:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", locale="en-US"
        )
        contexts.append(context)
        seen = Seen(context.new_page())
        all_seen.append(seen)
        seen.page.set_default_timeout(WAIT_MS)
        seen.page.on("console", lambda said: seen.complaints.append(f"{said.type}: {said.text}"))
        seen.page.on("pageerror", lambda error: seen.complaints.append(f"error: {error}"))
        seen.page.on("requestfailed", lambda request: seen.complaints.append(f"failed: {request.url}"))
        seen.page.on("request", lambda request: seen.addresses.append(request.url))
        if wait:
            seen.settled(lambda: seen.page.goto(address))
        return seen

    yield opening
    for context in contexts:
        context.close()
    for seen in all_seen:
        # A request that a newer form overtook is given up, and a refusal is meant to be seen: both are noted by Chromium.
        meant = re.compile(r"failed: .*/explain$|error: Failed to load resource: the server responded with a status of (4|5)\d\d|"
                           r"error: Failed to load resource: net::ERR_(FAILED|CONNECTION_RESET)|failed: .*/predict$")  # fmt: skip
        assert [said for said in seen.complaints if not meant.match(said)] == []
        assert [url for url in seen.addresses if not url.startswith(f"{address}/")] == []


def priced(address: str, house: dict[str, Any]) -> dict[str, Any]:
    head = {"content-type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{address}/predict", json.dumps(house).encode(), head), timeout=10
    ) as answer:
        return json.load(answer)


def test_it_loads_without_a_complaint_and_shows_the_services_own_answer(
    opened: Callable[..., Seen], address: str
) -> None:
    seen = opened()
    answer = priced(address, seen.body())
    assert seen.price() == f"${answer['price']:,.0f}"
    assert seen.page.locator("#range").inner_text() == f"${answer['low']:,.0f} to ${answer['high']:,.0f} 90% interval"
    assert f"${answer['price']:,.0f}" in str(seen.page.locator("#scale").get_attribute("aria-label"))
    assert seen.complaints == []
    paths = {url.removeprefix(address) for url in seen.addresses}
    assert paths <= {"/", "/page.css", "/page.js", "/page.svg", "/predict", "/explain"}


def test_the_band_lies_where_the_interval_is(opened: Callable[..., Seen]) -> None:
    seen = opened()
    band, mark, scale = (seen.page.locator(name).bounding_box() for name in (".band", ".mark", "#scale"))
    assert (
        scale["x"]
        <= band["x"]
        < mark["x"] + mark["width"] / 2
        < band["x"] + band["width"]
        <= scale["x"] + scale["width"]
    )


def test_a_form_that_is_filled_in_and_sent_gets_its_price(opened: Callable[..., Seen], address: str) -> None:
    seen = opened("phone")
    first = seen.price()
    for name, value in {"grade": "10", "sqft_living": "3200", "sqft_basement": "800", "date": "2015-02-20"}.items():
        seen.page.fill(f"[name={name}]", value)
    seen.page.check("[name=waterfront]")
    price = seen.settled(lambda: seen.page.click("button.main"))
    body = seen.body()
    wanted = {"grade": 10, "sqft_living": 3650, "sqft_above": 2850, "sqft_basement": 800, "waterfront": True, "date": "2015-02-20"}  # fmt: skip
    assert body.items() >= wanted.items()
    assert price == f"${priced(address, body)['price']:,.0f}" != first
    seen.settled(lambda: seen.page.click("button[type=reset]"))
    assert seen.price() == first


def test_a_slider_answers_while_it_moves_and_the_line_follows(opened: Callable[..., Seen], address: str) -> None:
    seen = opened()
    seen.slider("sqft_living").scroll_into_view_if_needed()
    box = seen.slider("sqft_living").bounding_box()
    middle = box["y"] + box["height"] / 2
    seen.page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    seen.page.mouse.down()
    prices = []
    for place in (0.4, 0.6, 0.8):
        with seen.page.expect_response("**/predict"):
            seen.page.mouse.move(box["x"] + box["width"] * place, middle)
        seen.page.wait_for_timeout(60)
        prices.append(int(re.sub(r"\D", "", seen.price())))
    assert prices[0] < prices[1] < prices[2], "before the button is let go"
    price = seen.settled(seen.page.mouse.up)
    body = seen.body()
    assert body["sqft_living"] == body["sqft_above"] + body["sqft_basement"] > 3000
    assert seen.page.input_value("[name=sqft_living]") == str(body["sqft_living"])
    assert price == f"${priced(address, body)['price']:,.0f}"


def test_every_slider_takes_its_column_from_end_to_end_and_stays_within_the_contract(
    opened: Callable[..., Seen], address: str
) -> None:
    seen = opened()
    columns = [box.get_attribute("data-column") for box in seen.page.locator(".field:has([type=range])").all()]
    assert {"grade", "sqft_lot", "yr_built", "yr_renovated"} <= set(columns)
    for column in columns:
        for key in ("Home", "End"):
            seen.slider(column).press(key)
            field_input = seen.page.locator(f"[data-column={column}] [type=number]")
            assert field_input.evaluate("e => e.validity.valid"), (column, key, field_input.input_value())
        seen.page.click("button[type=reset]")
        seen.page.wait_for_timeout(20)
    seen.slider("yr_renovated").press("Home")
    assert seen.body()["yr_renovated"] == 0
    seen.slider("yr_renovated").press("End")
    assert seen.body()["yr_renovated"] > 2000


def test_the_contributions_lead_from_the_typical_price_to_the_price(opened: Callable[..., Seen]) -> None:
    seen = opened()

    def dollars(text: str) -> int:
        return int(re.sub(r"[^\d-]", "", text.replace("\N{MINUS SIGN}", "-")))

    rows = seen.page.locator(".bars li").all()
    amounts = [dollars(row.locator(".sum").inner_text()) for row in rows]
    base = dollars(seen.page.locator("#base").inner_text())
    assert abs(base + sum(amounts) - dollars(seen.price())) <= len(amounts) + 1
    assert [abs(a) for a in amounts] == sorted((abs(a) for a in amounts), reverse=True)
    for row, amount in zip(rows, amounts, strict=True):
        track, bar = row.locator(".track").bounding_box(), row.locator(".bar").bounding_box()
        centre = track["x"] + track["width"] / 2
        assert (bar["x"] + bar["width"] / 2 > centre) == (amount > 0)
        assert row.locator(".share").inner_text().startswith("+" if amount > 0 else "\N{MINUS SIGN}")


def test_a_value_out_of_bounds_is_told_beside_its_field_and_nothing_else_breaks(opened: Callable[..., Seen]) -> None:
    seen = opened()
    first = seen.price()
    seen.page.fill("[name=grade]", "99")
    seen.page.click("button.main")
    seen.error("grade").wait_for()
    assert seen.error("grade").inner_text() == "Wanted: a whole number from 1 to 13 (score)."
    assert seen.page.locator("[aria-invalid=true]").count() == 1
    # The answer to the typing may have told the fault already; the one to the button moves the focus.
    seen.page.wait_for_function("() => document.activeElement.name === 'grade'")
    assert "Grade" in seen.page.locator("#trouble").inner_text()
    assert "stale" in str(seen.page.locator("#price").get_attribute("class"))
    described = str(seen.page.get_attribute("[name=grade]", "aria-describedby")).split()
    assert seen.error("grade").get_attribute("id") in described
    seen.settled(lambda: seen.page.fill("[name=grade]", "7"))
    assert seen.price() == first
    assert seen.page.locator("[aria-invalid=true]").count() == 0
    assert not seen.error("grade").is_visible()
    assert not seen.page.locator("#trouble").is_visible()


def test_an_emptied_field_is_asked_for(opened: Callable[..., Seen]) -> None:
    seen = opened()
    seen.page.fill("[name=bedrooms]", "")
    seen.error("bedrooms").wait_for()
    assert seen.error("bedrooms").inner_text() == "Wanted: a whole number from 0 to 15 (room)."


def test_a_broken_check_is_told_in_its_own_words_where_it_was_broken(opened: Callable[..., Seen]) -> None:
    seen = opened()
    seen.page.fill("[name=yr_renovated]", "1950")
    seen.error("yr_renovated").wait_for()
    assert "renovated after it was built" in seen.error("yr_renovated").inner_text()
    assert seen.page.locator("[aria-invalid=true]").count() == 2, "both years are marked"


def test_a_warning_is_shown_with_the_price(opened: Callable[..., Seen]) -> None:
    seen = opened()
    seen.settled(lambda: seen.page.fill("[name=sqft_lot]", "4000000"))
    assert "Lot area: 4000000 is outside the training data" in seen.page.locator("#warnings").inner_text()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"abort": "connectionreset"}, "The service did not answer. Is it still running?"),
        ({"abort": "failed"}, "The service did not answer. Is it still running?"),
        ({"status": 500, "json": {"error": "the service failed; its log says why"}}, "its log says why"),
        ({"status": 502, "body": "<html>bad gateway</html>"}, "The service says: status 502."),
        ({"status": 503, "json": {"error": "busy"}}, "The service is busy."),
        ({"status": 429, "json": {"error": "busy"}}, "The service is busy."),
    ],
)
def test_a_service_in_trouble_is_told_in_words_and_recovers(
    opened: Callable[..., Seen], fault: dict[str, Any], said: str
) -> None:
    seen = opened()
    first = seen.price()

    def fail(route: Any) -> None:
        route.abort(fault["abort"]) if "abort" in fault else route.fulfill(**fault)

    seen.page.route("**/predict", fail)
    seen.page.fill("[name=grade]", "8")
    seen.page.locator("#trouble").wait_for()
    assert said in seen.page.locator("#trouble").inner_text()
    assert (seen.price(), "stale" in str(seen.page.get_attribute("#price", "class"))) == (first, True)
    seen.page.unroute("**/predict")
    seen.settled(lambda: seen.page.fill("[name=grade]", "9"))
    assert seen.price() != first
    assert not seen.page.locator("#trouble").is_visible()


def test_a_page_without_explanations_still_prices(opened: Callable[..., Seen], address: str) -> None:
    seen = opened(wait=False)
    seen.page.route("**/explain", lambda route: route.fulfill(status=404, json={"error": "no such route"}))
    seen.page.goto(address)
    seen.page.wait_for_function("() => document.getElementById('amount').textContent.startsWith('$')")
    assert not seen.page.locator("#why").is_visible()


def test_a_busy_service_is_asked_for_its_reasons_again(opened: Callable[..., Seen]) -> None:
    seen = opened()
    refused: list[Any] = []

    def busy_once(route: Any) -> None:
        if refused:
            return route.fallback()
        refused.append(route)
        return route.fulfill(status=503, json={"error": "the queue is full"})

    seen.page.route("**/explain", busy_once)
    seen.page.fill("[name=grade]", "9")
    with seen.page.expect_response(lambda answer: "/explain" in answer.url and answer.status == 200):
        seen.page.locator("#why.stale").wait_for()
    seen.page.locator("#why:not(.stale)").wait_for()
    assert len(refused) == 1


def test_a_slow_answer_does_not_overwrite_a_newer_one(opened: Callable[..., Seen], address: str) -> None:
    seen = opened()
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route) if not held else route.continue_()

    seen.page.route("**/predict", hold)
    seen.page.fill("[name=grade]", "5")
    seen.page.wait_for_timeout(100)
    seen.page.fill("[name=grade]", "11")
    seen.page.wait_for_timeout(100)
    with seen.page.expect_response(lambda r: "/predict" in r.url and '"grade":11' in r.request.post_data):
        held[0].continue_()
    seen.page.wait_for_timeout(100)
    assert seen.price() == f"${priced(address, seen.body())['price']:,.0f}"
    assert seen.body()["grade"] == 11


def test_a_token_is_asked_for_used_and_kept_out_of_sight(
    browser: Browser, remade: Remade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a service that really has one; the page itself is open, since it asks for the token."""
    monkeypatch.setenv("HEARTH_TOKEN", "open sesame, forty thieves")
    with served(remade.checkout.root / "models/house_prices.bento") as (address, _):
        tab = browser.new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.goto(address)
        tab.locator("#secret").wait_for()
        assert "access token" in tab.inner_text("#trouble")
        assert tab.get_attribute("#secret", "type") == "password"
        tab.fill("#secret", "wrong")
        tab.click("#token button")
        tab.get_by_text("did not accept the token").wait_for()
        tab.fill("#secret", "open sesame, forty thieves")
        with tab.expect_response(lambda answer: "/explain" in answer.url and answer.status == 200):
            tab.click("#token button")
        tab.locator(".bars li").first.wait_for()
        assert tab.inner_text("#amount").startswith("$")
        assert not tab.locator("#secret").is_visible()
        assert tab.input_value("#secret") == ""
        assert "sesame" not in tab.content()
        assert '"authorization: Bearer $HEARTH_TOKEN"' in tab.inner_text("#curl")
        assert tab.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        tab.close()


def test_a_place_is_picked_on_the_map_and_its_zip_code_follows(opened: Callable[..., Seen]) -> None:
    seen = opened()
    before = seen.body()
    box = seen.page.locator("#map").bounding_box()
    seen.settled(lambda: seen.page.mouse.click(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.6))
    after = seen.body()
    assert after["lat"] < before["lat"]
    assert after["long"] > before["long"]
    assert after["zipcode"] != before["zipcode"]
    assert str(after["zipcode"]) in str(seen.page.get_attribute("#map", "aria-label"))
    assert seen.page.locator(".error:visible").count() == 0


def test_a_zip_code_moves_the_place_and_coordinates_move_the_mark(opened: Callable[..., Seen]) -> None:
    seen = opened()
    mark = seen.page.locator(".pin").bounding_box()
    seen.settled(lambda: seen.page.select_option("[name=zipcode]", "98023"))
    assert 47.2 < seen.body()["lat"] < 47.4
    lower = seen.page.locator(".pin").bounding_box()
    assert lower["y"] > mark["y"] + 20
    seen.settled(lambda: seen.page.fill("[name=lat]", "47.7"))
    assert seen.page.locator(".pin").bounding_box()["y"] < lower["y"] - 20
    assert seen.body()["zipcode"] == 98023, "who types coordinates means them"


def test_everything_goes_by_keys(opened: Callable[..., Seen]) -> None:
    """From the top: the skip link, the map by arrows, every field in order, a slider by arrows, Enter to send, copy."""
    seen = opened()
    keyboard, reached = seen.page.keyboard, []
    for _ in range(60):
        keyboard.press("Tab")
        reached.append(
            seen.page.evaluate(
                "(() => { const e = document.activeElement; return [e.name || e.id || (e === document.body ? 'BODY' : e.textContent), getComputedStyle(e).outlineStyle]; })()"
            )
        )
    names = [name for name, _ in reached]
    fields = [element.get_attribute("name") for element in seen.page.locator("#house [name]").all()]
    assert names[:2] == ["Skip to the price", "map"]
    assert [name for name in names if name in fields][: len(fields)] == fields
    assert {"copy", "Docs", "Model card", "Show the price"} <= set(names)
    assert {name for name, outline in reached if outline == "none"} <= {"BODY"}, "the focus is always to be seen"
    before = seen.body()
    seen.page.focus("#map")
    seen.settled(lambda: keyboard.press("Shift+ArrowDown"))
    assert seen.body()["lat"] < before["lat"]
    seen.page.focus("[data-column=grade] [type=range]")
    seen.settled(lambda: keyboard.press("ArrowRight"))
    assert seen.body()["grade"] == before["grade"] + 1
    assert seen.slider("grade").get_attribute("aria-valuetext") == "8"
    seen.page.focus("[name=grade]")
    keyboard.press("Control+A")
    keyboard.type("0")
    seen.page.focus("[name=bedrooms]")
    keyboard.press("Enter")
    seen.page.wait_for_function("() => document.activeElement.name === 'grade'")


def test_what_is_heard_tells_the_price_once_it_rests(opened: Callable[..., Seen]) -> None:
    seen = opened()
    for _ in range(3):
        seen.slider("grade").press("ArrowRight")
    seen.page.wait_for_function(
        "() => document.getElementById('said').textContent.includes(document.getElementById('amount').textContent)"
    )
    assert seen.page.get_attribute("#said", "role") == "status"
    assert seen.page.get_attribute("#trouble", "role") == "alert"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_sticks_out_at_any_width(opened: Callable[..., Seen], size: str) -> None:
    seen = opened(size)
    seen.page.fill("[name=sqft_lot]", "4000000")
    seen.settled(lambda: seen.page.fill("[name=grade]", "12"))
    seen.page.locator("summary").click()
    wide = seen.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    out = seen.page.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('.skip, .unseen, svg')"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert out == []


def test_every_input_has_a_name_and_every_picture_words(opened: Callable[..., Seen]) -> None:
    seen = opened()
    nameless = seen.page.evaluate(
        "[...document.querySelectorAll('input, select, button, textarea')].filter(e =>"
        " !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []
    wordless = seen.page.evaluate(
        "[...document.querySelectorAll('img, svg, canvas, [role=img], [role=application]')].filter(e =>"
        " !(e.alt || e.ariaLabel || e.closest('[aria-hidden=true]'))).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wordless == []
    levels = seen.page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(e => e.tagName)")
    assert levels[0] == "H1"
    assert levels.count("H1") == 1


# WCAG 2.1: relative luminance, and the ratio of the lighter to the darker, each with 0.05 of stray light.
CONTRASTS = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => { paint.clearRect(0, 0, 1, 1); paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); return [...paint.getImageData(0, 0, 1, 1).data]; };
  const light = (color) => color.slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (e) => { for (let at = e; at; at = at.parentElement) { const c = rgba(getComputedStyle(at).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255, 255]; };
  const own = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest("svg") && (own(e) || e.matches("input, select"))).map((e) => {
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 100)];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(opened: Callable[..., Seen], scheme: str) -> None:
    seen = opened(scheme=scheme)
    seen.page.locator("summary").click()
    seen.page.fill("[name=grade]", "99")
    seen.error("grade").wait_for()
    ratios = seen.page.evaluate(CONTRASTS)
    assert len(ratios) > 80
    assert [entry for entry in ratios if entry[0] < 4.5] == []
    ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) > 600) == (scheme == "light")


def test_a_poor_contrast_is_found(opened: Callable[..., Seen]) -> None:
    seen = opened()
    seen.page.evaluate("document.querySelector('h1').style.color = '#999'")
    assert any("<h1" in element for ratio, element in seen.page.evaluate(CONTRASTS) if ratio < 4.5)


def test_nothing_inline_runs(opened: Callable[..., Seen]) -> None:
    """The policy holds: a script that somebody smuggled in does nothing but be reported."""
    seen = opened()
    seen.page.evaluate(
        "() => { addEventListener('securitypolicyviolation', (e) => { window.seen = e.effectiveDirective; });"
        " const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); }"
    )
    seen.page.wait_for_function("() => window.seen === 'script-src-elem'")
    assert seen.page.evaluate("window.ran") is None
    assert len(seen.complaints) == 1
    seen.complaints.clear()


def test_the_line_is_copied(opened: Callable[..., Seen], address: str) -> None:
    seen = opened()
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    seen.page.click("#copy")
    seen.page.get_by_text("Copied", exact=True).first.wait_for()
    assert seen.page.evaluate("navigator.clipboard.readText()") == seen.page.locator("#curl").text_content()


def test_the_links_lead_to_the_card_and_the_docs(opened: Callable[..., Seen], address: str) -> None:
    seen = opened()
    for path, kind in (
        ("/card", "text/html"),
        ("/model", "application/json"),
        ("/docs", "text/html"),
        ("/docs.json", "application/json"),
    ):
        assert seen.page.locator(f'footer a[href="{path}"]').count() == 1
        with urllib.request.urlopen(f"{address}{path}", timeout=10) as answer:
            assert answer.headers["content-type"].startswith(kind)


@pytest.mark.parametrize("size", SIZES)
def test_the_cards_are_readable_at_every_width(opened: Callable[..., Seen], address: str, size: str) -> None:
    seen = opened(size, wait=False)
    seen.page.goto(f"{address}/card")
    assert seen.page.locator("article").count() == 2
    assert seen.page.locator("article").first.get_by_role("heading", name="Ethical considerations").is_visible()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    rows = seen.page.locator("article .table tr").all()
    assert max(row.bounding_box()["height"] for row in rows) < 160  # cells are not squeezed to a letter a line
    assert seen.complaints == []


def test_another_teams_table_gets_a_page_that_works(browser: Browser) -> None:
    """No place, a text as category, cells that may be empty, a target with cents: fields left empty are left out."""
    contract, rows, release = bicycles()
    files = {"": page(TEMPLATE, contract, release, rows, {})} | {p.name: p.read_bytes() for p in ASSETS.iterdir()}
    kinds = {"": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    asked, complaints = [], []

    def answer(route: Any) -> None:
        name = route.request.url.removeprefix("http://bikes.test/")
        if route.request.method == "GET":
            return route.fulfill(body=files[name], content_type=kinds[name.partition(".")[2]])
        asked.append(route.request.post_data_json)
        told = {"price": 123.4, "low": 99.5, "high": 150.25, "warnings": [], "base": 100.0, "typical": asked[-1]}
        parts = [{"columns": ["weight_kg", "electric"], "amount": 23.4, "percent": 23.4, "standard_error": 0.0}]
        return route.fulfill(json=told | {"contributions": parts})

    tab = browser.new_page(locale="de-DE")
    tab.on("console", lambda said: complaints.append(said.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.route("**/*", answer)
    tab.goto("http://bikes.test/")
    tab.locator(".bars li").wait_for()
    tab.select_option("[name=brand]", "corsa")
    tab.select_option("[name=electric]", "")
    tab.fill("[name=gears]", "")
    tab.click("button.main")
    tab.wait_for_timeout(400)
    assert asked[-1].keys() == {"brand", "weight_kg"}
    assert asked[-1]["brand"] == "corsa"
    tab.select_option("[name=electric]", "false")
    tab.wait_for_timeout(400)
    assert asked[-1]["electric"] is False
    assert (tab.inner_text("#amount"), tab.inner_text("#range")) == ("€123.40", "€99.50 to €150.25 90% interval")
    assert tab.locator("#map").count() == 0
    assert "Weight kg, Electric" in tab.inner_text("#bars")
    assert complaints == []
    tab.close()
