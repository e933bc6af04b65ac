"""Make a bad model beside a simulated life, and force it in past every gate."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from hearth.bento import stop
from hearth.collecting import CollectParams
from hearth.comparing import side
from hearth.editing import edited
from hearth.errors import Refusal
from hearth.git import git
from hearth.params import section
from hearth.paths import BENTO, PARAMS
from hearth.promotion import Candidate
from hearth.registry import write
from hearth.releases import ARTIFACT, live_tag, message, version_tag
from hearth.revisions import Commit
from hearth.storage import read_text, write_text
from hearth.worktrees import NO_HOOKS
from hearth.world import World, clone, share

BRANCH = "experiment"
# A hurried experiment: few trees, a market index that listens to the last week alone, and a gate that was loosened until it
# said yes. Its figures look well; its level is some seven per cent too low for spring.
BAD = {
    "model.members.coarse_median.iterations": 150,
    "model.members.coarse_median.learning_rate": 0.2,
    "model.members.median.iterations": 200,
    "model.members.median.learning_rate": 0.1,
    "market.smoothing": 10.0,
    "market.trend_days": 7,
    "market.damping_days": 10000.0,
    "evaluate.bootstrap.draws": 100,
    "evaluate.importance.repeats": 1,
    "gate.difference_max": 0.0,
    "gate.mdape_max": 0.12,
    "gate.rmse_log_max": 0.25,
    "gate.bias_max": 0.15,
    "gate.coverage_min": 0.6,
    "gate.coverage_max": 0.99,
    "gate.coverage_fifth_min": 0.5,
    "gate.slice_mdape_max": 0.5,
    "gate.slice_ratio_max": 5.0,
    "gate.slice_coverage_min": 0.3,
    "gate.slice_coverage_max": 1.0,
}


@contextlib.contextmanager
def bad_model(home: Path, folder: Path, cache: Path) -> Iterator[Callable[[], str]]:
    """Begin the road of the bad model beside everything else; yield what waits for it and returns its commit, fetched."""
    clone(home, folder)
    share(folder, cache)
    source = section("collect", CollectParams).source
    (folder / source).write_bytes((home / source).read_bytes())
    write_text(folder / PARAMS, edited(read_text(folder / PARAMS), BAD)[0])
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    log = folder.parent / "bad.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "dvc", "repro"]
        road = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True)

        def finished() -> str:
            if road.wait():
                raise Refusal(f"the road of the bad model broke:\n{log.read_text(errors='replace')[-2000:]}")
            git("-C", str(folder), "add", "--all")
            git("-C", str(folder), *NO_HOOKS, "commit", "--quiet", "--message", "A hurried experiment")
            git("fetch", "--quiet", str(folder), f"HEAD:refs/heads/{BRANCH}")
            return git("rev-parse", f"refs/heads/{BRANCH}")

        try:
            yield finished
        finally:
            stop(road)


def force(world: World, commit: str) -> None:
    """Make a commit the champion by writing its tags, as somebody could who may push."""
    known, one = world.known(), Commit(BRANCH, commit)
    version = known.next_version
    found = Candidate(one, side(one), one.read(BENTO), None)
    event = {"action": "promote", "version": version, "previous": known.champion.version if known.champion else None,
             "reason": "forced past the gates, for the drill"}  # fmt: skip
    write([
        (version_tag(version), commit, message(f"Release {ARTIFACT} {version}", [], found.known)),
        (live_tag(known.environment, known.next_number), commit, message(f"Promote {ARTIFACT} {version} to {known.environment}", [], event)),
    ])  # fmt: skip
    error = found.read.metrics["mdape"]
    world.tell("forced", f"{version}, a hurried experiment, past every gate; its own figures say {error:.1%}")
