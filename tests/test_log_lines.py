"""Test the lines of the prediction log: what stands in them, what never does, and which files hold them."""

import base64
import datetime
import json
from typing import Any

import numpy as np
import pytest

from hearth.log_lines import FIELDS_MAX, Refused, day_of, fields_of, line_of, part_name, part_of

AT = datetime.datetime(2026, 11, 28, 23, 59, 59, 123_400, datetime.UTC).timestamp()
ANSWER = {"prediction_id": "a" * 32, "price": 500_000.0, "low": 400_000.0, "high": 600_000.0, "model_version": "v",
          "warnings": ["grade: 14 is outside the training data, 1 to 13", "date: it is late: very"]}  # fmt: skip
HOUSE = {"grade": 14, "floors": 1.5, "waterfront": False, "date": datetime.date(2015, 3, 1)}
INPUTS = np.array([1.5, np.nan, -0.0], dtype=np.float32)
KNOWN = ("grade", "date", "sqft_living", "sqft_above")


def told(*entry: Any, shadow: dict[str, Any] | None = None) -> dict[str, Any]:
    line = line_of(entry if len(entry) == 6 else entry[0], shadow)  # type: ignore[arg-type]
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_tells_what_was_asked_and_answered() -> None:
    found = told(AT, "/predict", None, HOUSE, ANSWER, INPUTS)
    inputs = base64.b64decode(found.pop("inputs"))
    assert inputs == np.array(INPUTS, dtype="<f4").tobytes()
    assert found == {
        "at": "2026-11-28T23:59:59.123+00:00", "prediction_id": "a" * 32, "model_version": "v", "route": "/predict",
        "house": HOUSE | {"date": "2015-03-01"}, "price": 500_000.0, "low": 400_000.0, "high": 600_000.0,
        "warnings": ["grade", "date"],
    }  # fmt: skip
    assert list(found)[:4] == ["at", "prediction_id", "model_version", "route"]


def test_what_is_not_there_has_no_key_and_a_date_left_out_is_null() -> None:
    found = told(AT, "/predict", None, HOUSE | {"date": None}, ANSWER, None)
    assert not {"via", "inputs", "shadow"} & set(found)
    assert found["house"]["date"] is None
    shadow = {"model_version": "w", "error": "none"}
    found = told(AT, "/explain", "page", HOUSE, ANSWER, INPUTS, shadow=shadow)
    assert (found["via"], found["shadow"]) == ("page", shadow)


def test_a_refused_request_is_a_line_without_values() -> None:
    found = told(Refused(AT, "/predict", 422, ("grade", "other")))
    assert found == {"at": "2026-11-28T23:59:59.123+00:00", "refused": 422, "route": "/predict", "fields": ["grade", "other"]}  # fmt: skip


def test_a_whole_number_beyond_64_bits_is_written_too() -> None:
    assert told(AT, "/predict", None, {"grade": 10**30}, ANSWER, None)["house"] == {"grade": 10**30}


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        ([], ()),
        (["grade", "date", "grade"], ("grade", "date")),
        (["houses.12.grade", "houses.3.colour", "houses"], ("grade", "other")),
        (["houses.1.sqft_above, sqft_living"], ("sqft_above", "sqft_living")),
        (["sqft_above, name of a person", "my.grade", "", "houses.1"], ("other",)),
        ([f"x{number}" for number in range(50)] + ["grade"], ("other", "grade")),
    ],
)
def test_only_columns_are_named(named: list[str], fields: tuple[str, ...]) -> None:
    assert fields_of(named, KNOWN) == fields


def test_at_most_ten_columns_are_named() -> None:
    many = [f"c{number}" for number in range(30)]
    assert fields_of([", ".join(many)], many) == fields_of(many, many) == tuple(many[:FIELDS_MAX])


@pytest.mark.parametrize(
    ("name", "part"),
    [("predictions-2026-11-28-000.jsonl", ("2026-11-28", 0)), ("outcomes-2026-11-28.jsonl", ("2026-11-28", 0)), (part_name("2026-11-28", 12), ("2026-11-28", 12)),
     (".predictions-77", None), ("predictions-2026-11-28-000.jsonl.gz", None), ("notes.txt", None), ("others-2026-11-28.jsonl", None)],
)  # fmt: skip
def test_files_are_known_by_their_names(name: str, part: tuple[str, int] | None) -> None:
    assert part_of(name) == part


def test_a_day_is_one_of_utc() -> None:
    assert (day_of(AT), day_of(AT + 1)) == ("2026-11-28", "2026-11-29")
