"""Read files of the workspace or of a commit, wherever they are: on disk, in git, in DVC's cache or on its remote.

Nothing is checked out and the work tree is left alone. What DVC tracks is held to the hash in the commit's `dvc.lock`: DVC
itself would hand on an object that was damaged in its cache or on a remote.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from hearth.errors import Refusal, WrongUseError
from hearth.git import git, run
from hearth.history import contents_of
from hearth.locks import Stage, folder_md5, md5
from hearth.paths import PARAMS
from hearth.releases import version_tag
from hearth.storage import read_bytes, read_folder

WORKSPACE = "workspace"
SOURCES = Path("src/hearth")

Content = TypeVar("Content")


class UnreadableError(WrongUseError):
    """Say which file of which revision cannot be read, and what would help."""


@dataclass(frozen=True)
class Output:
    """Be an output as it is on disk.

    `kept` is by DVC, else git has it; `made` is by a stage, else a `.dvc` file names it; `state` is empty, "modified" against
    the lock, "deleted", or "new" where the lock lacks it; `nowhere`: DVC is to keep it, and its cache lacks it too.
    """

    path: str
    kept: bool
    made: bool
    folder: bool
    state: str
    nowhere: bool


@dataclass(frozen=True)
class Kept:
    """Be a file or folder that DVC keeps: DVC's name of its content, and the remote that it names itself, if it does."""

    path: str
    oid: str
    hash_name: str
    remote: str | None


class _Project:
    """Be what DVC knows of the files of a revision."""

    name: str

    def read(self, path: Path) -> bytes:
        """Return a file's content."""
        raise NotImplementedError

    @property
    def _repo(self) -> Any:
        raise NotImplementedError

    def stages(self) -> tuple[list[Stage], dict[str, str]]:
        """Return the stages that dvc.yaml declares, templates filled in, and the hashes of `.dvc` files by their outs."""
        declared: list[Stage] = []
        imported: dict[str, str] = {}
        for stage in self._repo.index.stages:
            if stage.cmd is None:
                imported |= {self._path(out): out.hash_info.value for out in stage.outs}
                continue
            # Those of other files are read by a run only.
            own = (dep for dep in stage.deps if hasattr(dep, "params") and dep.def_path == str(PARAMS))
            params = tuple(name for dep in own for name in dep.params or ())
            deps = tuple(dep.def_path for dep in stage.deps if not hasattr(dep, "params"))
            outs = tuple(out.def_path for out in stage.outs)
            declared.append(Stage(stage.name, stage.cmd, deps, outs, params, stage.desc or ""))
        return declared, imported

    def pointers(self) -> dict[str, str]:
        """Return the `.dvc` file of each out that one names, by the out's path."""
        imported = (stage for stage in self._repo.index.stages if stage.cmd is None)
        return {self._path(out): stage.path_in_repo for stage in imported for out in stage.outs}

    def kept(self) -> list[Kept]:
        """Return what DVC keeps of this commit on remotes; what is imported from another repository stays there."""
        return [
            Kept(self._path(out), out.hash_info.value, out.hash_name, out.remote)
            for out in self._repo.index.outs
            if out.use_cache and out.can_push and out.hash_info and not out.stage.is_repo_import
        ]

    def values(self, path: Path) -> dict[str, Any]:
        """Return the mapping in a YAML file as DVC reads it: by YAML 1.2, in which 1e-05 is a number."""
        from dvc.utils.serialize import parse_yaml

        try:
            found = parse_yaml(self.read(path).decode(), str(path))
            if not isinstance(found, dict):
                raise ValueError("it holds no mapping")
        except UnreadableError:
            raise
        except Exception as error:
            raise UnreadableError(
                f"{path} of {self.name} is not good YAML ({first_line(error)}); mend and commit it."
            ) from None
        return found

    def _path(self, out: Any) -> str:
        return str(self._repo.fs.relpath(out.fs_path, self._repo.root_dir))


class Workspace(_Project):
    """Be the files on disk."""

    name, commit = WORKSPACE, None

    def read(self, path: Path) -> bytes:
        """Return a file's content."""
        return _told(read_bytes, path)

    def folder(self, path: Path) -> dict[str, bytes]:
        """Return the files of a flat folder by name."""
        return _told(read_folder, path)

    def sources(self) -> dict[str, bytes]:
        """Return the package's modules by path."""
        return {str(path): path.read_bytes() for path in sorted(SOURCES.rglob("*.py"))}

    def git_files(self, path: str) -> dict[str, bytes]:
        """Return the file at a path that git tracks or would, under the empty name, or the files of a folder, as they are on disk."""
        names = [name for name in self._in_git if name == path or name.startswith(f"{path}/")]
        return {name.removeprefix(path).lstrip("/"): Path(name).read_bytes() for name in names if Path(name).is_file()}

    def tree(self, path: Path) -> dict[str, str]:
        """Return the md5 of each file below a folder that DVC keeps, by its path there, as its `.dvc` file has it."""
        (out,) = (out for out in self._repo.index.outs if self._path(out) == str(path))
        if (listed := out.get_obj()) is None:
            raise UnreadableError(f"what {path} holds is in no cache here; `dvc fetch {path}` brings it.")
        return {"/".join(key): str(found.value) for key, _, found in listed}

    def outputs(self) -> list[Output]:
        """Return all that stages make and `.dvc` files name, and how it is here."""
        found = []
        for out in self._repo.index.outs:
            path, kept, known = self._path(out), bool(out.use_cache), bool(out.hash_info)
            state = "".join(out.workspace_status().values())
            state = "new" if state == "modified" and not known else state
            folder = bool(out.hash_info.isdir) or Path(path).is_dir()
            nowhere = kept and state == "deleted" and out.changed_cache()
            found.append(Output(path, kept, out.stage.cmd is not None, folder, state, nowhere))
        return found

    def ran(self, entry: Mapping[str, Any]) -> bool:
        """Return whether DVC's run cache has a run with just this entry of dvc.lock.

        It keeps no runs of a stage with an output, other than metrics and plots, that git keeps.
        """
        from dvc.utils import dict_sha256

        question = {**entry, "outs": [out["path"] for out in entry.get("outs") or ()]}
        key, answer = (dict_sha256(one, exclude=["size", "nfiles"]) for one in (question, entry))
        return Path(self._repo.stage_cache.cache_dir, key[:2], key, answer).is_file()

    @property
    def repository(self) -> Any:
        """Return DVC's own view of it."""
        return self._repo

    @cached_property
    def _in_git(self) -> list[str]:
        return sorted(set(git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")) - {""})

    @cached_property
    def _repo(self) -> Any:
        return _opened("the workspace", "mend it")


@dataclass(frozen=True)
class Commit(_Project):
    """Be the files of one commit; `name` is what it was asked for by."""

    name: str
    commit: str

    def read(self, path: Path) -> bytes:
        """Return a file's content, from git, DVC's cache or its remote."""
        _ = self._repo  # a commit that DVC cannot load is refused as a whole
        # Not through DVC where git has it: its file system for git gave half of a file once, on a busy machine.
        if "" in (kept := self.git_files(str(path))):
            return kept[""]
        known = self._info(path)
        if known["type"] != "file":
            raise UnreadableError(f"{path} of {self.name} is a folder, wanted a file.")
        return self._content(path, known)

    def folder(self, path: Path) -> dict[str, bytes]:
        """Return the files of a flat folder by name."""
        known = self._info(path)
        if known["type"] != "directory":
            raise UnreadableError(f"{path} of {self.name} is a file, wanted a folder.")
        try:
            entries = self._files.ls(f"/{path}", detail=True)
        except Exception as error:
            raise self._unreadable(path, error) from None
        names = [Path(entry["name"]).name for entry in entries]
        found = {name: self._content(path / name, entry) for name, entry in zip(names, entries, strict=True)}
        if "md5" in known:
            self._whole(path, folder_md5(found), known["md5"])
        return found

    def tree(self, path: Path) -> dict[str, str]:
        """Return the md5 of each file below a folder that DVC keeps, by its path there."""
        try:
            found = self._files.fs.find(f"/{path}", detail=True)  # DVC's own find gives no details
            return {name.removeprefix(f"/{path}/"): str(entry["md5"]) for name, entry in found.items()}
        except Exception as error:
            raise self._unreadable(path, error) from None

    def sources(self) -> dict[str, bytes]:
        """Return the package's modules by path."""
        found = self.git_files(str(SOURCES))
        if not found:
            raise UnreadableError(
                f"{SOURCES} is not in {self.name} ({self.commit[:7]}); compare with a commit that has it."
            )
        return {f"{SOURCES}/{name}": content for name, content in found.items() if name.endswith(".py")}

    def git_files(self, path: str) -> dict[str, bytes]:
        """Return the file that git has at a path, under the empty name, or the files of a folder; nothing if it has none."""
        # As they are stored: an archive would leave out what .gitattributes says. Of a link it is the link.
        done = run("ls-tree", "-r", "-z", self.commit, "--", path)
        listed = [line.partition("\t") for line in done.stdout.decode(errors="surrogateescape").split("\0") if line]
        blobs = [(words.split()[2], name) for words, _, name in listed if words.split()[1] == "blob"]
        contents = contents_of(Path(), [oid for oid, _ in blobs])
        return {
            name.removeprefix(path).lstrip("/"): content
            for (_, name), content in zip(blobs, contents, strict=True)
            if content is not None
        }

    def md5(self, path: Path) -> str:
        """Return DVC's name of a file's content."""
        return str(self._info(path)["md5"])

    def places(self, md5: str) -> list[str]:
        """Return where an object of DVC lies: in the cache, on which remotes, and which remotes cannot be asked."""
        cache = self._repo.cache.local
        found = [str(cache.oid_to_path(md5))] if cache.exists(md5) else []
        for name in self._repo.config["remote"]:
            try:
                remote = self._repo.cloud.get_remote_odb(name)
                if remote.exists(md5):
                    found.append(f"remote {name}: {remote.fs.unstrip_protocol(remote.oid_to_path(md5))}")
            except Exception as error:
                found.append(f"remote {name}, perhaps: it cannot be asked ({first_line(error)})")
        return found

    @cached_property
    def _files(self) -> Any:
        return self._repo.dvcfs

    @cached_property
    def _repo(self) -> Any:
        from dvc.config import Config

        # Remotes are those of the work tree: seen from a commit, a relative path would begin at the root of the disk,
        # and what config.local adds, such as a key, would be missing.
        return _opened(
            f"{self.name} ({self.commit[:7]})",
            "mend and commit it, or name a commit in which it is whole",
            lambda: {
                "rev": self.commit,
                "config": {name: Config.from_cwd()[name] for name in ("core", "remote")},
            },
        )

    def _info(self, path: Path) -> dict[str, Any]:
        try:
            return dict(self._files.info(f"/{path}"))
        except FileNotFoundError:
            raise UnreadableError(
                f"{path} is not in {self.name} ({self.commit[:7]}), neither in git nor in its dvc.lock; "
                "compare with a commit that has it."
            ) from None
        except UnreadableError:
            raise
        except Exception as error:
            raise self._unreadable(path, error) from None

    def _whole(self, path: Path, found: str, wanted: str) -> None:
        if found != wanted:
            raise UnreadableError(
                f"{path} of {self.name} has the md5 {found} in DVC's cache or remote, wanted {wanted}; it is damaged. "
                "Delete that object, then `dvc fetch` or `dvc repro` it anew."
            )

    def _content(self, path: Path, known: dict[str, Any]) -> bytes:
        try:
            with self._files.open(f"/{path}", "rb") as file:
                content = bytes(file.read())
        except Exception as error:
            raise self._unreadable(path, error) from None
        if "md5" in known:
            self._whole(path, md5(content), known["md5"])
        return content

    def _unreadable(self, path: Path, error: Exception) -> UnreadableError:
        return UnreadableError(
            f"{path} of {self.name} ({self.commit[:7]}) is neither in DVC's cache nor on a remote ({first_line(error)}). "
            "Where it was made, `dvc push`; or make it here: `sh tools/road_of.sh "
            f"{self.commit[:7]}`."
        )


Revision = Workspace | Commit


def revision(name: str) -> Revision:
    """Return the workspace, or the commit that a branch, a tag or any other revision names.

    A branch may be that of the remote origin, and a released version goes by its bare number, v0.1.0.
    """
    if name == WORKSPACE:
        return Workspace()
    for candidate in (name, f"origin/{name}", version_tag(name)):
        try:
            return Commit(name, git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}"))
        except Refusal:
            continue
    raise UnreadableError(
        f"{name} is no revision of this repository; `git branch --all` and `git tag` list what there is."
    )


def _opened(where: str, step: str, options: Callable[[], dict[str, Any]] = dict) -> Any:
    """Return DVC's repository, once it has read dvc.yaml, dvc.lock and the `.dvc` files; else say which of them is broken."""
    from dvc.repo import Repo

    try:
        found = Repo(".", **options())
        list(found.index.stages)
    except Exception as error:
        raise UnreadableError(f"{where} cannot be loaded by DVC ({first_line(error)}); {step}.") from None
    return found


def _told(reader: Callable[[Path], Content], path: Path) -> Content:
    try:
        return reader(path)
    except Refusal as refusal:
        raise UnreadableError(str(refusal)) from None


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, to stand within a sentence of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
