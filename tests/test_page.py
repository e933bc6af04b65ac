"""The page follows from the contract: a field per column, its bounds and its words, and never a word as markup."""

import datetime
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import PROJECT, sample
from test_other_table import CONTRACT as BIKES

from hearth.contract import Contract, parse_contract
from hearth.features import FeatureParams
from hearth.intervals import Interval
from hearth.page import DOTS_MAX, example, page, places, sums, words
from hearth.parquet import columns_of
from hearth.release import Facts, Manifest, Range
from hearth.rules import Columns

ASSETS = PROJECT / "src/hearth/assets"
TEMPLATE = (ASSETS / "page.html").read_text()
EXTERNAL = re.compile(rb"(?:https?:)?//[\w.-]+\.\w+|@import|url\(|\beval\b|innerHTML|document\.write")
NAMESPACE = b"http://www.w3.org/2000/svg"  # a name, which nothing fetches


class Read(HTMLParser):
    """Collect elements with their attributes, and texts by the element around them."""

    def __init__(self, text: bytes) -> None:
        """Read a page."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs))
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.texts.append((self.elements[-1][0], data))

    def named(self) -> dict[str, tuple[str, dict[str, str | None]]]:
        return {str(a["name"]): (tag, a) for tag, a in self.elements if "name" in a and tag != "meta"}

    def facts(self) -> dict[str, Any]:
        return json.loads(next(text for tag, text in self.texts if tag == "script" and text.startswith("{")))


def houses() -> Contract:
    return parse_contract(yaml.safe_load((PROJECT / "data/contract.yaml").read_text()), "contract.yaml")


def manifest(contract: Contract, rows: Columns, features: Mapping[str, Any]) -> Manifest:
    ranges = {
        name: Range(minimum=float(np.nanmin(rows[name].astype(float))), maximum=float(np.nanmax(rows[name].astype(float))))
        for name in contract.kinds.numbers
    }  # fmt: skip
    facts = Facts.model_construct(
        as_of=datetime.date(2015, 3, 1), first_day=datetime.date(2014, 5, 2), horizon=datetime.date(2015, 4, 27),
        rows=len(rows[contract.time.name]), recipe=FeatureParams(**features), ranges=ranges,
        interval=Interval.model_construct(level=0.9),
    )  # fmt: skip
    return Manifest.model_construct(model_version="2015-03-01-abc", facts=facts, files={})


@pytest.fixture(scope="module")
def rows() -> Columns:
    frame = sample().iloc[::9].query("bedrooms <= 15")
    return columns_of(frame.convert_dtypes().assign(date=frame["date"].astype("datetime64[s]")))


@pytest.fixture(scope="module")
def features() -> dict[str, Any]:
    return yaml.safe_load((PROJECT / "params.yaml").read_text())["features"]


@pytest.fixture(scope="module")
def made(rows: Columns, features: dict[str, Any]) -> bytes:
    return page(TEMPLATE, houses(), manifest(houses(), rows, features), rows, {"mdape": 0.08})


def bicycles() -> tuple[Contract, Columns, Manifest]:
    """Return another team's contract, some rows, and what a release of them would say."""
    chance = np.random.default_rng(1)
    rows = {
        "sold": np.array(["2023-05-01"] * 40, dtype="datetime64[D]"),
        "euros": chance.uniform(50, 900, 40),
        "brand": chance.choice(np.array(["alba", "brio", "corsa"], dtype=object), 40),
        "gears": np.where(chance.random(40) < 0.2, np.nan, 7.0),
        "weight_kg": chance.uniform(9, 30, 40).round(2),
        "electric": np.zeros(40),
    }
    contract = parse_contract(BIKES, "bikes.yaml")
    plain = {"day_zero": "2022-01-01", "derived": ["age"], "centres": {}, "neighbours": None}
    return contract, rows, manifest(contract, rows, plain)


@pytest.fixture(scope="module")
def bikes() -> tuple[Contract, Columns, Manifest]:
    return bicycles()


def test_there_is_a_field_for_each_column_and_for_the_time(made: bytes) -> None:
    contract = houses()
    assert set(Read(made).named()) == {column.name for column in (*contract.features, contract.time)}


@pytest.mark.parametrize(
    "column", [c for c in houses().features if c.type in ("integer", "number")], ids=lambda c: c.name
)
def test_a_number_has_its_bounds_its_step_and_its_example(made: bytes, column: Any) -> None:
    tag, given = Read(made).named()[column.name]
    assert (tag, given["type"]) == ("input", "number")
    assert (float(given["min"] or ""), float(given["max"] or "")) == (column.minimum, column.maximum)
    assert given["step"] == str(column.step or (1 if column.type == "integer" else "any"))
    assert float(given["value"] or "") == column.example
    assert "required" in given


def test_a_category_is_a_list_a_truth_a_box_and_a_day_an_empty_day(made: bytes) -> None:
    fields = Read(made).named()
    assert fields["zipcode"][0] == "select"
    chosen = [a["value"] for tag, a in Read(made).elements if tag == "option" and "selected" in a]
    assert chosen == ["98103"]
    assert (fields["waterfront"][1]["type"], "checked" in fields["waterfront"][1]) == ("checkbox", False)
    date = fields["date"][1]
    assert (date["type"], date["min"], date["max"], date.get("value")) == ("date", "2014-01-01", "2049-12-31", None)
    assert "required" not in date


def test_every_field_has_a_label_a_meaning_and_room_for_an_error(made: bytes) -> None:
    read = Read(made)
    ids = [a["id"] for _, a in read.elements if "id" in a]
    assert len(ids) == len(set(ids))
    labelled = {a["for"] for tag, a in read.elements if tag == "label"}
    for name, (_, given) in read.named().items():
        assert given["id"] in labelled, name
        assert set(str(given["aria-describedby"]).split()) <= set(ids), name
    assert all("aria-label" in a for tag, a in read.elements if tag == "input" and a.get("type") == "range")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sqft_living", "Living area"), ("sqft_living15", "Living area 15"), ("yr_built", "Year built"), ("lat", "Latitude"),
        ("zipcode", "Zip code"), ("grade", "Grade"), ("weight_kg", "Weight kg"), ("_", "_"), ("a-b c", "A b c"), ("sqft", "Area"),
    ],
)  # fmt: skip
def test_a_columns_name_is_put_in_words(name: str, said: str) -> None:
    assert words(name) == said


def test_a_hostile_contract_makes_no_markup(rows: Columns, features: dict[str, Any]) -> None:
    """Each text of the contract with tags, quotes, a script's end, a comment and a template's sign in it."""
    evil = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>\" ' autofocus $title {{x}} &amp;"
    document = yaml.safe_load((PROJECT / "data/contract.yaml").read_text())
    document |= dict.fromkeys(("title", "origin", "licence", "limits", "row"), evil)
    for column in document["columns"].values():
        column |= {"meaning": evil, "unit": evil}
    for check in document["checks"].values():
        check["meaning"] = evil
    contract = parse_contract(document, "evil.yaml")
    text = page(TEMPLATE, contract, manifest(contract, rows, features), rows, {})
    read, tame = Read(text), Read(page(TEMPLATE, houses(), manifest(houses(), rows, features), rows, {}))
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in tame.elements]
    assert [sorted(a) for _, a in read.elements] == [sorted(a) for _, a in tame.elements]
    assert read.facts()["checks"]["area_parts_sum"] == evil
    told = text.split(b'id="facts">')[1].split(b"</script>")[0]
    assert not set(told) & set(b"<>&"), "what begins a comment or a script would hide the end of this one"
    assert "".join(text for tag, text in read.texts if tag == "h1").strip() == evil


def test_hostile_names_and_categories_make_no_markup(bikes: tuple[Contract, Columns, Manifest]) -> None:
    evil = '"><script>alert(1)</script>'
    document = json.loads(json.dumps(BIKES))
    document["columns"]["brand"]["categories"] = ["alba", "brio", evil]
    document["columns"][evil] = document["columns"].pop("gears")
    contract = parse_contract(document, "evil.yaml")
    rows = dict(bikes[1])
    rows[evil] = rows.pop("gears")
    made = page(
        TEMPLATE,
        contract,
        manifest(contract, rows, {"day_zero": "2022-01-01", "derived": ["age"], "centres": {}, "neighbours": None}),
        rows,
        {},
    )
    read = Read(made)
    assert [a.get("src") for tag, a in read.elements if tag == "script"] == [None, "/page.js"]
    assert evil in read.named()
    assert evil in [a["value"] for tag, a in read.elements if tag == "option"]


def test_another_table_gets_a_page_without_a_map(bikes: tuple[Contract, Columns, Manifest]) -> None:
    contract, rows, release = bikes
    read = Read(page(TEMPLATE, contract, release, rows, {}))
    fields = read.named()
    assert set(fields) == {"brand", "gears", "weight_kg", "electric", "sold"}
    assert fields["electric"][0] == "select", "true, false or not known"
    assert "required" not in fields["gears"][1]
    assert "map" not in [a.get("id") for _, a in read.elements]
    facts = read.facts()
    assert facts["place"] is None
    assert facts["target"] == {"unit": "euro", "currency": "EUR", "whole": False}
    request = {name: a.get("value") for name, (tag, a) in fields.items() if tag == "input"}
    assert float(request["weight_kg"] or "") == example(contract, rows)["weight_kg"], "a typical row, without examples"


def test_the_slider_of_a_year_of_renovation_has_never_apart_and_that_of_land_goes_by_shares(made: bytes) -> None:
    ways = {}
    field = ""
    for tag, given in Read(made).elements:
        field = str(given["name"]) if tag in ("input", "select") and "name" in given else field
        if given.get("type") == "range":
            ways[field] = (given["data-way"], float(given["data-from"] or ""), float(given["data-step"] or ""))
    assert ways["yr_renovated"][0] == "apart"
    assert ways["yr_renovated"][1] > 1930
    assert ways["sqft_lot"][0] == "shares"
    assert ways["grade"][0] == "amounts"
    assert ways["bathrooms"][2] == 0.25
    assert not {"lat", "long", "zipcode", "waterfront", "date"} & set(ways)


def test_a_total_is_known_by_its_check() -> None:
    assert sums(houses()) == [{"total": "sqft_living", "parts": ["sqft_above", "sqft_basement"]}]
    assert sums(parse_contract(BIKES, "bikes.yaml")) == []


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("c == a + b", [{"total": "c", "parts": ["a", "b"]}]),
        ("a + b + d == c", [{"total": "c", "parts": ["a", "b", "d"]}]),
        ("a + b == c + d", []), ("a - b == c", []), ("a + 1 == c", []), ("a + b <= c", []), ("a == b", []),
    ],
)  # fmt: skip
def test_only_a_sum_of_columns_is_a_total(rule: str, found: list[Any]) -> None:
    number = {"type": "integer", "unit": "x", "role": "feature", "meaning": "X."}
    document = json.loads(json.dumps(BIKES))
    document["columns"] |= dict.fromkeys("abcd", number)
    document["checks"] = {"rule": {"rule": rule, "severity": "refuse", "meaning": "X."}}
    assert sums(parse_contract(document, "x.yaml")) == found


def test_the_map_holds_few_dots_inside_its_box_and_a_middle_for_each_zip_code(
    rows: Columns, features: dict[str, Any]
) -> None:
    contract = houses()
    place = places(contract, manifest(contract, rows, features).facts, rows)
    assert place
    assert place["columns"] == ["zipcode", "lat", "long"]
    dots = np.array(place["dots"]).reshape(-1, 3)
    assert 500 < len(dots) <= DOTS_MAX
    assert dots[:, :2].min() >= 0
    assert dots[:, :2].max() <= 1000
    assert set(dots[:, 2].tolist()) <= set(range(70))
    frame = sample().iloc[::9].query("zipcode == 98103")
    ours = contract["zipcode"].categories.index(98103)
    assert place["middles"][ours] == [round(frame["lat"].median(), 4), round(frame["long"].median(), 4)]
    assert ["Seattle", 47.6062, -122.3321] in place["towns"]


def test_the_same_rows_make_the_same_bytes_and_few_of_them(
    made: bytes, rows: Columns, features: dict[str, Any]
) -> None:
    assert made == page(TEMPLATE, houses(), manifest(houses(), rows, features), rows, {"mdape": 0.08})
    assert len(made) < 60_000
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 60_000
    assert len((ASSETS / "page.js").read_text().splitlines()) < 500


def test_no_file_names_another_place_or_runs_text(made: bytes) -> None:
    for name, content in {"made": made, **{path.name: path.read_bytes() for path in ASSETS.iterdir()}}.items():
        assert EXTERNAL.findall(content.replace(NAMESPACE, b"")) == [], name
    assert not [a for _, a in Read(made).elements if "style" in a or any(key.startswith("on") for key in a)]


def test_what_would_be_external_is_found() -> None:
    for text in (b'src="//x.org/a.js"', b"https://x.org", b"@import 'a'", b"eval('1')", b"a.innerHTML = b"):
        assert EXTERNAL.search(text)
