"""Test the tables behind the plots by hand, and that the pictures are whole, plain and always the same bytes."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from samples import params

from hearth.charts import by_fifth, error_by_slice, importance, pictures, predicted_and_actual
from hearth.evidence import by_fifth as sure_by_fifth
from hearth.explanation import Importance
from hearth.plotdata import LEVELS, PlotTables, importance_table, plot_tables
from hearth.slices import EvaluateParams, table
from hearth.strict import parse


def scored(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    actual = np.exp(random.normal(13, 0.5, count))
    predicted = actual * np.exp(random.normal(0, 0.15, count))
    return {"actual": actual, "predicted": predicted, "low": predicted * 0.8, "high": predicted * 1.2}


def by_hand(actual: list[float], predicted: list[float]) -> dict[str, np.ndarray]:
    known = {"actual": np.array(actual), "predicted": np.array(predicted)}
    return known | {"low": known["predicted"] * 0.9, "high": known["predicted"] * 1.1}


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


# Tables


def test_by_week_by_hand() -> None:
    """Weeks begin on Monday: 2015-01-04 was a Sunday, 2015-01-05 a Monday."""
    sold = days("2015-01-04", "2015-01-05", "2015-01-11", "2014-12-29")
    found = plot_tables(sold, by_hand([100.0, 100.0, 100.0, 100.0], [130.0, 110.0, 90.0, 100.0])).by_week
    assert found.to_dict("records") == [
        {"week": "2014-12-29", "sales": 2, "mdape": 0.15, "median_ratio": 1.15, "coverage": 0.5},
        {"week": "2015-01-05", "sales": 2, "mdape": 0.1, "median_ratio": 1.0, "coverage": 0.5},
    ]  # 90 × 1.1 is 99: the interval of the third does not hold its price; 110 × 0.9 is 99, which does


@pytest.mark.parametrize("offset", range(14))
def test_every_day_belongs_to_the_monday_before_it(offset: int) -> None:
    day = np.datetime64("2015-02-02") + offset  # a Monday
    found = plot_tables(np.array([day]), by_hand([1.0], [1.0])).by_week["week"].tolist()
    assert found == [str(np.datetime64("2015-02-02") + offset // 7 * 7)]


def test_by_fifth_by_hand() -> None:
    predicted = [100.0, 200.0, 300.0, 400.0, 500.0]
    found = plot_tables(days(*["2015-01-05"] * 5), by_hand([100.0, 100.0, 300.0, 400.0, 250.0], predicted)).by_fifth
    assert found["fifth"].tolist() == ["1", "2", "3", "4", "5"]
    assert found["sales"].tolist() == [1] * 5
    assert found["median_ratio"].tolist() == [1, 2, 1, 1, 2]
    assert found["coverage"].tolist() == [1, 0, 1, 1, 0]


def test_error_quantiles_by_hand() -> None:
    """Of errors 0 to 20 percent in steps of one, a share of 0.05 k is at most k percent."""
    predicted = [1 + place / 100 for place in range(21)]
    found = plot_tables(days(*["2015-01-05"] * 21), by_hand([1.0] * 21, predicted)).error_quantiles
    assert found["share_of_sales"].tolist() == LEVELS.tolist()
    assert found["error"].tolist() == [round(k / 100, 6) for k in range(1, 20)]


def test_sales_are_all_rows_in_each_table() -> None:
    made = plot_tables(np.datetime64("2015-01-01") + np.arange(300) % 59, scored(300))
    assert made.by_week["sales"].sum() == made.by_fifth["sales"].sum() == 300
    assert made.by_fifth["sales"].tolist() == [60] * 5


def test_residuals_by_hand() -> None:
    """Eighty sales make forty steps of two; a window reaches half a step to either side."""
    predicted = [1000.0 + place for place in range(80)]
    rows = by_hand([value / (1.1 if value < 1040 else 0.9) for value in predicted], predicted)
    found = plot_tables(days(*["2015-01-05"] * 80), rows).residuals
    assert len(found) == 40
    assert found.iloc[0].to_dict() == {"predicted": 1001.0, "low": 0.1, "median": 0.1, "high": 0.1}
    assert found.iloc[1].to_dict() == {"predicted": 1002.5, "low": 0.1, "median": 0.1, "high": 0.1}
    assert found["median"].iloc[-1] == -0.1
    assert found["predicted"].is_monotonic_increasing


def test_tables_as_csv() -> None:
    found = plot_tables(days("2015-01-05"), by_hand([100.0], [110.0])).csv()
    assert set(found) == {"by_week.csv", "by_fifth.csv", "error_quantiles.csv", "residuals.csv"}
    assert found["by_week.csv"] == "week,sales,mdape,median_ratio,coverage\n2015-01-05,1,0.1,1.1,1.0\n"
    assert all("\r" not in text and text.endswith("\n") for text in found.values())


# Pictures

PLACES = np.random.default_rng(5)
COLUMNS = {
    "lat": PLACES.uniform(47.2, 47.7, 400),
    "long": PLACES.uniform(-122.5, -121.8, 400),
    "grade": PLACES.integers(5, 10, 400),
}
ROWS = scored(400)
PARAMS = parse(
    EvaluateParams,
    params("evaluate") | {"slices": {"grade": {"column": "grade"}}, "slice_rows_min": 1},
    "params.yaml: evaluate",
)


def few(rows_min: int = 1) -> EvaluateParams:
    return PARAMS.model_copy(update={"slices": {}, "slice_rows_min": rows_min})


def tables() -> PlotTables:
    return plot_tables(np.datetime64("2015-01-01") + np.arange(400) % 59, ROWS)


def slices() -> pd.DataFrame:
    return pd.DataFrame(table(COLUMNS, ROWS, PARAMS))


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return pictures(tables(), ROWS, COLUMNS, slices())


NAMES = ["by_fifth.png", "by_week.png", "map.png", "predicted_and_actual.png", "residuals.png", "slices.png"]


def test_there_is_a_picture_for_each_question(drawn: dict[str, bytes]) -> None:
    assert sorted(drawn) == NAMES


@pytest.mark.parametrize("missing", ["lat", "long"])
def test_the_map_is_left_out_without_a_position(missing: str) -> None:
    """Another table may have no coordinates."""
    known = {name: values[:20] for name, values in COLUMNS.items() if name != missing}
    some = {name: values[:20] for name, values in ROWS.items()}
    assert sorted(pictures(tables(), some, known, slices())) == [name for name in NAMES if name != "map.png"]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_decodes_and_has_a_sane_size(drawn: dict[str, bytes], name: str) -> None:
    with Image.open(io.BytesIO(drawn[name])) as image:
        image.load()
        assert image.format == "PNG"
        assert 400 <= image.width <= 1200
        assert 200 <= image.height <= 1200
        colours = image.convert("RGB").getcolors(maxcolors=2**24) or []
    assert len(colours) > 20  # something is drawn
    assert max(colours)[1] == (255, 255, 255)  # on white
    assert max(colours)[0] > 0.3 * image.width * image.height


def chunks(content: bytes) -> list[bytes]:
    """Return the kinds of a PNG's chunks."""
    found, place = [], 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        found.append(content[place + 4 : place + 8])
        place += 12 + length
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_names_no_software_and_no_date(drawn: dict[str, bytes], name: str) -> None:
    """Such a note would change the bytes with every release of matplotlib, or every second."""
    assert drawn[name].startswith(b"\x89PNG\r\n\x1a\n")
    assert set(chunks(drawn[name])) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


def test_the_same_numbers_are_the_same_bytes(drawn: dict[str, bytes]) -> None:
    again = pictures(tables(), ROWS, COLUMNS, slices())
    assert [name for name in NAMES if again[name] != drawn[name]] == []


def test_other_numbers_are_another_picture(drawn: dict[str, bytes]) -> None:
    assert predicted_and_actual(scored(400, seed=1)) != drawn["predicted_and_actual.png"]


RISES = [Importance(("a", "b"), 0.02, 0.001), Importance(("c",), 0.1, 0.0), Importance(("d",), -0.0, 0.0000004)]


def test_importance_as_a_table_and_a_picture() -> None:
    found = importance_table(RISES)
    assert found.to_dict("records") == [
        {"columns": "c", "rise": 0.1, "spread": 0.0},
        {"columns": "a + b", "rise": 0.02, "spread": 0.001},
        {"columns": "d", "rise": 0.0, "spread": 0.0},
    ]
    drawn = importance(found)
    assert set(chunks(drawn)) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
    assert drawn == importance(importance_table(reversed(RISES)))
    assert importance(importance_table(RISES[2:])) != drawn  # nothing rises, and it can be drawn


def test_slices_have_whiskers() -> None:
    narrow = slices().assign(mdape_low=lambda rows: rows["mdape"], mdape_high=lambda rows: rows["mdape"])
    assert error_by_slice(narrow) != error_by_slice(slices())


def test_fifths_have_whiskers_where_their_intervals_are_known() -> None:
    sure = sure_by_fifth(ROWS, PARAMS.bootstrap.model_copy(update={"draws": 20}))
    assert by_fifth(tables().by_fifth, sure) != by_fifth(tables().by_fifth)


def test_pictures_leave_their_numbers_alone() -> None:
    before = {name: values.copy() for name, values in ROWS.items()}
    predicted_and_actual(ROWS)
    assert all((ROWS[name] == values).all() for name, values in before.items())


def test_one_sale_can_be_drawn() -> None:
    """A slice of the future may be that small; warnings are errors here."""
    rows = scored(1)
    made = pictures(plot_tables(days("2015-01-05"), rows), rows, {"lat": np.array([47.5]), "long": np.array([-122.0])},
                    pd.DataFrame(table({}, rows, few())))  # fmt: skip
    assert sorted(made) == NAMES


def _no_slices() -> pd.DataFrame:
    return pd.DataFrame(table({}, ROWS, few(1000)))


def _perfect() -> pd.DataFrame:
    return pd.DataFrame(table({}, ROWS | {"predicted": ROWS["actual"]}, few()))


@pytest.mark.parametrize("make", [_no_slices, _perfect])
def test_slices_can_be_drawn_without_any_and_without_error(make: Callable[[], pd.DataFrame]) -> None:
    assert error_by_slice(make()).startswith(b"\x89PNG")
