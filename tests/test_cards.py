"""The cards tell what the run found and what people said; a card that is empty or tells another figure is found out."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import PROJECT
from samples import contract, release
from test_page import Read

from hearth import cards
from hearth.cards import DATA_CARD, DATA_SECTIONS, MODEL_CARD, MODEL_SECTIONS, CardWords, Run, run_of
from hearth.document import Document, Items, Section, Table, Terms, html_of, markdown
from hearth.errors import Refusal
from hearth.measures import MEASURES, money, shown
from hearth.page import card_page
from hearth.proofreading import faults
from hearth.scoring import KEYS
from hearth.strict import parse

METRICS: dict[str, Any] = {
    "rmse": 106788.94, "mae": 60005.78, "mdape": 0.081349, "r2": 0.903696, "rmse_log": 0.172245, "bias": 0.012608,
    "coverage": 0.885548, "interval_width": 0.446943, "cod": 12.326317, "prd": 1.031614, "prb": -0.047791,
    "rows_train": 14632, "rows_test": 2228, "baseline_rmse_log": 0.261672, "baseline_mdape": 0.142366,
}  # fmt: skip
EVIDENCE = {
    "intervals": {key: [METRICS[key] * 0.9, METRICS[key] * 1.1] for key in KEYS[:11]},
    "worst_slices": [
        {"slice": "a_1 × b", "group": "0 × 1", "rows": 100, "mdape": 0.2, "rest_mdape": 0.08, "adjusted_p": 0.0}
    ],
}
SLICES = """slice,group,rows,mdape,rmse_log,bias,coverage,mdape_low,mdape_high,coverage_low,coverage_high
price_fifth,1,446,0.100618,0.218783,0.029964,0.843049,0.091353,0.112156,0.806378,0.873862
price_fifth,2,445,0.072285,0.159953,-0.01109,0.880899,0.062292,0.078441,0.847497,0.907781
"""
WORDS = yaml.safe_load((PROJECT / "data/cards.yaml").read_text())
DAYS = np.array(["2015-01-02", "2015-02-27"], dtype="datetime64[D]")
UNIT = contract().target.unit


def run(**changed: float) -> Run:
    return run_of("house_prices", release(), METRICS | changed, EVIDENCE, SLICES, DAYS, 1)


def said(place: str = "model.owner", value: object = "A team.") -> dict[str, Any]:
    """Return the shipped words with one of them changed; None takes it out."""
    document = copy.deepcopy(WORDS)
    part, key = place.split(".")
    document[part][key] = value
    if value is None:
        del document[part][key]
    return document


def words(document: Any = WORDS) -> CardWords:
    return parse(CardWords, document, "data/cards.yaml")


@pytest.fixture(scope="module")
def card() -> str:
    return cards.model_card(words().model, run())


def found(text: str, metrics: dict[str, Any] = METRICS) -> list[str]:
    return faults(text, MODEL_SECTIONS, metrics, MODEL_CARD, UNIT, whole=True)


# What the cards tell


def test_the_shipped_words_make_two_cards_without_a_fault() -> None:
    made = cards.checked(words(), run())
    assert set(made) == {MODEL_CARD, DATA_CARD}
    for name, wanted in {MODEL_CARD: MODEL_SECTIONS, DATA_CARD: DATA_SECTIONS}.items():
        text = made[name].decode()
        assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(wanted)
    assert made == cards.checked(words(), run())


def test_the_metadata_hold_every_metric_as_it_stands_in_metrics_json(card: str) -> None:
    front = yaml.safe_load(card.split("---\n")[1])
    (result,) = front["model-index"][0]["results"]
    assert {one["type"]: one["value"] for one in result["metrics"]} == METRICS
    assert list(MEASURES) != []
    assert set(MEASURES) == set(KEYS)
    assert result["dataset"]["revision"] == release().facts.data_sha256
    assert result["task"]["type"] == front["pipeline_tag"] == "tabular-regression"
    assert front["license"] == WORDS["model"]["licence"].lower()


def test_the_words_of_people_and_of_the_contract_stand_in_the_cards(card: str) -> None:
    for text in (WORDS["model"]["uses"][0], WORDS["model"]["out_of_scope"][0], WORDS["model"]["ethics"][0]):
        assert text in card
    data = cards.data_card(words().data, run())
    assert contract().limits in data
    assert contract().sha256 in data
    assert all(f"`{column.name}`" in data for column in contract().columns)
    assert WORDS["data"]["people"].strip() in data


def test_a_figure_in_the_words_is_that_of_the_run() -> None:
    made = cards.model_card(words(said("model.measures", "It errs by {mdape}.")).model, run(mdape=0.0512))
    assert "It errs by 5.1% (`mdape`)." in made
    assert found(made, METRICS | {"mdape": 0.0512}) == []
    assert len(found(made)) == 3  # index, table, sentence


def test_no_card_tells_a_time_or_a_place_on_a_machine(card: str) -> None:
    assert str(Path.cwd()) not in card
    assert "/src/" not in card


# What is refused in the words


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (said("model.owner", ""), "data/cards.yaml: model.owner is '', wanted words."),
        (said("model.owner", " \n"), "data/cards.yaml: model.owner is ' \\n', wanted words."),
        (said("model.owner", None), "data/cards.yaml: model.owner is missing; add it."),
        (said("model.owner", "TODO"), "model.owner is 'TODO', wanted words in place of 'TODO'."),
        (said("data.people", "to be done: TBD"), "data.people is 'to be done: TBD', wanted words in place of 'TBD'."),
        (said("model.uses", []), "model.uses is [], wanted"),
        (said("model.uses", ["Good.", "…"]), "model.uses.1 is '…', wanted words."),
        (said("model.caveats", "one text"), "model.caveats is 'one text', wanted"),
        (said("model.licence", "see the file"), "model.licence is 'see the file', wanted"),
        (said("model.measures", "It errs by 8.1 %."), "wanted no figure written by hand ('8.1 %')"),
        (said("model.measures", "r2 is 0.90"), "wanted no figure written by hand ('0.9'"),
        (said("model.measures", "half within {mdap}"), "wanted keys of metrics.json between braces, not 'mdap'"),
        (said("model.motto", "We try."), "data/cards.yaml: model.motto is not a known key; remove it."),
        ({"model": WORDS["model"]}, "data/cards.yaml: data is missing; add it."),
        ([], "data/cards.yaml is [], wanted a mapping"),
    ],
)
def test_words_that_are_none_are_refused_by_key(document: object, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        words(document)
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [None, True, "0.08", float("nan"), float("inf")])
def test_a_run_whose_metric_is_no_number_has_no_card(value: Any) -> None:
    with pytest.raises(Refusal, match=r"metrics\.json: mdape is"):
        run(mdape=value)


@pytest.mark.parametrize("evidence", [{}, {"intervals": {"mdape": 1}, "worst_slices": []}, {"intervals": {}, "worst_slices": [{}]}])  # fmt: skip
def test_evidence_of_another_shape_is_refused(evidence: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match=r"evidence\.json is no evidence of this code"):
        run_of("house_prices", release(), METRICS, evidence, SLICES, DAYS, 1)


# What is found in a card


def test_a_true_card_has_no_fault(card: str) -> None:
    assert found(card) == []


def without_section(card: str) -> str:
    before, rest = card.split("## Factors\n")
    return before + "## Metrics\n" + rest.split("## Metrics\n")[1]


def emptied_section(card: str) -> str:
    before, rest = card.split("## Factors\n")
    return before + "## Factors\n\n## Metrics\n" + rest.split("## Metrics\n")[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.replace("value: 0.081349", "value: 0.071349"),
         "model_card.md: model-index.mdape is 0.071349, metrics.json has 0.081349"),
        (lambda card: card.replace("value: 0.081349", "value: .nan"), "model-index.mdape is nan, metrics.json has 0.081349"),
        (lambda card: card.replace("value: 0.081349", "value: '0.081349'"), "model-index.mdape is '0.081349', metrics.json"),
        (lambda card: card.replace("type: mdape", "type: rmse"), "model-index.mdape stands there 0 times, wanted once"),
        (lambda card: card.replace("type: mdape", "type: rmse"), "model-index.rmse stands there 2 times, wanted once"),
        (lambda card: card.replace("type: mdape", "type: accuracy"), "model-index.accuracy stands there 1 times, wanted no"),
        (lambda card: card.replace("metrics:\n", "measures:\n"), "model-index lacks the metrics of a result"),
        (lambda card: card.replace("| `mdape` | 8.1% |", "| `mdape` | 7.1% |"), "says mdape is '7.1%', metrics.json has 0.081349"),
        (lambda card: card.replace("| `mdape` | 8.1% |", "| `mdape` |  |"), "says mdape is '', metrics.json has 0.081349"),
        (lambda card: card.replace("| `mdape` |", "| mdape |"), "the table of metrics lacks mdape"),
        (lambda card: card.replace("$60,006", "$60,007"), "says mae is '$60,007', metrics.json has 60005.78"),
        (lambda card: card.replace("it is 8.1% (`mdape`)", "it is 18.1% (`mdape`)"), "says mdape is '18.1%', metrics.json"),
        (lambda card: card.replace("it is 8.1% (`mdape`)", "it is small (`mdape`)"), "says mdape is 'small', metrics.json"),
        (without_section, "model_card.md: the section Factors is missing"),
        (emptied_section, "model_card.md: Factors is empty"),
        (lambda card: card.replace(WORDS["model"]["owner"], ""), "model_card.md: Model details: Owner is empty"),
        (lambda card: card.replace(f"- {WORDS['model']['uses'][0]}", "- "), "Intended use has an empty item"),
        (lambda card: card.replace(WORDS["model"]["contact"], "TODO"), "Model details holds the placeholder 'TODO'"),
        (lambda card: card.replace("license: mit", "license:"), "model_card.md: license is empty"),
        (lambda card: card.replace("| 446 | 10.1% |", "| 446 | nan% |"), "Quantitative analyses holds a value that is no number"),
        (lambda card: card.split("---\n")[2], "model_card.md has no metadata"),
        (lambda card: card.replace("tags:\n", "tags: [\n"), "model_card.md has no metadata"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(card: str, change: Callable[[str], str], message: str) -> None:
    spoilt = change(card)
    assert spoilt != card
    assert [one for one in found(spoilt) if message in one], found(spoilt)


@pytest.mark.parametrize("key", KEYS)
def test_each_figure_is_held_to_metrics_json(card: str, key: str) -> None:
    """The run moved on, the card did not: both places say so."""
    others = found(card, METRICS | {key: METRICS[key] * 2})
    assert any(f"model-index.{key} is" in one for one in others)
    assert any(f"says {key} is" in one for one in others)


def test_a_metric_that_became_nan_is_found(card: str) -> None:
    assert [one for one in found(card, METRICS | {"prb": float("nan")}) if "prb" in one]


def test_a_data_card_with_another_number_of_rows_is_found() -> None:
    text = cards.data_card(words().data, run())
    assert faults(text, DATA_SECTIONS, METRICS, DATA_CARD, UNIT, whole=False) == []
    wrong = faults(text, DATA_SECTIONS, METRICS | {"rows_test": 7}, DATA_CARD, UNIT, whole=False)
    assert wrong == ["data_card.md says rows_test is '2,228', metrics.json has 7"]


def test_a_template_with_a_figure_of_its_own_stops_the_packaging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "shown", lambda key, value, unit: "7.0%" if key == "mdape" else shown(key, value, unit))
    with pytest.raises(Refusal, match=r"says mdape is '7\.0%', metrics\.json has 0\.081349") as caught:
        cards.checked(words(), run())
    assert "Nothing was packaged" in str(caught.value)


# Documents

DOCUMENT = Document(
    "A <b>bold</b> *title*",
    (Section("One", ("Text with `a_b < c` in\n  two lines.", Items(("x | y", "z")), Terms({"Name": "a_b"}))),
     Section("Two", (Table(("key", "value"), (("a|b", "1"), ("c", "−2.5%"))),))),
)  # fmt: skip


def test_a_document_as_markdown() -> None:
    assert markdown(DOCUMENT).split("\n\n") == [
        r"# A \<b\>bold\</b\> \*title\*",
        "## One",
        "Text with `a_b < c` in two lines.",
        "- x | y\n- z",
        r"- **Name:** a\_b",
        "## Two",
        "| key | value |\n|---|--:|\n" + r"| a\|b | 1 |" + "\n| c | −2.5% |\n",
    ]


def test_a_document_as_html_is_text_and_no_markup() -> None:
    text = html_of(DOCUMENT, 2)
    read = Read(text.encode())
    assert [tag for tag, _ in read.elements if tag.startswith("h")] == ["h2", "h3", "h3"]
    assert "A &lt;b&gt;bold&lt;/b&gt; *title*" in text
    assert "<code>a_b &lt; c</code>" in text
    assert '<td class="number">−2.5%</td>' in text
    assert {"b", "style", "script"}.isdisjoint(tag for tag, _ in read.elements)


def test_the_page_of_the_cards_holds_nothing_that_its_policy_forbids() -> None:
    template = (PROJECT / "src/hearth/assets/card.html").read_text()
    documents = [cards.model_document(words().model, run()), cards.data_document(words().data, run())]
    page = card_page(template, contract(), documents)
    read = Read(page)
    assert {"script", "style"}.isdisjoint(tag for tag, _ in read.elements)
    assert not [attrs for _, attrs in read.elements if "style" in attrs or any(name.startswith("on") for name in attrs)]
    assert [tag for tag, _ in read.elements].count("article") == 2


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1234.5, "US dollar", "$1,234"), (-3, "euro", "−€3"), (5e6, "bike", "5,000,000 bike"), (7, "USD", "$7")],
)
def test_money_is_written_in_the_targets_unit(value: float, unit: str, text: str) -> None:
    assert money(value, unit) == text
