"""Test that the log's lines become columns, and that what is no entry is told from what is one."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from living import life
from samples import columns, contract, release

from hearth.logbook import files, read, size
from hearth.logged import Reading

DAY = datetime(2015, 3, 1, tzinfo=UTC)
END = datetime(2015, 3, 8, tzinfo=UTC)
LIFE = life(release(), columns(200), rows=70, days=7, end="2015-03-08")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    LIFE.write(tmp_path)
    return tmp_path


def reading(log: Path, since: datetime = DAY, until: datetime = END, also: tuple[str, ...] = ()) -> Reading:
    return read(log, since, until, contract(), date(2015, 2, 26), also)


def add(log: Path, *lines: str, day: str = "2015-03-03") -> None:
    with (log / f"predictions-{day}-000.jsonl").open("a") as file:
        file.write("".join(lines))


def entry(log: Path, **changes: Any) -> dict[str, Any]:
    line = (log / "predictions-2015-03-03-000.jsonl").read_text().splitlines()[0]
    found: dict[str, Any] = json.loads(line)
    return found | changes


def test_every_prediction_becomes_a_row_of_what_was_served(log: Path) -> None:
    found = reading(log).predictions
    assert len(found) == 70
    assert found.ids.tolist() == LIFE.ids
    assert set(found.versions.tolist()) == {release().manifest.model_version}
    assert np.array_equal(found.price, release().predict(LIFE.columns).price)
    for name, values in found.columns.items():
        assert np.array_equal(values, LIFE.columns[name]), name
    assert b"".join(found.inputs) == release().inputs(LIFE.columns).astype("<f4").tobytes()


def test_only_the_asked_for_time_is_read_and_the_asked_for_ids_besides(log: Path) -> None:
    assert len(reading(log, until=datetime(2015, 3, 2, tzinfo=UTC)).predictions) == 10
    found = reading(log, until=datetime(2015, 3, 2, tzinfo=UTC), also=(LIFE.ids[60],)).predictions
    assert found.ids.tolist() == [*LIFE.ids[:10], LIFE.ids[60]]
    assert len(reading(log, since=END).predictions) == 0


def test_a_torn_line_is_skipped_and_counted_and_a_forgotten_one_is_nothing(log: Path) -> None:
    whole = json.dumps(entry(log), separators=(",", ":"))
    add(
        log,
        whole[:100],
        "\n",
        " " * 80 + "\n",
        '{"at":"2015-03-03T09:00:00.000+00:00","prediction_id":broken}\n',
        whole[:-2],
    )
    found = reading(log)
    assert len(found.predictions) == 70
    assert len(found.torn_at) == 3


def test_refused_requests_and_those_of_the_page_are_no_predictions(log: Path) -> None:
    at = "2015-03-03T12:00:00.000+00:00"
    add(
        log,
        json.dumps({"at": at, "refused": 422, "route": "/predict", "fields": ["grade", "other"]}, separators=(",", ":"))
        + "\n",
    )
    add(log, json.dumps(entry(log, via="page", at=at), separators=(",", ":")) + "\n")
    found = reading(log)
    assert (len(found.predictions), len(found.refused_at), found.from_page) == (70, 1, 1)
    assert found.refused_fields == {"grade": 1, "other": 1}


@pytest.mark.parametrize("change", [{"house": None}, {"price": None}, {"house": {"grade": "seven"}}, {"inputs": "*"}])
def test_an_entry_of_another_contract_is_counted_and_does_not_hide_the_others(
    log: Path, change: dict[str, Any]
) -> None:
    add(log, json.dumps(entry(log, at="2015-03-03T12:00:00.000+00:00", **change), separators=(",", ":")) + "\n")
    found = reading(log)
    assert (len(found.predictions), found.unfit) == (70, 1)


def test_a_clock_that_was_set_back_is_noticed(log: Path) -> None:
    assert len(reading(log).backwards_at) == 0
    add(
        log,
        json.dumps(entry(log, at="2015-03-03T01:00:00.000+00:00", prediction_id="f" * 32), separators=(",", ":"))
        + "\n",
    )
    found = reading(log)
    assert len(found.backwards_at) == 1
    assert found.newest == np.datetime64("2015-03-07T22:48:00")


def test_a_date_that_was_left_out_is_the_models(log: Path) -> None:
    at = "2015-03-03T23:00:00.000+00:00"
    add(
        log,
        json.dumps(
            entry(log, at=at, prediction_id="f" * 32, house=entry(log)["house"] | {"date": None}), separators=(",", ":")
        )
        + "\n",
    )
    found = reading(log).predictions
    assert found.columns["date"][found.ids.tolist().index("f" * 32)] == np.datetime64("2015-02-26")


def test_the_shadows_prices_stand_beside_those_that_were_served(log: Path) -> None:
    at = "2015-03-03T23:00:00.000+00:00"
    shadow = {"model_version": "b", "price": 1.0, "low": 0.5, "high": 2.0}
    add(log, json.dumps(entry(log, at=at, shadow=shadow), separators=(",", ":")) + "\n")
    add(
        log,
        json.dumps(entry(log, at=at, shadow={"model_version": "b", "error": "failed"}), separators=(",", ":")) + "\n",
    )
    found = reading(log).predictions
    assert np.flatnonzero(found.shadow_versions == "b").tolist() == [30]
    assert (found.shadow["price"][30], np.isnan(found.shadow["price"][31])) == (1.0, True)


def test_the_size_of_the_log_is_that_of_its_files(log: Path) -> None:
    assert len(files(log)) == 7
    assert size(log) == sum(file.stat().st_size for file in log.glob("predictions-*"))
