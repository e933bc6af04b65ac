"""Read tables from files: one, a folder or a pattern of dated drops; here or on an object store."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.paths import SOURCES
from hearth.sources.address import KEY, PASSWORD, TOKEN, USER, Address, credentials, token, told
from hearth.sources.batch import Batch
from hearth.sources.formats import FileOptions, batches, format_of

_PATTERN = "*?["
_BESIDE = (".dvc", ".gitignore")  # what lies beside a table that DVC keeps
_MORE = {"gs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


class Here:
    """Be tables in the project's own data/source, where DVC sees them change."""

    since = False
    undated = False

    def __init__(self, path: Path, options: FileOptions, contract: Contract) -> None:
        """Refuse a path elsewhere: a stage's inputs are declared, and only data/source is."""
        top = SOURCES.absolute()
        if not path.absolute().is_relative_to(top) or ".." in path.parts:
            raise Refusal(f"params.yaml: {KEY} is {str(path)!r}, wanted a table, a folder or a pattern in {SOURCES}/, whose change "
                          "DVC sees, or an address such as s3://bucket/sales.parquet. Move it there, or write file:// and its whole "
                          "path if it is to be taken as it is on each collection.")  # fmt: skip
        self._path, self._options, self._contract = path, options, contract

    def known_before(self, day: datetime.date) -> None:
        """Return None: a file has to be read to tell."""

    def batches(self, since: datetime.date | None, until: datetime.date) -> Iterator[Batch]:  # noqa: ARG002
        """Yield all rows."""
        for path in self._paths():
            with _opened(path) as file:
                before = path.stat()
                yield from batches(path.name, str(path), file, self._options, self._contract)
                after = path.stat()
            _check_same(str(path), (before.st_size, before.st_mtime_ns), (after.st_size, after.st_mtime_ns))

    def _paths(self) -> list[Path]:
        """Return the table, or those of the pattern or the folder; refuse what cannot be listed or followed, which would be missing."""
        if any(letter in self._path.name for letter in _PATTERN) and not self._path.exists():
            found = [path for path in self._path.parent.glob(self._path.name) if not _hidden(Path(path.name))]
            wanted = f"no file of that pattern is in {self._path.parent}"
        elif self._path.is_dir():
            found = list(_below(self._path))
            wanted = "the folder has no file"
        else:
            return [self._path]
        found = sorted(path for path in found if not path.name.endswith(_BESIDE))
        for path in found:
            if path.is_symlink() and not path.is_file():
                raise Refusal(
                    f"{path} is a link to {'a folder' if path.is_dir() else 'nothing'}; put the table itself there."
                )
        if not (found := [path for path in found if path.is_file()]):
            raise Refusal(f"{self._path}: {wanted}; wanted at least one table.")
        return found


def _below(top: Path) -> Iterator[Path]:
    """Yield the files below a folder, and links to folders."""
    for entry in _listed(top):
        if _hidden(Path(entry.name)):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _below(entry)
        else:
            yield entry


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise Refusal(
            f"{folder} cannot be listed ({error.strerror}), so tables may be missing; check who may read it."
        ) from None


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Refusal(f"{path} does not exist; `dvc pull {path}.dvc` brings it, if DVC keeps it, or set {KEY} in params.yaml to "
                      "what is there.") from None  # fmt: skip
    except OSError as error:
        raise Refusal(
            f"{path} cannot be read ({error.strerror}); check that it is a file and who may read it."
        ) from None
    with file:
        yield file


class There:
    """Be tables on an object store or a web server, or on this machine outside the project, through fsspec."""

    since = False
    undated = False

    def __init__(self, address: Address, options: FileOptions, contract: Contract) -> None:
        """Take the address; nothing is asked yet."""
        self._address, self._options, self._contract = address, options, contract

    def known_before(self, day: datetime.date) -> None:
        """Return None: a file has to be read to tell."""

    def batches(self, since: datetime.date | None, until: datetime.date) -> Iterator[Batch]:  # noqa: ARG002
        """Yield all rows."""
        store, path = self._store()
        for name in self._names(store, path):
            where = self._shown(name)
            # A whole copy first: what breaks off on the way is never read, and a copy can be sought in as zip and parquet need it.
            with TemporaryDirectory(prefix="hearth-collect-") as scratch:
                copy = Path(scratch, "copy")
                before = self._mark(store, name, where)
                self._asked(lambda name=name, copy=copy: store.get_file(name, str(copy)), where)
                _check_same(where, before, self._mark(store, name, where))
                with copy.open("rb") as file:
                    yield from batches(name.split("?")[0], where, file, self._options, self._contract)

    def _mark(self, store: Any, name: str, where: str) -> tuple[str, ...]:
        """Return what tells one content of a file from another; a web server may not say, but gives a file at one go."""
        if self._web:
            return ()
        store.invalidate_cache()  # what it listed before tells nothing of now
        info = self._asked(lambda: store.info(name), where)
        return tuple(str(info.get(key)) for key in ("size", "ETag", "LastModified", "mtime"))

    @property
    def _web(self) -> bool:
        return self._address.scheme in ("http", "https")

    def _store(self) -> tuple[Any, str]:
        import fsspec  # type: ignore[import-untyped]

        options: dict[str, Any] = {"skip_instance_cache": True}
        if self._web:
            import aiohttp

            user, password = credentials()
            if bearer := token():
                options["client_kwargs"] = {"headers": {"Authorization": f"Bearer {bearer}"}}
            elif user:
                options["client_kwargs"] = {"auth": aiohttp.BasicAuth(user, password or "")}
        try:
            store, path = fsspec.core.url_to_fs(self._address.text, **options)
        except ImportError as error:
            more = _MORE.get(self._address.scheme, str(error))
            raise Refusal(f"params.yaml: {KEY} is {self._address.text!r}, which needs the package {more}; `pip install {more}`, and add "
                          "it to pyproject.toml and the locks (`make lock`).") from None  # fmt: skip
        except (ValueError, OSError) as error:
            raise Refusal(f"params.yaml: {KEY} {self._address.text!r} cannot be opened ({told(error)}).") from None
        return store, path

    def _names(self, store: Any, path: str) -> list[str]:
        """Return the files of the address: one, those of a pattern, or those of a folder."""
        where = self._address.text
        if self._web or not (any(letter in path for letter in _PATTERN) or where.endswith("/")):
            if self._address.scheme == "file" and Path(path).is_dir():
                raise Refusal(f"{where} is a folder; end the address with / if all tables in it are meant.")
            return [path]
        if where.endswith("/"):
            found = self._asked(lambda: store.find(path), where)
            found = [name for name in found if not _hidden(Path(str(name).removeprefix(str(path)).lstrip("/")))]
        else:
            listed = self._asked(lambda: store.glob(path, detail=True), where)
            found = [
                name for name, info in listed.items() if info["type"] == "file" and not _hidden(Path(Path(name).name))
            ]
        if not (found := sorted(str(name) for name in found)):
            raise Refusal(f"{where} has no file; wanted at least one table. Check the address, and who may list it.")
        return found

    def _shown(self, name: str) -> str:
        if self._web:
            return f"{self._address.scheme}://{self._address.parts.netloc}{self._address.parts.path}"
        return f"{self._address.scheme}://{name.lstrip('/') if self._address.scheme != 'file' else name}"

    def _asked(self, question: Any, where: str) -> Any:
        """Return the store's answer; each kind of store has errors of its own."""
        try:
            return question()
        except Refusal:
            raise
        except FileNotFoundError:
            raise Refusal(f"{where} does not exist; check the address, and that this user may see it.") from None
        except Exception as error:
            raise Refusal(f"{where} cannot be read ({type(error).__name__}: {told(error)}); check that the store is up, and who may read "
                          f"it: credentials are those of the environment (AWS_ACCESS_KEY_ID and the like, {USER}, {PASSWORD}, "
                          f"{TOKEN}).") from None  # fmt: skip


def _check_same(where: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    if before != after:
        raise Refusal(
            f"{where} changed while it was read (was {before}, is {after}); collect again when it is written."
        )


def opened(address: Address, options: FileOptions, contract: Contract) -> Here | There:
    """Return the tables at an address or a path."""
    path = address.text if not address.scheme else address.parts.path
    name = Path(path).name.lower()
    if not any(letter in path for letter in _PATTERN) and Path(name).suffix and not name.endswith(".zip"):
        format_of(name, options)
    return There(address, options, contract) if address.scheme else Here(Path(path), options, contract)
