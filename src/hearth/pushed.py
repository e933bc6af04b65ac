"""Say which files that commits name are on no DVC remote; the work tree's own stages have no say in it.

Each object is asked for by itself: DVC's own check takes the files of a folder for present where the folder's list is. A remote
within the repository, as that of the sample, is looked for in the commit, since git carries it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth.errors import Refusal, WrongUseError
from hearth.git import git, run
from hearth.revisions import Commit, Kept, first_line, revision

NOBODY = "0" * 40  # git's word for "no commit", where a branch is deleted
NAMING = (".dvc", "dvc.yaml", "dvc.lock", "params.yaml")  # files that say what DVC keeps
SHOWN = 20
READ_BYTES = 1 << 20

Places = dict[str, dict[str, str]]  # object: its paths, each with a commit that names it


@dataclass(frozen=True)
class Missing:
    """Be a file that others cannot get; `folder` is the remote's, if git carries it, `here`: the cache has it.

    `delete` are places on the remote that are in the way of a push: DVC replaces no damaged object, and takes all files of a
    folder for present where the folder's list is.
    """

    path: str
    commit: str
    remote: str
    folder: str | None
    here: bool
    damaged: bool = False
    delete: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in a line."""
        what = "is damaged" if self.damaged else "is not"
        where = f"on {self.remote}" if self.folder is None else f"in {self.folder} of that commit"
        return f"{self.path} of {self.commit} {what} {where}" + ("" if self.here else ", nor in the cache here")


@dataclass(frozen=True)
class Looked:
    """Hold what was found; `default` is None where no default remote is set, so that nobody looked for most files."""

    files: int
    missing: tuple[Missing, ...]
    default: str | None
    unverified: tuple[str, ...]


def named(words: Iterable[str]) -> list[str]:
    """Return the commits that revisions and ranges (A..B) name."""
    found: list[str] = []
    for word in words:
        if ".." in word:
            done = run("rev-list", "--end-of-options", word)
            if done.returncode:
                raise WrongUseError(
                    f"{word} is no range of commits that this clone has; `git fetch` brings those of others."
                )
            found += done.stdout.decode().split()
        elif commit := revision(word).commit:
            found.append(commit)
    return list(dict.fromkeys(found))


def about_to_go(lines: Iterable[str]) -> list[str]:
    """Return what git is about to push, by the lines that it gives its hook: the tips, and each commit that no remote has."""
    tips: list[str] = []
    for line in lines:
        words = line.split()
        if len(words) != 4:
            raise WrongUseError(
                f"{line.strip()!r} is no line that git gives its pre-push hook; `make hooks` sets that up."
            )
        if words[1] != NOBODY:  # a tag may also name what is no commit
            tips += run("rev-parse", "--verify", "--quiet", f"{words[1]}^{{commit}}").stdout.decode().split()
    new = git("rev-list", *tips, "--not", "--remotes").split() if tips else []
    return list(dict.fromkeys([*tips, *new]))


def look(commits: Sequence[str], read: bool = False) -> Looked:
    """Ask the remotes for all that DVC keeps of these commits; refuse where a remote does not answer.

    With `read` each object is read back and held to its name, the MD5 of its content.
    """
    from dvc.repo import Repo

    try:
        repo = Repo(".")
    except Exception as error:
        raise WrongUseError(f"DVC cannot start here ({first_line(error)}); mend .dvc/config.") from None
    default = repo.config["core"].get("remote")
    carried = carried_by_git(repo.config["remote"], Path(repo.root_dir))
    wanted: dict[tuple[str, str], Places] = {}  # by remote and kind of hash
    missing: list[Missing] = []
    files = 0
    for commit in _distinct(commits, carried):
        for kept in commit.kept():
            remote = kept.remote or default
            if remote in carried:
                files += 1
                if not commit.git_files(_place(carried[remote], kept)):
                    missing.append(Missing(kept.path, commit.name, remote, carried[remote], here=True))
            elif remote is not None:
                wanted.setdefault((remote, kept.hash_name), {}).setdefault(kept.oid, {}).setdefault(
                    kept.path, commit.name
                )
    for (remote, hash_name), objects in wanted.items():
        asked, found = ask(repo, remote, hash_name, objects, read)
        files += asked
        missing += found
    unverified = {remote for remote, _ in wanted if not repo.config["remote"][remote].get("verify")}
    return Looked(files, tuple(missing), default, tuple(sorted(unverified)))


def refuse_missing(looked: Looked) -> None:
    """Refuse if something is missing; name each file and the next step."""
    if not (missing := sorted(looked.missing, key=str)):
        return
    lines = [f"{len(missing)} of the {looked.files} files that DVC keeps would not reach others:"]
    lines += [f"  {one}" for one in missing[:SHOWN]]
    lines += [f"  and {len(missing) - SHOWN} more"] if missing[SHOWN:] else []
    if places := sorted({place for one in missing for place in one.delete}):
        lines.append(
            "Delete first, for DVC pushes over nothing, and takes a folder for whole where its list is (.dir):"
        )
        lines += [f"  {place}" for place in places]
    if any(one.folder is None for one in missing):
        lines.append("`dvc push` sends those of the commit that is checked out; of another, `git checkout` it first.")
    if carried := {one.remote: one.folder for one in missing if one.folder}:
        lines += [f"`dvc push --remote {remote}` and commit {folder}." for remote, folder in carried.items()]
    if gone := sorted({one.commit for one in missing if not one.here}):
        lines.append(f"What is nowhere is made anew by `sh tools/road_of.sh {gone[0]}`.")
    raise Refusal("\n".join(lines))


def _distinct(commits: Sequence[str], carried: Mapping[str, str]) -> Iterator[Commit]:
    """Yield one commit of those that are alike to DVC, and none in which DVC keeps nothing."""
    folders = tuple(f"{folder}/" for folder in carried.values())
    seen = set()
    for sha in commits:
        listed = [line.partition("\t")[::2] for line in git("ls-tree", "-r", "-z", sha).split("\0")]
        key = frozenset(entry for entry in listed if entry[1].endswith(NAMING) or entry[1].startswith(folders))
        if key not in seen and any(path.endswith(NAMING[:3]) for _, path in key):
            yield Commit(sha[:7], sha)
        seen.add(key)


def carried_by_git(remotes: Mapping[str, Mapping[str, Any]], top: Path) -> dict[str, str]:
    """Return the folders, from the top, of the remotes that lie within the repository."""
    top, found = top.resolve(), {}
    for remote, known in remotes.items():
        folder = Path(str(known["url"]))  # DVC makes an address in the config absolute where it is a path
        if folder.is_absolute() and folder.resolve().is_relative_to(top):
            found[remote] = str(folder.resolve().relative_to(top))
    return found


def _place(folder: str, kept: Kept) -> str:
    return f"{folder}/files/{kept.hash_name}/{kept.oid[:2]}/{kept.oid[2:]}"


def ask(repo: Any, name: str, hash_name: str, objects: Places, read: bool) -> tuple[int, list[Missing]]:
    """Return how many files these objects are, those of folders included, and which of them others cannot get."""
    local, whole = repo.cache.local, {oid: dict(paths) for oid, paths in objects.items()}
    lists: dict[str, set[str]] = {}  # object: the lists that name it
    try:
        remote = repo.cloud.get_remote_odb(name, hash_name=hash_name)
        present = set(remote.oids_exist(list(objects)))
        for oid, paths in objects.items():
            holder = local if local.exists(oid) else remote
            if oid.endswith(".dir") and (holder is local or oid in present):
                with holder.fs.open(holder.oid_to_path(oid), "rb") as file:
                    listed = [(entry["md5"], entry["relpath"]) for entry in json.load(file)]
                for inner, below in listed:
                    whole.setdefault(inner, {}).update((f"{path}/{below}", sha) for path, sha in paths.items())
                    lists.setdefault(inner, set()).add(oid)
        if more := [oid for oid in whole if oid not in objects]:
            present |= set(remote.oids_exist(more))
        damaged = {oid for oid in whole if read and oid in present and not _whole(remote, oid)}
    except Exception as error:
        raise WrongUseError(
            f"the DVC remote {name} cannot be asked ({first_line(error)}); look at its address and keys in `dvc config --list`, and in "
            "docs/operations.md under Remotes."
        ) from None
    found = []
    for oid in [oid for oid in whole if oid not in present or oid in damaged]:
        in_the_way = (lists.get(oid, set()) & present) | ({oid} & damaged)
        delete = tuple(remote.fs.unstrip_protocol(remote.oid_to_path(one)) for one in in_the_way)
        found += [
            Missing(path, commit, name, None, local.exists(oid), oid in damaged, delete)
            for path, commit in whole[oid].items()
        ]
    return sum(map(len, whole.values())), found


def _whole(remote: Any, oid: str) -> bool:
    with remote.fs.open(remote.oid_to_path(oid), "rb") as file:
        content = hashlib.md5(usedforsecurity=False)
        while part := file.read(READ_BYTES):
            content.update(part)
    return content.hexdigest() == oid.removesuffix(".dir")
