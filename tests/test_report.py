"""The report says what the run found, in sentences worked out from the figures, and nothing that depends on a clock or a place."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Remade
from reported import HISTORY, TEMPLATES, changed, entry, material
from samples import release

from hearth import findings, ratio_study
from hearth.cli import main
from hearth.drawings import SHADES, along, band, bars, course, density, gauge, map_cells, months, steps
from hearth.errors import Refusal
from hearth.findings import Material
from hearth.measures import shown
from hearth.operations import report as operation
from hearth.page import places
from hearth.ratio_study import STANDARDS, standing, verdict
from hearth.report import report, sections
from hearth.timeline import Entry, History

VOID = {"meta", "link", "br", "col", "img"}


class Read(HTMLParser):
    """Read HTML strictly: what is opened is closed, attributes stand once; collect elements and texts."""

    def __init__(self, text: str) -> None:
        """Read all of it."""
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), tag
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""


def text_of(m: Material) -> str:
    return " ".join(Read(report(TEMPLATES, m)).text.split())


@pytest.fixture(scope="module")
def page() -> str:
    return report(TEMPLATES, material())


# The page as a whole


def test_it_is_whole_html_that_fetches_nothing_and_runs_nothing(page: str) -> None:
    read = Read(page)
    assert not {"script", "img", "iframe", "object", "form"} & {tag for tag, _ in read.elements}
    for _, attrs in read.elements:
        assert str(attrs.get("href", "#")).startswith(("#", "data:,")), attrs
        assert "src" not in attrs
        assert not any(name.startswith("on") for name in attrs)
    assert not re.search(r"https?:|//[\w.-]+\.\w|@import|url\(", page)


def test_every_picture_has_a_text_alternative_that_says_something(page: str) -> None:
    pictures = [attrs for tag, attrs in Read(page).elements if tag == "svg"]
    assert len(pictures) >= 14
    for attrs in pictures:
        assert attrs["role"] == "img"
        assert len(str(attrs["aria-label"])) > 20
        assert re.search(r"\d", str(attrs["aria-label"]))
    assert len({attrs["aria-label"] for attrs in pictures}) == len(pictures)


def test_every_class_that_is_used_has_a_rule_and_every_anchor_a_place(page: str) -> None:
    style, read = page.split("<style>")[1].split("</style>")[0], Read(page)
    used = {name for _, attrs in read.elements for name in str(attrs.get("class") or "").split()}
    assert {name for name in used if not re.search(rf"\.{name}\b", style)} <= {"against", "better"}
    anchors = {str(attrs["href"]) for tag, attrs in read.elements if tag == "a"}
    assert anchors <= {f"#{attrs['id']}" for _, attrs in read.elements if "id" in attrs}
    assert len(anchors) == 11


def test_the_ageing_is_told_as_it_was_measured() -> None:
    """The committed curve, one in which the bias decays from 28 days on, and a project without one."""
    curve = material().curve
    assert curve is not None
    assert f"So the model is retrained after {curve.cadence_days} days at the latest." in text_of(material())
    old = curve.ages[1].beside_fresh["bias"].model_copy(update={"worse_by": (0.02, 0.04)})
    worse = curve.ages[1].model_copy(update={"beside_fresh": curve.ages[1].beside_fresh | {"bias": old}})
    decayed = curve.model_copy(update={"ages": (curve.ages[0], worse, *curve.ages[2:])})
    assert "on the same sales: provably more than 1 from 28 days on." in text_of(changed(curve=decayed))
    assert "How it ages" not in text_of(changed(curve=None))


def test_many_values_are_drawn_with_their_words_off_the_line() -> None:
    drawn = along(
        [1.0, 2.0], [(0.5, 1.9), (1.5, 3.0)], ["0", "28"], "age", (2.0, "allowed"), lambda value: f"{value:.0f}!", "two"
    )
    places = {word: float(y) for y, word in re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>([^<]+)</text>', drawn)}
    assert places["2!"] < places["allowed"] < places["1!"], (
        "the first would lie on the line, so it stands below its interval"
    )
    assert drawn.count('class="doubt"') == 2


def test_the_same_material_gives_the_same_bytes(page: str) -> None:
    assert report(TEMPLATES, dataclasses.replace(material())) == page
    assert not re.search(r"\b(nan|inf|None|undefined)\b", Read(page).text)


def test_text_from_outside_is_text(page: str) -> None:
    assert "Commit &lt;b&gt;1&lt;/b&gt; &amp; more" in page
    assert "<b>1</b>" not in page


def test_a_figure_that_the_template_does_not_get_is_an_error() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        report({"report.html": "{{ metrics.moon }}"}, material())


# What it says


def test_the_head_tells_the_verdict_and_the_figures_of_metrics_json(page: str) -> None:
    said, metrics = text_of(material()), material().run.metrics
    assert "The model passed its gate: it may be released." in said
    assert f"Half of its prices were within {metrics['mdape']:.1%} of what was paid, on 150 sales" in said
    for key in findings.TABLE:
        assert shown(key, metrics[key], "US dollar") in said
    assert "Model card: House sales" in said
    assert "Data card: House sales" in said


def test_a_failed_gate_is_the_headline_with_every_reason() -> None:
    reasons = ["mdape is 0.2, wanted at most 0.085 (gate.mdape_max)", "a second <one>"]
    m = changed(gate={"passed": False, "reasons": reasons, "checks": {"mdape": False, "evidence": True}})
    html, said = report(TEMPLATES, m), text_of(m)
    assert "The model did not pass its gate: it must not be released." in said
    assert "may be released" not in said
    assert all(reason in said for reason in reasons)
    assert "1 of 2 checks hold." in said
    assert said.index("✗ fails") < said.index("✓ holds")  # the failed ones come first
    assert 'class="verdict no"' in html


@pytest.mark.parametrize("gate", [{}, {"passed": "true", "checks": {}}, {"passed": None, "reasons": [], "checks": {}}])
def test_a_verdict_that_is_none_is_a_no(gate: dict[str, Any]) -> None:
    assert "must not be released" in text_of(changed(gate=gate))
    assert "0 of 0 checks hold" in text_of(changed(gate=gate))


def test_a_contract_without_a_place_has_a_report_without_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "places", lambda *_: None)
    found = sections(material())
    assert found["errors"]["map"] is None
    assert "priced too low" not in Read(report(TEMPLATES, material())).text


def test_slices_that_are_surely_worse_are_told_from_unlucky_ones() -> None:
    run = material().run
    table = run.slices.head(3).assign(mdape=[0.3, 0.2, 0.1], mdape_low=[0.25, 0.1, 0.05], mdape_high=[0.4, 0.3, 0.12])
    own = dataclasses.replace(run, slices=table, metrics=dict(run.metrics) | {"mdape": 0.15})
    found = findings.errors(changed(run=own))
    assert [row["kind"] for rows in found["groups"].values() for row in rows] == ["worse", "", "better"]
    assert "1 of 3 slices are surely worse" in found["caption"]
    assert "from 10.0%" in found["caption"]
    assert "to 30.0%" in found["caption"]


def test_no_slice_and_no_found_group_are_said() -> None:
    run = dataclasses.replace(material().run, slices=material().run.slices.head(0), found=[])
    said = text_of(changed(run=run))
    assert "No slice has enough sales" in said
    assert "900 groups were tried; none is worse than chance allows." in said


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.7, 0.78), "a little too narrow"),
        ((0.75, 0.85), "as promised, up to chance"),
        ((0.82, 0.9), "a little too wide"),
    ],
)
def test_coverage_is_judged_by_its_interval(interval: tuple[float, float], words: str) -> None:
    run = dataclasses.replace(material().run, intervals=dict(material().run.intervals) | {"coverage": interval})
    assert run.facts.interval.level == 0.8
    assert words in findings.calibration(changed(run=run))["held"]


def test_a_baseline_that_is_not_beaten_is_named() -> None:
    beaten = dict(material().evidence.baselines)
    ridge = beaten["ridge"].model_copy(
        update={"mdape": beaten["ridge"].mdape.model_copy(update={"verdict": "no evidence"})}
    )  # type: ignore[union-attr]
    evidence = material().evidence.model_copy(update={"baselines": beaten | {"ridge": ridge}})
    said = findings.metrics(changed(evidence=evidence))["caption"]
    assert "3 of 4 simpler ways (a linear model (ridge): no evidence)" in said
    nothing = material().evidence.model_copy(update={"baselines": {}})
    assert "nothing to compare with" in findings.metrics(changed(evidence=nothing))["caption"]


# History


def test_the_history_marks_gaps_releases_and_the_champion(page: str) -> None:
    said = text_of(material())
    assert "the file is broken: Expecting value" in said
    assert "no number for prb" in said
    assert "5 commits changed the metrics or carry a release; the champion of prod is house-prices@v0.2.0." in said
    assert page.count('class="ring"') == 2 * 4
    assert page.count('class="gap"') == 1 * 4
    assert "1 without a figure." in said
    assert said.index("Commit <b>5</b>") < said.index("Commit <b>1</b>")  # the table's newest is on top


def test_a_history_says_what_it_lacks() -> None:
    assert "There is no history: not a git repository." in text_of(changed(history=History((), "", ("There is no history: not a git repository.",))))  # fmt: skip
    assert "Nothing is released yet" in text_of(changed(history=History((entry(1),), "1" * 40, ())))
    moved = History((entry(1), entry(2, rows_test=99.0)), "1" * 40, ("This clone is shallow: …",))
    said = text_of(changed(history=moved))
    assert "The number of test sales changed on the way" in said
    assert "This clone is shallow" in said
    empty = Entry("1" * 40, "Bad", "2026-01-01", None, "the file is missing")
    assert "the file is missing" in text_of(changed(history=History((empty,), "1" * 40, ())))


def test_metrics_of_the_workspace_stand_at_the_end_unless_they_are_committed() -> None:
    newest = dict(HISTORY.entries[-1].metrics or {})
    assert operation._with_workspace(HISTORY, newest) == HISTORY
    longer = operation._with_workspace(HISTORY, newest | {"mdape": 0.5})
    assert len(longer.entries) == len(HISTORY.entries) + 1
    assert longer.entries[-1].subject == "what stands in the workspace, in no commit"
    assert operation._with_workspace(History((), "", ()), newest).entries == ()


def test_a_long_history_stays_a_picture() -> None:
    many = History(tuple(entry(1 + n % 28) for n in range(400)), "1" * 40, ())
    drawn = sections(changed(history=many))["history"]["charts"][0]["picture"]
    assert drawn.count("<circle") == 1  # a dot for the last one only


# The ratio study


@pytest.mark.parametrize(
    ("key", "value", "interval", "expected"),
    [
        ("cod", 12.0, (11.0, 13.0), "inside"),
        ("cod", 14.9, (14.0, 15.1), "inside, not surely"),
        ("cod", 4.9, (4.5, 5.5), "outside, not surely"),
        ("cod", 3.0, (2.5, 3.5), "outside"),
        ("prd", 1.03, (1.03, 1.03), "inside"),
        ("prd", 1.032, (1.026, 1.038), "outside, not surely"),
        ("prd", 1.06, (1.04, 1.08), "outside"),
        ("prb", -0.06, (-0.08, -0.052), "outside"),
        ("prb", 0.0, None, "inside"),
        ("median_ratio", 1.2, None, "outside"),
    ],
)
def test_where_a_figure_stands(key: str, value: float, interval: tuple[float, float] | None, expected: str) -> None:
    assert standing(value, interval, STANDARDS[key]) == expected


def test_the_study_is_summed_up_in_a_sentence() -> None:
    assert (
        verdict(dict.fromkeys(STANDARDS, "inside")) == "All 4 figures lie within the IAAO's ranges, and not by chance."
    )
    mixed = dict(zip(STANDARDS, ["inside", "inside", "outside, not surely", "outside"], strict=True))
    assert (
        verdict(mixed)
        == "The level and COD are within the range; PRD is outside the range, but not surely; PRB is outside the range."
    )  # type: ignore[arg-type]
    assert set(ratio_study.WORDS) == {"inside", "inside, not surely", "outside, not surely", "outside"}


@pytest.mark.parametrize(("value", "words"), [(-0.05, "falls behind what is paid by another 5.0%"), (0.02, "runs ahead of what is paid by another 2.0%")])  # fmt: skip
def test_the_price_related_bias_is_put_plainly(value: float, words: str) -> None:
    run = dataclasses.replace(material().run, metrics=dict(material().run.metrics) | {"prb": value})
    assert words in findings.ratios(changed(run=run))["plain"]


# Drawings


def numbers(drawn: str, attribute: str) -> list[float]:
    return [float(value) for value in re.findall(rf' {attribute}="([^"]+)"', drawn)]


def plain(value: float) -> str:
    return f"{value:g}"


def test_bars_are_as_high_as_their_values() -> None:
    heights = numbers(bars([1.0, 2.0, 4.0], ["a", "b", "c"], plain, "x"), "height")
    assert heights == [pytest.approx(heights[2] / 4, abs=0.1), pytest.approx(heights[2] / 2, abs=0.1), heights[2]]


def test_months_hold_every_sale_once() -> None:
    train = np.array(["2014-11-30", "2014-12-01", "2014-12-31"], dtype="datetime64[D]")
    test = np.array(["2015-01-01", "2015-01-02"], dtype="datetime64[D]")
    drawn = months(train, test, "x")
    assert re.findall(r'<text class="small"[^>]*>(\d+)</text>', drawn) == ["1", "2", "2"]
    assert drawn.count('class="quiet"') == 2
    assert drawn.count('class="tint"') == 1
    assert ">2014<" in drawn
    assert ">2015<" in drawn


def test_the_darkest_hexagon_holds_most_sales_and_all_are_drawn() -> None:
    actual = np.array([100_000.0] * 50 + [1_000_000.0, 300_000.0])
    drawn = density(actual, actual * 1.0001, plain, "x")
    assert re.findall(r'class="s(\d)"', drawn).count(str(SHADES)) == 1
    assert drawn.count("<path") == 3


def test_the_map_needs_some_sales_in_a_cell_and_means_their_errors() -> None:
    box = [47.0, 48.0, -122.0, -121.0]
    lat, long = np.array([47.5] * 6 + [47.9] * 4), np.array([-121.5] * 6 + [-121.1] * 4)
    error = np.array([0.1] * 3 + [0.3] * 3 + [0.9] * 4)
    ((_, mean, count),) = map_cells(lat, long, error, box)
    assert (round(mean, 6), count) == (0.2, 6)
    assert map_cells(lat + 10, long, error, box) == []


def test_what_lies_beyond_a_scale_is_drawn_at_its_end() -> None:
    low = gauge(-9.0, (-10.0, -8.0), (5, 15), (0, 20), (plain, plain), "x")
    assert all(0 <= x <= 420 for x in numbers(low, "cx") + numbers(low, "x1") + numbers(low, "x2"))


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1], [None, 0.1], [0.1, None], [0.1, None, 0.2], [0.0, 0.0]])
def test_a_course_of_any_length_has_one_word_per_end(values: list[float | None]) -> None:
    drawn = course(values, [""] * len(values), plain, "x")
    ends = {place for place in (0, len(values) - 1) if values[place] is not None}
    assert drawn.count("<text") == len(ends)
    assert "nan" not in drawn


def test_a_course_without_a_figure_is_no_picture() -> None:
    assert course([None, None], ["", ""], plain, "x") == ""


def test_a_text_in_a_drawing_is_no_markup() -> None:
    drawn = steps([1.0, 2.0], [(0.5, 1.5), (1.5, 2.5)], ["<a>", "b"], (1.0, "&"), plain, 'a "label"')
    assert "&lt;a&gt;" in drawn
    assert 'aria-label="a &quot;label&quot;"' in drawn


def test_a_band_of_equal_prices_is_drawn() -> None:
    flat = {name: [1.0, 1.0] for name in ("predicted", "low", "median", "high")}
    assert "nan" not in band(flat, plain, "x")


def test_the_towns_of_the_map_do_not_stand_on_each_other(page: str) -> None:
    assert places(release().contract, release().facts, material().train) is not None
    spots = re.findall(r'<text class="town" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">', page)
    assert len(spots) == len(release().facts.recipe.centres)
    assert {anchor for _, _, anchor in spots} <= {"start", "end", "middle"}


# The operation


def test_without_a_run_it_says_how_to_make_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "dvc.yaml").touch()
    assert main(["report"]) == 1
    assert "models/model is not a folder; `make run` makes it" in capsys.readouterr().err
    assert not (workspace / "metrics/report.html").exists()


def test_the_real_report_is_the_same_anywhere_and_leaves_git_clean(remade: Remade, tmp_path: Path) -> None:
    run = remade.checkout.run
    done = run("python", "-c", "from hearth.cli import main; main(['report'])")
    assert "wrote metrics/report.html" in done.stdout
    first = (remade.checkout.root / "metrics/report.html").read_bytes()
    target = str(tmp_path / "other.html")
    again = f"from hearth.cli import main; main(['report', '-o', {target!r}])"
    run("python", "-c", again, PYTHONHASHSEED="1", TZ="America/Lima", LC_ALL="C.UTF-8", LANG="de_DE.UTF-8")
    assert Path(target).read_bytes() == first
    assert str(remade.checkout.root).encode() not in first
    assert run("git", "status", "--porcelain").stdout == ""
    metrics = json.loads((remade.checkout.root / "metrics/metrics.json").read_text())
    assert f"within {metrics['mdape']:.1%} of what was paid" in first.decode()
    assert b"It is not the file of dvc.lock" not in first


def test_a_bento_that_is_not_there_is_said_in_the_lineage(remade: Remade, monkeypatch: pytest.MonkeyPatch) -> None:
    from hearth.release import open_release
    from hearth.storage import read_folder, read_yaml

    monkeypatch.chdir(remade.checkout.root)
    made, lock = open_release(read_folder(Path("models/model")), "m"), read_yaml(Path("dvc.lock"))
    assert [step.note for step in operation.lineage(made, lock)] == [""] * 5
    assert {step.note for step in operation.lineage(made, {})} >= {
        "It is not the file of dvc.lock; `dvc repro` makes both anew."
    }
    monkeypatch.setattr(operation, "BENTO", Path("models/none.bento"))
    assert "It is not there: the gate said no" in operation.lineage(made, lock)[-1].note


def test_predictions_of_other_rows_are_refused(remade: Remade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(remade.checkout.root)
    monkeypatch.setattr(operation, "TEST", Path("data/prepared/train.parquet"))
    with pytest.raises(Refusal, match="is not of the rows of data/prepared/train"):
        operation.gathered()
