"""Run a road in a work tree: bring it the source that lies in the caller's folder, and tell a gate's no from a fault."""

import re
import shutil
from pathlib import Path

from hearth.errors import Refusal
from hearth.paths import FORGOTTEN, GATE
from hearth.progress import Step
from hearth.storage import parsed_json, read_bytes, read_text, write_text
from hearth.worktrees import Tree


def deliver(tree: Tree, home: Path, source: Path) -> None:
    """Put a table, or a folder of them, into the tree as it lies in the caller's: a new delivery need not be committed to be taken in."""
    pointer = source.with_name(f"{source.name}.dvc")
    if (home / source).exists():
        (tree.folder / source).parent.mkdir(parents=True, exist_ok=True)
        if (home / source).is_dir():
            shutil.rmtree(tree.folder / source, ignore_errors=True)
            shutil.copytree(home / source, tree.folder / source)
        else:
            shutil.copyfile(home / source, tree.folder / source)
        if new := _unkept(tree, source, own=(home / pointer).is_file()):
            _dvc(tree, "add", "--quiet", *map(str, new))
        return
    if (home / pointer).is_file():
        shutil.copyfile(home / pointer, tree.folder / pointer)
    if (tree.folder / source).exists():
        return
    if tree.run("dvc", "checkout", "--quiet", str(pointer))[0]:
        sample = tree.run("dvc", "pull", "--quiet", "--remote", "sample", str(pointer))[0]
        if sample:
            _dvc(tree, "pull", "--quiet", str(pointer))


def forget_too(tree: Tree, home: Path) -> None:
    """Put into the tree what was forgotten in the caller's folder since; refuse a commit whose road would take it in again."""
    from hearth.forgotten import entries_of, with_entries

    mine, own = home / FORGOTTEN, tree.folder / FORGOTTEN
    entries = entries_of(read_text(mine)) if mine.is_file() else set()
    if not entries:
        return
    if not own.is_file():
        raise Refusal(f"the commit to start from has no {FORGOTTEN}, so its road would take in again what was forgotten since; "
                      "promote a commit of today first.")  # fmt: skip
    write_text(own, with_entries(read_text(own), entries))


def _unkept(tree: Tree, source: Path, own: bool) -> list[Path]:
    """Return what of a delivery git does not keep itself: the table, the folder, or tables in it if these are kept one by one."""
    kept = set(tree.git("ls-files", "--", str(source)).splitlines())
    if (tree.folder / source).is_file() or own or not kept:
        return [] if str(source) in kept else [source]
    files = [path.relative_to(tree.folder) for path in sorted((tree.folder / source).rglob("*")) if path.is_file()]
    return [
        path for path in files if path.name != ".gitignore" and path.suffix != ".dvc" and path.as_posix() not in kept
    ]


def _dvc(tree: Tree, *words: str) -> None:
    status, said = tree.run("dvc", *words)
    if status:
        raise Refusal(f"`dvc {' '.join(words)}` failed in the work tree of the retraining:\n  " + "\n  ".join(said))


def run_road(tree: Tree, step: Step, *words: str, ran: set[str] | None = None) -> list[str]:
    """Run the road, with more words for `dvc repro`; return the gate's reasons if it says no, and refuse where it broke.

    `ran` is given the stages that were really run.
    """
    seen: list[str] = []

    def line(said: str) -> None:
        found = re.match(r"(?:Running stage|Stage) '([^']+)'(.*)", said)
        if found and ran is not None and said.startswith("Running"):
            ran.add(found[1])
        if found and found[1] not in seen:
            seen.append(found[1])
            step(f"{found[1]}: {'runs' if said.startswith('Running') else 'as before'}", 1)

    status, said = tree.run("dvc", "repro", *words, line=line)
    if not status:
        return []
    gate = parsed_json(read_bytes(tree.folder / GATE), str(GATE)) if (tree.folder / GATE).is_file() else {}
    if seen[-1:] == ["package"] and not gate.get("passed", True):
        return list(gate["reasons"])
    raise Refusal("the road broke" + (f" at {seen[-1]}" if seen else "") + ":\n  " + "\n  ".join(said))
