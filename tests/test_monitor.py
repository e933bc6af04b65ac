"""Test `hearth monitor` as people run it: exit status, files, outcomes that are given, the real command again and again."""

import json
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import PROJECT, Checkout, checkout_at
from living import life
from samples import PARAMS_TEXT, columns, contract, frame, params, release, release_files

from hearth.bento import free_port
from hearth.clock import CLOCK
from hearth.profile import ProfileParams, profile
from hearth.strict import parse

KNOWN = columns(3000)
END = "2015-03-29"
RISE = 1.08


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Make a project in which the tiny model is the workspace's, without git, and a log of a market that rose."""
    root = tmp_path_factory.mktemp("monitor") / "project"
    (root / "models/model").mkdir(parents=True)
    (root / "metrics").mkdir()
    (root / "data/prepared").mkdir(parents=True)
    for name, content in release_files().items():
        (root / "models/model" / name).write_bytes(content)
    known = parse(ProfileParams, params("profile"), "params")
    shape = profile(KNOWN, contract(), release().log_price(KNOWN), known)
    (root / "models/profile.json").write_text(json.dumps(shape | {"model_version": release().manifest.model_version}))
    rows = frame(400, seed=5)
    priced = release().predict(columns(400, seed=5))
    rows["prediction"], rows["low"], rows["high"] = priced.price, priced.low, priced.high
    rows[["id", "date", "price", "prediction", "low", "high"]].to_parquet(root / "models/predictions.parquet")
    frame(400, seed=6).to_parquet(root / "data/prepared/train.parquet")
    (root / "metrics/metrics.json").write_text(json.dumps({"mdape": 0.07}))
    document = yaml.safe_load(PARAMS_TEXT)
    document["collect"]["as_of"] = "2015-03-01"
    (root / "params.yaml").write_text(yaml.safe_dump(document))
    for name in ("dvc.yaml", "data/contract.yaml"):
        shutil.copy2(PROJECT / name, root / name)
    one = life(release(), KNOWN, 400, 28, END, seed=2)
    one.but(paid=np.rint(one.paid * RISE)).write(root / "data/log", outcomes=False)
    heard = pd.DataFrame({"prediction_id": one.ids, "price": np.rint(one.paid * RISE).astype(int),
                          "at": [f"{moment}+00:00" for moment in one.heard.astype("datetime64[ms]")]})  # fmt: skip
    heard.to_csv(root / "outcomes.csv", index=False)
    (root / "clock").write_text("2015-03-29T00:00:00+00:00")
    return checkout_at(root, PYTHONPATH=str(PROJECT / "src"), **{CLOCK: str(root / "clock")})


def test_outcomes_turn_a_quiet_log_into_an_alarm(project: Checkout) -> None:
    quiet = project.run("hearth", "monitor", check=False)
    assert quiet.returncode == 0, quiet.stderr
    assert "no alarm is due" in quiet.stdout
    loud = project.run("hearth", "monitor", "--outcomes", "outcomes.csv", "--json", check=False)
    assert loud.returncode == 1, loud.stderr
    assert "outcomes: 400 rows, 400 taken, 0 known before, 0 forgotten, 0 refused" in loud.stderr
    found = json.loads(loud.stdout)
    assert "bias" in found["alarms"]
    assert found == json.loads((project.root / "metrics/monitor.json").read_text())
    assert 'hearth_monitor_alarm{check="bias"} 1.0' in (project.root / "metrics/monitor.prom").read_text()
    assert "An alarm is due" in (project.root / "metrics/monitor.html").read_text()
    again = project.run("hearth", "monitor", "--outcomes", "outcomes.csv", check=False)
    assert "0 taken, 400 known before" in again.stderr
    assert json.loads((project.root / "metrics/monitor.json").read_text()) == found  # the same moment, the same answer


def test_a_moment_of_the_past_is_looked_at_as_it_was(project: Checkout) -> None:
    done = project.run("hearth", "monitor", "--workspace", "--until", "2015-03-08", "--json", check=False)
    found = json.loads(done.stdout)
    assert found["window"] == {"from": "2015-03-01", "to": "2015-03-08", "days": 7, "of": 4, "needed": 2}
    assert found["course"][0]["predictions"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--until", "2016-01-01"], "error: --until 2016-01-01 has not come yet"),
        (["--until", "soon"], "'soon' is no day"),
        (["--outcomes", "nothing.csv"], "error: nothing.csv is no file"),
        (["--every", "0"], "cannot run every 0 s"),
        (["--act"], "error: --act changes what is released"),
        (["--until", "2015-03-08", "--every", "5"], "error: --until looks at the past"),
    ],
)
def test_wrong_use_is_told_without_a_traceback(project: Checkout, words: list[str], said: str) -> None:
    done = project.run("hearth", "monitor", "--workspace", *words, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cut_off_table_changes_nothing(project: Checkout) -> None:
    before = sorted((file.name, file.stat().st_size) for file in (project.root / "data/log").iterdir())
    (project.root / "cut.csv").write_text("prediction_id,price\n" + "a" * 32 + ",50000")
    done = project.run("hearth", "monitor", "--workspace", "--outcomes", "cut.csv", check=False)
    assert done.returncode == 1
    assert "error: cut.csv ends in the middle of a line" in done.stderr
    assert sorted((file.name, file.stat().st_size) for file in (project.root / "data/log").iterdir()) == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("models/profile.json", "models/profile.json of workspace"),
        ("models/predictions.parquet", "models/predictions.parquet of workspace is not a whole parquet file"),
    ],
)
def test_a_damaged_file_is_named(project: Checkout, damage: str, said: str) -> None:
    path = project.root / damage
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2])
        done = project.run("hearth", "monitor", "--workspace", check=False)
    finally:
        path.write_bytes(content)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_it_runs_again_and_again_and_tells_prometheus(project: Checkout) -> None:
    port = free_port()
    command = ["hearth", "monitor", "--workspace", "--every", "1", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=project.root, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            first = _told(port, "2015-03-29")
            assert "hearth_monitor_every_seconds 1.0" in first
            (project.root / "clock").write_text("2015-03-30T00:00:00+00:00")
            assert _told(port, "2015-03-30") != first
        finally:
            (project.root / "clock").write_text("2015-03-29T00:00:00+00:00")
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def _told(port: int, day: str) -> str:
    """Return what /metrics says once its heartbeat is of that day."""
    beat = f"hearth_monitor_last_run_timestamp_seconds {pd.Timestamp(day).timestamp():.9g}"
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text = str(answer.read(), "utf-8")
        except OSError:
            text = ""
        if any(
            line.split()
            and line.startswith("hearth_monitor_last_run")
            and float(line.split()[1]) == pd.Timestamp(day).timestamp()
            for line in text.splitlines()
        ):
            return text
        time.sleep(0.1)
    pytest.fail(f"no {beat} in {text}")


def test_a_log_that_is_nowhere_is_refused(project: Checkout, tmp_path: Path) -> None:
    done = project.run("hearth", "monitor", "--workspace", "--log", str(tmp_path / "nowhere"), check=False)
    assert done.returncode == 1
    assert "is no folder; start the service" in done.stderr
