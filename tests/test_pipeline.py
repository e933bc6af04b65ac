"""Hold dvc.yaml, dvc.lock and what the stages really do against each other, on a road that was remade elsewhere."""

import copy
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROJECT, STAGES, Checkout, Remade, copy_project, needs

from hearth.auditing import undeclared, undone
from hearth.locks import Stage
from hearth.params import SECTIONS

ONLY_FOR_OPERATIONS = {
    "releases",
    "monitor",
    "retrain",
    "tune",
}  # sections that no stage reads: a change in them reruns nothing


def outs_of(stage: Mapping[str, Any]) -> list[str]:
    """Return the outputs of a stage of dvc.yaml, whatever git or DVC keeps."""
    return [
        out if isinstance(out, str) else next(iter(out)) for out in (*stage.get("outs", []), *stage.get("metrics", []))
    ]


def differences(document: Mapping[str, Any], remade: Remade) -> list[str]:
    """Return in words where what the stages of a dvc.yaml declare and what they did differ, both ways."""
    stages = [
        # No stage opens requirements.lock; it stands for the libraries' versions.
        Stage(
            name,
            stage["cmd"],
            tuple(set(stage["deps"]) - {"requirements.lock"}),
            tuple(outs_of(stage)),
            tuple(stage["params"]),
        )
        for name, stage in document["stages"].items()
    ]
    return undeclared(stages, remade.verified.deeds) + undone(stages, remade.verified.deeds)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return yaml.safe_load((PROJECT / "dvc.yaml").read_text())


@pytest.fixture(scope="module")
def params() -> dict[str, Any]:
    return yaml.safe_load((PROJECT / "params.yaml").read_text())


def test_each_stage_reads_writes_and_takes_what_it_declares(remade: Remade, document: dict[str, Any]) -> None:
    assert differences(document, remade) == []


def test_a_missing_dep_is_found(remade: Remade, document: dict[str, Any]) -> None:
    broken = copy.deepcopy(document)
    broken["stages"]["train"]["deps"].remove("src/hearth/features.py")
    assert differences(broken, remade) == ["stage train reads src/hearth/features.py, which dvc.yaml does not say"]


def test_a_needless_dep_is_found(remade: Remade, document: dict[str, Any]) -> None:
    broken = copy.deepcopy(document)
    broken["stages"]["collect"]["deps"].append("src/hearth/scoring.py")
    assert differences(broken, remade) == ["stage collect does not do what dvc.yaml says: reads src/hearth/scoring.py"]


def test_a_moved_path_is_found(remade: Remade, document: dict[str, Any]) -> None:
    broken = copy.deepcopy(document)
    outs = broken["stages"]["profile"]["outs"]
    outs[outs.index("models/profile.json")] = "models/reference.json"
    assert differences(broken, remade) == [
        "stage profile writes models/profile.json, which dvc.yaml does not say",
        "stage profile does not do what dvc.yaml says: writes models/reference.json",
    ]


def test_a_forgotten_section_of_params_is_found(remade: Remade, document: dict[str, Any]) -> None:
    broken = copy.deepcopy(document)
    broken["stages"]["evaluate"]["params"].remove("gate")
    assert differences(broken, remade) == ["stage evaluate params gate, which dvc.yaml does not say"]


def test_arrow_opens_no_file_of_the_project_behind_the_audit(remade: Remade, tmp_path: Path) -> None:
    """Native code raises no audit event, so strace looks at the system calls of a stage that reads and writes parquet."""
    needs("strace")
    trace = tmp_path / "trace"
    checkout = remade.spare
    before = (checkout.root / "data/prepared/train.parquet").read_bytes()
    command = ("strace", "-f", "-e", "trace=open,openat,creat", "-e", "signal=none", "-o", str(trace))
    checkout.run(*command, sys.executable, "-m", "hearth.stages.prepare")
    assert (checkout.root / "data/prepared/train.parquet").read_bytes() == before
    top = f"{checkout.root}/"
    text = trace.read_text().encode().decode("unicode_escape").encode("latin-1").decode()  # strace writes \303\274
    opened = [line for line in text.splitlines() if re.search(r'"(data|models|metrics)/', line) or top in line]
    names = {re.search(r'"([^"]+)"', line)[1].removeprefix(top) for line in opened if " = -1 " not in line}  # type: ignore[index]
    data = {name for name in names if re.match(r"(data|models|metrics)/[^/]+/", name) and Path(name).suffix}
    assert data == {
        "data/validated/sales.parquet",
        "data/prepared/.train.parquet.partial",
        "data/prepared/.test.parquet.partial",
    }


def test_the_road_remade_elsewhere_gives_the_committed_bytes(remade: Remade, document: dict[str, Any]) -> None:
    """dvc.lock holds the hash of every output, and git the metrics and plots: no change at all is left."""
    assert [out for out in remade.verified.outs if not out.same] == []
    assert remade.verified.faults == []
    assert len(remade.verified.outs) == sum(len(outs_of(stage)) for stage in document["stages"].values())
    assert set(remade.verified.deeds) == set(STAGES), "what a stage opened was not seen"
    assert remade.checkout.run("git", "status", "--porcelain").stdout == ""
    assert (remade.checkout.root / "dvc.lock").read_bytes() == (PROJECT / "dvc.lock").read_bytes()


def test_lock_and_yaml_name_the_same_stages_deps_outs_and_params(document: dict[str, Any]) -> None:
    """DVC does not notice a dep or param that was removed, nor a stage that was renamed."""
    lock = yaml.safe_load((PROJECT / "dvc.lock").read_text())["stages"]
    assert list(lock) == list(document["stages"]) == list(STAGES)
    for name, stage in lock.items():
        said = document["stages"][name]
        assert {dep["path"] for dep in stage["deps"]} == set(said["deps"]), name
        assert {out["path"] for out in stage["outs"]} == set(outs_of(said)), name
        assert set(stage["params"]["params.yaml"]) == set(said["params"]), name


def test_every_section_of_params_is_known_read_and_checked(document: dict[str, Any], params: dict[str, Any]) -> None:
    from hearth.operations.check import KINDS

    taken = {name for stage in document["stages"].values() for name in stage["params"]}
    assert tuple(params) == SECTIONS == tuple(KINDS)
    assert taken == set(SECTIONS) - ONLY_FOR_OPERATIONS
    assert set(SECTIONS) > ONLY_FOR_OPERATIONS


def test_every_stage_has_a_sentence_and_a_plain_command(document: dict[str, Any]) -> None:
    for name, stage in document["stages"].items():
        assert stage["desc"].endswith("."), name
        assert stage["cmd"] == f"python -m hearth.stages.{name}"


def test_only_what_git_must_show_is_uncached(document: dict[str, Any]) -> None:
    """An output with `cache: false` takes the run cache from its stage."""
    for name, stage in document["stages"].items():
        outs = [*stage.get("outs", []), *stage.get("metrics", [])]
        uncached = {next(iter(out)) for out in outs if isinstance(out, dict)}
        assert all(path.startswith("metrics/") for path in uncached), name
        assert not uncached or name == "evaluate"


def test_git_ignores_every_cached_output_and_tracks_every_other(document: dict[str, Any], remade: Remade) -> None:
    run = remade.checkout.run
    for stage in document["stages"].values():
        for out in (*stage.get("outs", []), *stage.get("metrics", [])):
            path = out if isinstance(out, str) else next(iter(out))
            ignored = run("git", "check-ignore", "--quiet", path, check=False).returncode == 0
            assert ignored == isinstance(out, str), path
            assert bool(run("git", "ls-files", path).stdout) == isinstance(out, dict), path


def changed_stages(checkout: Checkout) -> set[str]:
    return {name.split(":")[-1] for name in json.loads(checkout.run("dvc", "status", "--json").stdout)}


def test_nothing_runs_twice(remade: Remade) -> None:
    done = remade.checkout.run("dvc", "repro")
    assert "Running stage" not in done.stdout
    assert changed_stages(remade.checkout) == set()


@pytest.mark.parametrize(
    ("path", "addition", "stale"),
    [
        ("src/hearth/scoring.py", "# a remark\n", {"evaluate", "package"}),
        ("data/cards.yaml", "# a remark\n", {"package"}),
        ("src/hearth/stages/profile.py", "# a remark\n", {"profile"}),
        ("src/hearth/features.py", "# a remark\n", {"train", "evaluate", "profile", "package"}),
        ("src/hearth/front.py", "# a remark\n", {"package"}),
        ("params.yaml", "# a remark\n", set()),
        ("README.md", "a remark\n", set()),
        ("src/hearth/operations/summary.py", "# a remark\n", set()),
        ("requirements-dev.lock", "# a remark\n", set()),
        ("requirements.lock", "# a remark\n", set(STAGES)),
    ],
)
def test_a_change_makes_stale_what_it_can_change(remade: Remade, path: str, addition: str, stale: set[str]) -> None:
    file = remade.spare.root / path
    before = file.read_bytes()
    try:
        file.write_bytes(before + addition.encode())
        assert changed_stages(remade.spare) == stale
    finally:
        file.write_bytes(before)


def test_changed_numbers_show_in_params_diff_and_metrics_diff(remade: Remade, tmp_path: Path) -> None:
    """On a branch with fewer trees, native DVC names these params, no others, and shows what they did."""
    target = tmp_path / "branch"
    shutil.copytree(remade.spare.root, target, symlinks=True)
    branch = Checkout(target, remade.spare.environment | {"PYTHONPATH": str(target / "src")})
    branch.run("git", "switch", "--quiet", "--create", "few-trees")
    text = (target / "params.yaml").read_text()
    (target / "params.yaml").write_text(re.sub(r"\n      iterations: \d+\b", "\n      iterations: 60", text))
    branch.run("dvc", "repro", "evaluate")
    named = json.loads(branch.run("dvc", "params", "diff", "--json").stdout)["params.yaml"]
    trees = ("members.coarse_median", "members.median", "out_of_fold.trees")
    assert {name: change["new"] for name, change in named.items()} == {f"model.{name}.iterations": 60 for name in trees}
    changes = json.loads(branch.run("dvc", "metrics", "diff", "--json").stdout)["metrics/metrics.json"]
    assert changes["rmse_log"]["diff"] > 0.001
    plots = json.loads(branch.run("dvc", "plots", "diff", "HEAD", "--json", "--out", str(tmp_path / "plots")).stdout)
    drawn = {name for name, shown in plots["data"].items() if shown}
    assert {"Error by week of sale", "Coverage by fifth of the predicted price"} <= drawn
    assert not plots.get("errors")


def test_a_refused_source_leaves_the_last_outputs_to_dvc_checkout(remade: Remade) -> None:
    """A truncated source stops the road with one sentence; one command brings all outputs back."""
    checkout = remade.spare
    source, raw = checkout.root / "data/source/house_sales.parquet", checkout.root / "data/raw"
    before = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    whole = source.read_bytes()
    source.unlink()
    source.write_bytes(whole[:300_000])
    try:
        done = checkout.run("dvc", "repro", check=False)
        assert done.returncode != 0
        assert "data/source/house_sales.parquet is not a whole parquet file" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        checkout.run("git", "checkout", "--", ".")
        checkout.run("dvc", "checkout", "--force")
    assert {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()} == before
    assert source.read_bytes() == whole
    assert changed_stages(checkout) == set()


def test_a_stage_refuses_to_run_the_code_of_another_checkout(remade: Remade) -> None:
    """An editable install points at one checkout; in another one its stages would quietly run the wrong code."""
    done = remade.checkout.run(
        sys.executable, "-m", "hearth.stages.collect", check=False, PYTHONPATH=str(PROJECT / "src")
    )
    assert done.returncode == 1
    assert "run `make` here" in done.stderr


def test_make_run_on_a_made_road_ends_at_once_and_changes_nothing(remade: Remade) -> None:
    (remade.spare.root / ".venv").mkdir(exist_ok=True)
    environment = Path(sys.executable).parent.parent
    for name in ("road.done", "bin"):
        link = remade.spare.root / ".venv" / name
        if not link.exists():
            link.symlink_to(environment / name) if name == "bin" else link.touch()
    done = remade.spare.run("make", "run")
    assert "Running stage" not in done.stdout
    assert "gate: passed" in done.stdout
    assert remade.spare.run("git", "status", "--porcelain").stdout == ""


def test_dvc_changes_one_line_of_params_and_keeps_every_comment(tmp_path: Path) -> None:
    """`dvc exp run -S` and `hearth` write params.yaml through ruamel, which reflows what is not in its own style."""
    from dvc.utils.serialize import modify_yaml

    copied = tmp_path / "params.yaml"
    shutil.copy2(PROJECT / "params.yaml", copied)
    with modify_yaml(copied) as document:
        document["model"]["seed"] = 2
    before, after = ((PROJECT / "params.yaml").read_text().splitlines(), copied.read_text().splitlines())
    assert [new for old, new in zip(before, after, strict=True) if old != new] == ["  seed: 2"]


def test_what_is_pushed_to_the_embedded_remote_stays_out_of_git(remade: Remade) -> None:
    run = remade.spare.run
    run("dvc", "push", "--remote", "sample", "models/profile.json")
    pushed = [path for path in (remade.spare.root / "data/remote/files").rglob("*") if path.is_file()]
    assert len(pushed) >= 2
    assert run("git", "status", "--porcelain").stdout == ""
    assert len(run("git", "ls-files", "data/remote/files").stdout.split()) == 1


def test_a_damaged_object_in_the_embedded_remote_is_not_pulled(tmp_path: Path) -> None:
    checkout = copy_project(tmp_path / "clone")
    found = next(path for path in (checkout.root / "data/remote/files").rglob("*") if path.is_file())
    content = bytearray(found.read_bytes())
    content[1000] ^= 1
    found.write_bytes(content)
    found.chmod(0o444)  # DVC trusts a read-only object of a local remote unless `verify` is on
    assert checkout.run("dvc", "pull", "data/source/house_sales.parquet.dvc", check=False).returncode != 0
    assert not (checkout.root / "data/source/house_sales.parquet").exists()
    checkout.run("git", "checkout", "--", "data/remote")
    checkout.run("dvc", "pull", "data/source/house_sales.parquet.dvc")
    assert (checkout.root / "data/source/house_sales.parquet").stat().st_size == 605_358


def test_a_plot_has_a_number_or_a_day_on_each_axis_that_asks_for_one(remade: Remade, tmp_path: Path) -> None:
    """Vega draws nothing where an axis of numbers is given a day or a name, and says nothing."""
    shown = json.loads(remade.checkout.run("dvc", "plots", "show", "--json", "--out", str(tmp_path)).stdout)["data"]
    drawn = {name: plot[0]["content"] for name, plot in shown.items() if plot[0]["type"] == "vega"}
    assert {"Error by week of sale", "Importance of columns"} <= drawn.keys()
    for name, plot in drawn.items():
        axes = [part["encoding"] for part in (plot, *plot.get("layer", ())) if "encoding" in part]
        for axis in (axis for encoding in axes for key, axis in encoding.items() if key in ("x", "y")):
            for row in plot["data"]["values"] if "field" in axis else ():
                value = row[axis["field"]]
                assert axis["type"] == "nominal" or re.fullmatch(
                    r"\d{4}-\d\d-\d\d" if axis["type"] == "temporal" else r"-?\d+(\.\d+)?(e-\d+)?", value
                ), f"{name}: {axis['field']} is {value!r}"
