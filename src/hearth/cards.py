"""Write the model card and the data card out of a run and the words of data/cards.yaml, and find what is wrong in one.

Sources: Mitchell et al. (2019), Model Cards for Model Reporting; Gebru et al. (2021), Datasheets for Datasets. The YAML
in front is Hugging Face's metadata of a card, with its `model-index` of results.
"""

import datetime
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from hearth.contract import Contract
from hearth.document import Document, Items, Section, Table, Terms, markdown
from hearth.errors import Refusal
from hearth.figures import finite
from hearth.measures import MEASURES, shown, span
from hearth.page import words
from hearth.proofreading import PLACEHOLDER, faults
from hearth.release import Facts, Release
from hearth.scoring import KEYS
from hearth.strict import Listed, Strict

MODEL_CARD, DATA_CARD = "model_card.md", "data_card.md"
MODEL_SECTIONS = ("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
                  "Quantitative analyses", "Ethical considerations", "Caveats and recommendations")  # fmt: skip
DATA_SECTIONS = ("Motivation", "Composition", "Collection process", "Preprocessing and cleaning", "Uses", "Distribution",
                 "Maintenance")  # fmt: skip
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
BEYOND = "n>1M"

_FIGURE = re.compile(r"\d+(\.\d+)?\s*(%|percent\b)|\d\.\d")
_CITED = re.compile(r"\{(\w*)\}")
_FOUND = ("slice", "group", "rows", "mdape", "rest_mdape")


def _said(text: str) -> str:
    """Return words of a person; raise ValueError for none, for a placeholder, and for a figure written by hand."""
    if not re.search(r"\w", text):
        raise ValueError("words")
    if found := PLACEHOLDER.search(text):
        raise ValueError(f"words in place of {found[0]!r}")
    if found := _FIGURE.search(text):
        raise ValueError(f"no figure written by hand ({found[0]!r}); write {{mdape}} or another key of metrics.json")
    if unknown := [key for key in _CITED.findall(text) if key not in KEYS]:
        raise ValueError(f"keys of metrics.json between braces, not {unknown[0]!r} ({', '.join(KEYS)})")
    return text.strip()


Words = Annotated[str, AfterValidator(_said)]
Several = Annotated[tuple[Words, ...], Listed, Field(min_length=1)]


class ModelWords(Strict):
    """Hold what only people can say about the model."""

    summary: Words
    owner: Words
    contact: Words
    licence: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+$")]
    uses: Several
    users: Several
    out_of_scope: Several
    factors: Words
    measures: Words
    evaluation: Words
    ethics: Several
    caveats: Several


class DataWords(Strict):
    """Hold what only people can say about the data and the contract does not."""

    motivation: Words
    collection: Words
    people: Words
    uses: Words
    maintenance: Words


class CardWords(Strict):
    """Hold the content of data/cards.yaml."""

    model: ModelWords
    data: DataWords


@dataclass(frozen=True)
class Run:
    """Hold what a run tells: figures on the test rows with their intervals, slices (a row each), days and counts.

    `found` are the worst groups by one or two columns (search.py); `days` are the first and the last of the test rows;
    `refused` is the number of collected rows that broke the contract.
    """

    name: str
    release: Release
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    slices: pd.DataFrame
    found: Sequence[Mapping[str, Any]]
    days: tuple[datetime.date, datetime.date]
    refused: int

    @property
    def contract(self) -> Contract:
        """Return the contract that the model was trained under."""
        return self.release.contract

    @property
    def facts(self) -> Facts:
        """Return the facts of the released model."""
        return self.release.facts

    @property
    def unit(self) -> str:
        """Return the target's unit."""
        return self.contract.target.unit


def run_of(
    name: str,
    release: Release,
    metrics: Mapping[str, float],
    evidence: Mapping[str, Any],
    slices: str,
    days: NDArray[np.datetime64],
    refused: int,
) -> Run:
    """Return the run of these contents: of metrics.json, evidence.json and slices.csv, the days of the test rows."""
    if wrong := [key for key in KEYS if not finite(metrics.get(key))]:
        raise Refusal(
            f"metrics/metrics.json: {wrong[0]} is {metrics.get(wrong[0])!r}, wanted a number; `dvc repro` makes it."
        )
    try:
        intervals = {key: (float(low), float(high)) for key, (low, high) in evidence["intervals"].items()}
        found = [{key: one[key] for key in _FOUND} for one in evidence["worst_slices"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refusal(f"metrics/evidence.json is no evidence of this code ({error!r}); `dvc repro` makes it.") from None
    groups = pd.read_csv(io.StringIO(slices), dtype={"slice": str, "group": str})
    first, last = (day.astype("datetime64[D]").item() for day in (days.min(), days.max()))
    return Run(name, release, metrics, intervals, groups, found, (first, last), refused)


def model_card(said: ModelWords, run: Run) -> str:
    """Return the model card as Markdown behind its metadata."""
    return _front(_model_front(said, run)) + markdown(model_document(said, run))


def data_card(said: DataWords, run: Run) -> str:
    """Return the data card as Markdown behind its metadata."""
    return _front(_data_front(run)) + markdown(data_document(said, run))


def checked(said: CardWords, run: Run) -> dict[str, bytes]:
    """Return both cards by file name; refuse with every fault of either."""
    texts = {MODEL_CARD: model_card(said.model, run), DATA_CARD: data_card(said.data, run)}
    wanted = {MODEL_CARD: MODEL_SECTIONS, DATA_CARD: DATA_SECTIONS}
    found = [
        fault
        for name, text in texts.items()
        for fault in faults(text, wanted[name], run.metrics, name, run.unit, whole=name == MODEL_CARD)
    ]
    if found:
        raise Refusal(
            "\n".join([*found, "Nothing was packaged; mend data/cards.yaml, data/contract.yaml or cards.py."])
        )
    return {name: text.encode() for name, text in texts.items()}


def model_document(said: ModelWords, run: Run) -> Document:
    """Return what the model card says, section by section."""
    facts = run.facts
    details = {
        "Version": f"`{run.release.manifest.model_version}`",
        "Kind": f"A regression of the logarithm of {run.contract.target.name}, from {len(run.contract.features)} columns, "
                f"in {run.release.manifest.format}: an ONNX graph and plain tables, no pickle.",
        "Interval": f"Each price comes with an interval that is to hold {facts.interval.level:.0%} of the true prices.",
        "Fitted on": f"{facts.rows:,} sales from {facts.first_day} to {facts.as_of - datetime.timedelta(days=1)}.",
        "Vouched for until": f"{facts.horizon}.",
        "Libraries": ", ".join(f"{name} {version}" for name, version in sorted(facts.libraries.items())) + ".",
        "Owner": said.owner, "Contact": said.contact, "Licence": said.licence,
    }  # fmt: skip
    blocks: dict[str, tuple[Any, ...]] = {
        "Model details": (said.summary, Terms(details)),
        "Intended use": ("It was made for:", Items(said.uses), "It is for:", Items(said.users), "It is not for:",
                         Items(said.out_of_scope)),
        "Factors": (said.factors, Terms({"Slices": ", ".join(words(name) for name in run.slices["slice"].unique()) + "."})),
        "Metrics": (said.measures, _metric_table(run)),
        "Evaluation data": (said.evaluation, f"They are {{rows_test}} sales from {run.days[0]} to {run.days[1]}."),
        "Training data": (f"The judged fit saw {{rows_train}} earlier sales; the released fit saw both, {facts.rows:,} in all.",
                          f"The data card, `{DATA_CARD}`, says what they are.",
                          Terms({"Checksum of the rows": f"`{facts.data_sha256}`"})),
        "Quantitative analyses": ("By one factor, with bootstrap intervals of the median error:", _slice_table(run),
                                  "By one or two columns, the worst groups that a search found:", _found_table(run)),
        "Ethical considerations": (Items(said.ethics),),
        "Caveats and recommendations": (Items(said.caveats), Terms({"Limits of the data": run.contract.limits})),
    }  # fmt: skip
    return _filled(Document(f"Model card: {run.contract.title}", _sections(MODEL_SECTIONS, blocks)), run)


def data_document(said: DataWords, run: Run) -> Document:
    """Return what the data card says, section by section."""
    contract, facts = run.contract, run.facts
    kept = (
        f"Of {facts.rows + run.refused:,} rows {run.refused:,} broke the contract; quarantine keeps them, with reasons."
    )
    untouched = "No value is changed, and none is filled in. A row is refused if a value breaks its bounds above"
    newest = facts.as_of - datetime.timedelta(days=1)
    columns = Table(
        ("column", "role", "a value is", "meaning"),
        tuple((f"`{c.name}`", c.role, c.expected, c.meaning) for c in contract.columns),
    )
    rules = {f"`{check.rule}`": check.meaning for check in contract.checks if check.severity == "refuse"}
    blocks: dict[str, tuple[Any, ...]] = {
        "Motivation": (said.motivation,),
        "Composition": (f"Each row is {contract.row}: {facts.rows:,} in this run, from {facts.first_day} to {newest}.",
                        "Of them {rows_train} fitted the judged model and {rows_test} judged it.", columns, said.people),
        "Collection process": (Terms({"Origin": contract.origin + "."}), said.collection),
        "Preprocessing and cleaning": (kept, f"{untouched}, or a rule:", Terms(rules)) if rules else (kept, f"{untouched}."),
        "Uses": (said.uses, Terms({"Limits": contract.limits})),
        "Distribution": (Terms({"Licence": contract.licence + ".", "Checksum of the shipped table":
                                f"`{contract.sha256}`" if contract.sha256 else "none; it is not shipped"}),),
        "Maintenance": (said.maintenance,),
    }  # fmt: skip
    return _filled(Document(f"Data card: {contract.title}", _sections(DATA_SECTIONS, blocks)), run)


def _sections(titles: Sequence[str], blocks: Mapping[str, tuple[Any, ...]]) -> tuple[Section, ...]:
    return tuple(Section(title, blocks[title]) for title in titles)


def _filled(document: Document, run: Run) -> Document:
    """Return the document with each `{key}` in its words replaced by the metric's value and its key."""

    def fill(block: Any) -> Any:
        if isinstance(block, Items):
            return Items(tuple(map(cite, block.entries)))
        if isinstance(block, Terms):
            return Terms({name: cite(text) for name, text in block.entries.items()})
        return cite(block) if isinstance(block, str) else block

    def cite(text: str) -> str:
        return _CITED.sub(
            lambda m: f"{shown(m[1], run.metrics[m[1]], run.unit)} (`{m[1]}`)" if m[1] in KEYS else m[0], text
        )

    return Document(document.title, tuple(Section(s.title, tuple(map(fill, s.blocks))) for s in document.sections))


def _metric_table(run: Run) -> Table:
    rows = []
    for key in MEASURES:
        interval = span(key, run.intervals[key], run.unit) if key in run.intervals else "–"
        measure = MEASURES[key]
        told = f"{_capital(measure.name)}. {measure.meaning}"
        rows.append((f"`{key}`", shown(key, run.metrics[key], run.unit), interval, told))
    return Table(("key", "value", "bootstrap interval", "what it says"), tuple(rows))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _slice_table(run: Run) -> Table:
    rows = []
    for row in run.slices.to_dict("records"):
        doubt = span("mdape", (row["mdape_low"], row["mdape_high"]), "")
        figures = [_share(key, row[key]) for key in ("mdape", "bias", "coverage")]
        group = f"{words(row['slice'])}: {row['group']}"
        rows.append((group, f"{row['rows']:,}", figures[0], doubt, figures[1], figures[2]))
    return Table(("slice", "sales", "median error", "its interval", "bias", "coverage"), tuple(rows))


def _found_table(run: Run) -> Table | str:
    if not run.found:
        return "The search found none that is worse than chance would have it."
    rows = tuple(
        (
            f"{one['slice']}: {one['group']}",
            f"{one['rows']:,}",
            _share("mdape", one["mdape"]),
            _share("mdape", one["rest_mdape"]),
        )
        for one in run.found
    )
    return Table(("group", "sales", "median error", "all others"), rows)


def _share(key: str, value: float) -> str:
    return shown(key, value, "")


def _model_front(said: ModelWords, run: Run) -> dict[str, Any]:
    contract, facts = run.contract, run.facts
    dataset = {
        "name": contract.title,
        "type": contract.name,
        "split": f"test, {run.days[0]} to {run.days[1]}",
        "revision": facts.data_sha256,
    }
    metrics = [{"type": key, "name": MEASURES[key].name, "value": run.metrics[key]} for key in KEYS]
    task = {"type": "tabular-regression", "name": "Tabular regression"}
    return {
        "license": said.licence.lower(),
        "library_name": "onnx",
        "pipeline_tag": "tabular-regression",
        "tags": ["tabular-regression", "hearth"],
        "datasets": [contract.name],
        "model-index": [{"name": run.name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}],
    }


def _data_front(run: Run) -> dict[str, Any]:
    size = next((name for limit, name in SIZES if run.facts.rows < limit), BEYOND)
    return {
        "pretty_name": run.contract.title,
        "license": "other",  # the contract's licence is a sentence, not an identifier
        "license_details": run.contract.licence,
        "task_categories": ["tabular-regression"],
        "size_categories": [size],
    }


def _front(metadata: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, width=120)}---\n\n"
