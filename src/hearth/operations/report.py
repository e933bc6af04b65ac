"""Write the report for people: one HTML file on the data, the gate, the figures, the history and the lineage of the model."""

import argparse
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hearth.bento import NAME
from hearth.cards import CardWords, run_of
from hearth.collecting import CollectParams
from hearth.errors import Refusal
from hearth.evidence import Evidence
from hearth.findings import Material, Step
from hearth.gate import GateParams
from hearth.history import history
from hearth.locks import md5
from hearth.operations import absolute, templates
from hearth.params import section
from hearth.parquet import columns_of, read_frame
from hearth.paths import (
    BENTO,
    CARDS,
    DVC_LOCK,
    EVIDENCE,
    GATE,
    IMPORTANCE,
    METRICS,
    MODEL,
    PREDICTIONS,
    QUARANTINE,
    REPORT,
    SLICES,
    STALENESS,
    TEST,
    TRAIN,
)  # fmt: skip
from hearth.release import Release, open_release
from hearth.report import report
from hearth.slices import EvaluateParams
from hearth.staleness import Curve
from hearth.storage import read_bytes, read_folder, read_json, read_text, read_yaml, write_text
from hearth.strict import parse
from hearth.timeline import Entry, History


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the file to write."""
    parser.add_argument("-o", "--output", type=absolute, metavar="FILE", help=f"write it here (without it: {REPORT})")


def run(options: argparse.Namespace) -> int:
    """Write the report on the workspace's outputs, and say where it is."""
    target = options.output or REPORT
    write_text(target, report(templates(), gathered()))
    print(f"wrote {target}: open it in a browser, it needs nothing else")
    return 0


def gathered() -> Material:
    """Return all that the report is made of, from the files of the workspace and from git."""
    release = open_release(read_folder(MODEL), str(MODEL))
    time, target = release.contract.time.name, release.contract.target.name
    train, test, answers = (columns_of(read_frame(path)) for path in (TRAIN, TEST, PREDICTIONS))
    metrics, evidence = read_json(METRICS), read_json(EVIDENCE)
    if len(test[time]) != len(answers[time]) or any((test[key] != answers[key]).any() for key in release.contract.keys):
        raise Refusal(f"{PREDICTIONS} is not of the rows of {TEST}; `dvc repro` makes both.")
    figures = run_of(NAME, release, metrics, evidence, read_text(SLICES), test[time], len(read_frame(QUARANTINE)))
    names = {"actual": target, "predicted": "prediction", "low": "low", "high": "high"}
    return Material(
        run=figures,
        said=parse(CardWords, read_yaml(CARDS), str(CARDS)),
        evidence=parse(Evidence, evidence, str(EVIDENCE)),
        gate=read_json(GATE),
        limits=section("gate", GateParams),
        params=section("evaluate", EvaluateParams),
        importance=pd.read_csv(io.StringIO(read_text(IMPORTANCE))),
        train=train,
        test=test,
        scored={name: answers[column].astype("float64") for name, column in names.items()},
        history=_with_workspace(history(Path(), METRICS), metrics),
        lineage=lineage(release, read_yaml(DVC_LOCK)),
        curve=parse(Curve, read_json(STALENESS), str(STALENESS)) if STALENESS.is_file() else None,
    )


def _with_workspace(found: History, metrics: Mapping[str, float]) -> History:
    """Return the history with the workspace's metrics at its end, if they are not those of the newest commit."""
    if not found.entries or any(one.metrics == metrics for one in found.entries[-1:]):
        return found
    own = Entry("", "what stands in the workspace, in no commit", "", dict(metrics))
    return dataclasses.replace(found, entries=(*found.entries, own))


def lineage(release: Release, lock: Any) -> list[Step]:
    """Return the way from the source to the bento: the hash of each file, and where it is not that of dvc.lock."""
    source = Path(section("collect", CollectParams).source)
    stages = lock.get("stages", {}) if isinstance(lock, Mapping) else {}
    locked = {entry["path"]: entry.get("md5") for stage in stages.values()
              for entry in (*stage["deps"], *stage.get("outs", []))}  # fmt: skip
    titles = {source: "The source, as it was delivered", TRAIN: "Rows to fit on: valid, clean, before the split",
              TEST: "Rows to judge on: those after it"}  # fmt: skip
    steps = [_step(title, path, locked) for path, title in titles.items()]
    digest = f"version {release.manifest.model_version}, rows sha256 {release.facts.data_sha256}"
    steps.append(Step("The released model, fitted on all rows", str(MODEL), digest))
    if not BENTO.is_file():
        return [
            *steps,
            Step("The bento", str(BENTO), "none", "It is not there: the gate said no, or `dvc repro` has not run."),
        ]
    return [*steps, _step("The bento, which is deployed", BENTO, locked)]


def _step(title: str, path: Path, locked: Mapping[str, Any]) -> Step:
    if not path.is_file():
        return Step(
            title, str(path), f"md5 {locked.get(str(path), 'unknown')}", "The file itself is not in the workspace."
        )
    digest = md5(read_bytes(path))
    note = (
        "" if locked.get(path.as_posix()) == digest else "It is not the file of dvc.lock; `dvc repro` makes both anew."
    )
    return Step(title, path.as_posix(), f"md5 {digest}", note)
