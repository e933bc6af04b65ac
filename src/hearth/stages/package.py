"""Package: build the bento of a model that passed the gate, boot it, and compare its answers with the model's."""

import json
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from hearth.answering import Answers, ServiceParams
from hearth.bento import FILES, NAME, build, served
from hearth.cards import CardWords, Run, checked, data_document, model_document, run_of
from hearth.errors import Refusal
from hearth.explanation import typical
from hearth.page import card_page, page
from hearth.params import section
from hearth.parquet import columns_of, read_frame
from hearth.paths import BENTO, CARDS, EVIDENCE, GATE, METRICS, MODEL, QUARANTINE, SERVE_LOCK, SLICES, TEST, TRAIN
from hearth.release import open_release
from hearth.request import requests_of
from hearth.rules import Columns
from hearth.stages import run
from hearth.storage import read_bytes, read_folder, read_json, read_text, read_yaml, write_bytes
from hearth.strict import parse

GOLDEN_ROWS = 20
COMPARED = ("price", "low", "high")
DESCRIPTION = "Prices of houses with 90 % intervals; POST /predict, /predict_batch, /explain, /feedback, GET /model."


def main(
    model: Path = MODEL,
    gate: Path = GATE,
    metrics: Path = METRICS,
    evidence: Path = EVIDENCE,
    slices: Path = SLICES,
    cards: Path = CARDS,
    quarantine: Path = QUARANTINE,
    train: Path = TRAIN,
    test: Path = TEST,
    lock: Path = SERVE_LOCK,
    bento: Path = BENTO,
) -> None:
    """Write the bento; refuse when the gate says no, a card has a fault, or the served answers are not the model's."""
    verdict = read_json(gate)
    if reasons := against(verdict):
        raise Refusal(
            f"{gate} says no, so nothing is packaged: {reasons}. Mend the model, or a limit in params.yaml (gate)."
        )
    params = section("service", ServiceParams)
    release = open_release(read_folder(model), str(model))
    tested = read_frame(test)
    golden = golden_cases(Answers(release, params), tested)
    about = {"service": params.model_dump(), "golden": golden, "metrics": read_json(metrics), "gate": verdict}
    rows = columns_of(read_frame(train))
    about["typical"] = requests_of(typical(rows, release.contract), release.contract)[0]
    sources = Path(__file__).resolve().parent.parent
    files = {f"model/{name}": content for name, content in read_folder(model).items()}
    files |= {f"hearth/{name}": read_bytes(sources / name) for name in FILES}
    files |= {"service.py": read_bytes(sources / "bento_entry.py"), "requirements.txt": read_bytes(lock)}
    days = columns_of(tested)[release.contract.time.name]
    figures = (about["metrics"], read_json(evidence), read_text(slices), days, len(read_frame(quarantine)))
    told, said = run_of(NAME, release, *figures), parse(CardWords, read_yaml(cards), str(cards))
    files |= checked(said, told)
    files |= {f"page/{name}": content for name, content in page_files(told, said, rows).items()}
    files["about.json"] = (json.dumps(about, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
    content = build(files, DESCRIPTION)
    check_answers(content, golden)
    write_bytes(bento, content)
    print(
        f"{bento}: {len(content):,} bytes, model {release.manifest.model_version}, {len(golden)} golden answers served as packaged"
    )


def against(verdict: Any) -> str:
    """Return why a gate's verdict, the content of its file, lets no model through; nothing if it says yes."""
    if isinstance(verdict, dict) and verdict.get("passed") is True:
        return ""
    reasons = verdict.get("reasons") if isinstance(verdict, dict) else None
    return "; ".join(map(str, reasons)) if reasons else "it holds no verdict"


def page_files(run: Run, said: CardWords, rows: Columns) -> dict[str, bytes]:
    """Return the page for people and the cards by file name, made from the release and its rows, and what they refer to."""
    assets = Path(__file__).resolve().parent.parent / "assets"
    made = page(read_text(assets / "page.html"), run.contract, run.release.manifest, rows, run.metrics)
    documents = (model_document(said.model, run), data_document(said.data, run))
    cards = card_page(read_text(assets / "card.html"), run.contract, documents)
    plain = {name: read_bytes(assets / name) for name in ("page.css", "page.js", "page.svg")}
    return {"index.html": made, "card.html": cards} | plain


def golden_cases(answers: Answers, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return requests made from test rows, evenly spread, and the model's own answers to them."""
    chosen = rows.iloc[:: max(1, len(rows) // GOLDEN_ROWS)].head(GOLDEN_ROWS)
    cases = []
    for request in requests_of(columns_of(chosen), answers.contract):
        body = json.dumps(request, sort_keys=True)
        answer = answers.predict(body.encode())
        cases.append({"request": body, "answer": {key: answer[key] for key in COMPARED}})
    return cases


def check_answers(content: bytes, golden: list[dict[str, Any]]) -> None:
    """Boot the bento and refuse it if an answer over HTTP differs from the model's."""
    with TemporaryDirectory(prefix="hearth-package-") as scratch:
        archive = Path(scratch, "candidate.bento")
        archive.write_bytes(content)
        with served(archive) as (address, _):
            for case in golden:
                head = {"content-type": "application/json"}
                request = urllib.request.Request(f"{address}/predict", case["request"].encode(), head)
                with urllib.request.urlopen(request, timeout=10) as response:
                    answer = json.load(response)
                if found := {key: answer[key] for key in COMPARED if answer[key] != case["answer"][key]}:
                    raise Refusal(
                        f"the bento answers {found} where the model says {case['answer']}; nothing was packaged."
                    )


if __name__ == "__main__":
    run(main)
