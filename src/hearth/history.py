"""Read how the metrics went over the commits and releases, straight from git's objects: nothing is checked out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hearth.errors import Refusal
from hearth.git import run
from hearth.timeline import SUBJECT_MAX, Entry, History, champions, is_mark, metrics_in, natural


def history(folder: Path, file: Path) -> History:
    """Return the history of a metrics file (relative to `folder`) up to HEAD and in every release.

    A commit whose file is missing, broken or lacks a key is an entry with its fault, never left out. Where git, a
    repository or a commit is missing, the history is empty and a note says so; of a shallow clone a note says what it is.
    """
    try:
        prefix = _git(folder, "rev-parse", "--show-prefix").strip()
        head = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
        tags = _tags(folder)
        commits = _commits(folder, file, tags)
    except Refusal as refusal:
        return History((), "", (f"There is no history: {refusal}",))
    contents = contents_of(folder, [f"{commit}:{prefix}{file.as_posix()}" for commit, _, _ in commits])
    best = champions(tags)
    entries = []
    for (commit, day, subject), content in zip(commits, contents, strict=True):
        metrics, fault = metrics_in(content)
        marks = tuple(sorted((tag for tag, target in tags.items() if target == commit), key=natural))
        environments = tuple(sorted(name for name, tag in best.items() if tags[tag] == commit))
        entries.append(Entry(commit, subject[:SUBJECT_MAX], day, metrics, fault, marks, environments))
    notes = []
    if _git(folder, "rev-parse", "--is-shallow-repository").strip() == "true":
        notes.append("This clone is shallow: older commits are not in it and are missing here; "
                     "`git fetch --unshallow` brings them.")  # fmt: skip
    return History(tuple(entries), head, tuple(notes))


def _tags(folder: Path) -> dict[str, str]:
    """Return the commit of each annotated tag that is a release or a promotion."""
    form = "%(refname:strip=2)%00%(objecttype)%00%(*objecttype)%00%(*objectname)"
    found = {}
    for line in _git(folder, "for-each-ref", f"--format={form}", "refs/tags").splitlines():
        name, kind, target, commit = line.split("\0")
        if kind == "tag" and target == "commit" and is_mark(name):
            found[name] = commit
    return found


def _commits(folder: Path, file: Path, tags: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (hash, day, subject) of the commits that changed the file, and of those with a tag; parents come first."""
    form = "--format=%H%x00%cs%x00%s"
    order = ("--date-order", "--reverse", "--no-show-signature", form)
    touched = _git(folder, "log", *order, "HEAD", "--", file.as_posix()).splitlines()
    wanted = {line.split("\0")[0] for line in touched} | set(tags.values())
    every = _git(folder, "log", *order, "HEAD", *sorted(set(tags.values()))).splitlines() if tags else touched
    rows = (line.split("\0", 2) for line in every)
    return [(commit, day, subject) for commit, day, subject in rows if commit in wanted]


def contents_of(folder: Path, names: Sequence[str]) -> list[bytes | None]:
    """Return the content of each `commit:path`, None where there is none, from one process of git."""
    if not names:
        return []
    output = _run(folder, ("cat-file", "--batch"), "".join(f"{name}\n" for name in names).encode())
    found: list[bytes | None] = []
    for _ in names:
        head, _, output = output.partition(b"\n")
        words = head.rsplit(b" ", 2)
        if len(words) == 3 and words[2].isdigit():
            size = int(words[2])
            found.append(output[:size] if words[1] == b"blob" else None)
            output = output[size + 1 :]
        else:
            found.append(None)
    return found


def _git(folder: Path, *words: str) -> str:
    return _run(folder, words).decode("utf-8", errors="replace")


def _run(folder: Path, words: Sequence[str], given: bytes = b"") -> bytes:
    done = run(*words, folder=folder, given=given)
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise Refusal(said[0].removeprefix("fatal: ") + "." if said else "the repository has no commit yet.")
    return done.stdout
