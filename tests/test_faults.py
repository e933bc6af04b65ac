"""Break the road in its middle, as a real day does, and hold that the runbook's commands bring back a right state."""

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from conftest import PROJECT, STAGES, Checkout, checkout_at
from faulty import md5_of, mounted, objects, outputs, paused, remedy, type_in
from small import set_params, small_project
from tiny import cached, damage

RENAMED = "os.rename"
# Where each stage is stopped: at one of its later files, when some have their names and one is not whole; package when its
# server is up.
MIDDLES = {
    "collect": (RENAMED, ".waiting/made", 3),
    "validate": (RENAMED, ".partial", 2),
    "prepare": (RENAMED, ".partial", 2),
    "train": (RENAMED, ".partial", 5),
    "evaluate": (RENAMED, ".partial", 5),
    "profile": (RENAMED, ".partial", 1),
    "package": ("urllib.Request", "/predict", 1),
}
# Runs the stages in one process, which loads their libraries once.
AT_ONCE = f"""
import importlib
for name in {STAGES}:
    importlib.import_module(f"hearth.stages.{{name}}").main()
"""
MADE = ("data/raw", "data/validated", "data/prepared", "models", "metrics")


@dataclass(frozen=True)
class Road:
    """Be a small project before its road ran, to be copied, and one in which nothing disturbed it."""

    before: Checkout
    after: Checkout

    def copy(self, target: Path, which: str = "after") -> Checkout:
        """Return a copy of one of them."""
        shutil.copytree(getattr(self, which).root, target, symlinks=True)
        return checkout_at(target)


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Road:
    folder = tmp_path_factory.mktemp("road")
    before = small_project(folder / "before")
    before.run("git", "commit", "--quiet", "--all", "--message", "small")
    made = Road(before, checkout_at(folder / "after"))
    after = made.copy(folder / "after", "before")
    after.run(sys.executable, "-c", AT_ONCE)
    after.run("dvc", "commit", "--quiet", "--force")
    return made


def test_each_stage_is_stopped_somewhere() -> None:
    assert tuple(MIDDLES) == STAGES == tuple(yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"])


def test_a_road_that_is_killed_in_each_of_its_stages_ends_as_one_that_is_not(road: Road, tmp_path: Path) -> None:
    checkout = road.copy(tmp_path / "killed", "before")
    assert remedy("in the middle of `dvc repro`") == [["dvc", "repro"]], "what starts it anew below"
    wanted, whole = outputs(road.after.root, *MADE), locked(road.after)
    kept = objects(checkout.root)
    for place, (stage, (event, part, number)) in enumerate(MIDDLES.items()):
        with paused(checkout, "dvc repro", f"hearth.stages.{stage}", event, part, number) as middle:
            apart = [pid for pid in middle.all if os.getsid(pid) != os.getsid(middle.pid)]
            assert bool(apart) == (stage == "package"), (
                "its server has a session of its own, which the kill does not reach"
            )
            middle.kill_all()
        # Before evaluate runs, metrics/ has those that git keeps, of another model.
        there = outputs(checkout.root, *(MADE if stage in STAGES[4:] else MADE[:-1]))
        assert there.items() <= wanted.items(), "an output under its final name is not whole"
        entries = locked(checkout)
        assert [name for name in STAGES if entries[name] == whole[name]] == list(STAGES[:place])
        assert objects(checkout.root).keys() >= kept.keys(), "something valid left the cache"
        kept = objects(checkout.root)
    said = type_in(checkout, "in the middle of `dvc repro`")
    assert re.findall(r"Running stage '(\w+)'", said) == ["package"], "what was whole is not run again"
    assert outputs(checkout.root, *MADE) == wanted
    assert (checkout.root / "dvc.lock").read_bytes() == (road.after.root / "dvc.lock").read_bytes()
    assert not [path for folder in MADE for path in (checkout.root / folder).rglob(".*")], "something half is left"
    changed = [one.run("git", "status", "--porcelain").stdout for one in (checkout, road.after)]
    assert changed[0] == changed[1]


def locked(checkout: Checkout) -> dict[str, Any]:
    """Return the entries of dvc.lock by stage."""
    entries: dict[str, Any] = yaml.safe_load((checkout.root / "dvc.lock").read_text())["stages"]
    return entries


def test_a_disk_that_is_full_in_a_stage_is_told_and_after_making_room_the_road_goes_on(
    road: Road, tmp_path: Path
) -> None:
    checkout = road.copy(tmp_path / "full")
    lock = (checkout.root / "dvc.lock").read_bytes()
    set_params(checkout, {"split.test_from": "2014-12-15"})
    prepared = checkout.root / "data/prepared"
    with mounted(prepared, "32k"):
        done = checkout.run("dvc", "repro", "prepare", check=False)
        assert done.returncode
        assert "error: the disk is full" in done.stderr
        assert "Traceback" not in done.stderr
        assert [path.name for path in prepared.iterdir()] == []
    assert (checkout.root / "dvc.lock").read_bytes() == lock
    shutil.rmtree(prepared)  # what lay under the disk; DVC has it
    assert [*remedy("the disk is full")] == [["dvc", "repro"]]
    checkout.run("dvc", "repro", "prepare")
    days = pq.read_table(prepared / "test.parquet").column("date")
    assert str(min(days.to_pylist())) == "2014-12-15"


def test_collect_refuses_a_source_that_dvc_brought_back_damaged(road: Road, tmp_path: Path) -> None:
    """Its path is a param, so that it stands among no defaults."""
    checkout = road.copy(tmp_path / "damaged")
    source = Path("data/source/house_sales.parquet")
    damage(cached(checkout.root, md5_of(checkout.root / source)), b"not what was sold")
    (checkout.root / source).unlink()
    checkout.run("dvc", "checkout", "--quiet", f"{source}.dvc")
    set_params(checkout, {"collect.as_of": "2015-02-01"})
    done = checkout.run("dvc", "repro", "collect", check=False)
    assert done.returncode
    assert f"error: {source} has the md5 " in done.stderr
