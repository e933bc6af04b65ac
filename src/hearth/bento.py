"""Build a bento as one file, the same bytes for the same content, and boot it.

BentoML leaves two clocks in a build (version and creation time) and more in the archive (times, owners, modes); here
the version is a hash of the content, and the archive is written member by member.
"""

import hashlib
import http.client
import io
import lzma
import os
import random
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from hearth.errors import Refusal
from hearth.journal import LOG_DIR

NAME = "house_prices"
EPOCH = datetime(1980, 1, 1, tzinfo=UTC)  # the oldest day that every archive format can say
STARTED_WITHIN_S = 60
PORTS = range(20_000, 32_000)  # below those that systems give by themselves

# The modules that the service loads; a test compares them with what it really loads.
MODULES = ("__init__", "answering", "clock", "contract", "counters", "errors", "explanation", "features", "front", "hedonic", "impatience",
           "intervals", "journal", "levels", "log_files", "log_lines", "market", "masks", "native", "neighbours", "openapi", "prediction_log", "release",
           "request", "rules", "service", "shadow", "signing", "static", "storage", "strict", "trees")  # fmt: skip

# As they lie in the package. The C file is not compiled here; a library has to say that it was made from this very one.
FILES = (*(f"{name}.py" for name in MODULES), "native.c")

# Of BentoML's own container; it would take that of whoever builds, and the bento's bytes with it.
CONTAINER_PYTHON = "3.11"

# Runs in a process of its own, in which only the bento's files are called hearth: a module that MODULES lacks shows
# here. The creation time is the last clock in a bento; BentoML has no option for it.
_BUILD = """
import sys
from datetime import datetime
import bentoml
epoch, name, version, context, description, docker_python, *include = sys.argv[1:]
bento = bentoml.build("service:HousePrices", name=name, version=version, build_ctx=context, include=include,
                      description=description, python={"requirements_txt": "requirements.txt", "lock_packages": False},
                      docker={"python_version": docker_python})
object.__setattr__(bento.info, "creation_time", datetime.fromisoformat(epoch))
bento.flush_info()
"""


# Starts the server so that it ends with the process that booted it: it has a session of its own, so that what kills or
# closes that one's terminal or group does not reach it. Elsewhere than on Linux it has to be ended by hand then.
_SERVE = """
import ctypes, os, runpy, signal, sys
starter = int(sys.argv.pop(1))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != starter:
        sys.exit("who started this server has ended")
runpy.run_module("bentoml", run_name="__main__", alter_sys=True)
"""


def content_version(files: Mapping[str, bytes]) -> str:
    """Return a version that changes exactly when the bento's content does."""
    digest = hashlib.sha256(f"bentoml {version('bentoml')}\n".encode())
    for name in sorted(files):
        digest.update(f"{name}\n{len(files[name])}\n".encode() + files[name])
    return digest.hexdigest()[:16]


def build(files: Mapping[str, bytes], description: str) -> bytes:
    """Return the bento of these files (by path in the bento's `src`) as the content of a .bento file."""
    with TemporaryDirectory(prefix="hearth-bento-") as scratch:
        context, home = Path(scratch, "context"), Path(scratch, "home")
        for name, content in files.items():
            target = context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        arguments = [
            EPOCH.isoformat(),
            NAME,
            content_version(files),
            str(context),
            description,
            CONTAINER_PYTHON,
            *sorted(files),
        ]
        environment = environment_of(home) | {"PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, *arguments],
            env=environment,
            cwd=context,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Refusal(f"BentoML could not build the bento: {(done.stderr.strip() or done.stdout.strip())[-2000:]}")
        return _archive(home / "bentos" / NAME / content_version(files))


def _archive(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in (folder, *sorted(folder.rglob("*"))):
            name = "." if path == folder else f"./{path.relative_to(folder).as_posix()}"
            member = tarfile.TarInfo(name)
            member.type, member.mode = (tarfile.DIRTYPE, 0o755) if path.is_dir() else (tarfile.REGTYPE, 0o644)
            member.mtime, member.uname, member.gname = int(EPOCH.timestamp()), "root", "root"
            content = b"" if path.is_dir() else path.read_bytes()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return lzma.compress(buffer.getvalue(), preset=6)


def _imported(archive: Path, home: Path) -> list[str]:
    """Import a .bento file into the BENTOML_HOME `home`; return the command that serves it as long as this process lives."""
    importing = [sys.executable, "-m", "bentoml", "import", str(archive.resolve())]
    done = subprocess.run(importing, env=environment_of(home), cwd=home, capture_output=True, text=True, check=False)
    folders = list((home / "bentos" / NAME).glob("*/"))
    if done.returncode or len(folders) != 1:
        raise Refusal(f"{archive} is no bento that BentoML can import: {done.stderr.strip()[-500:]}")
    return [sys.executable, "-c", _SERVE, str(os.getpid()), "serve", f"{NAME}:{folders[0].name}"]


@contextmanager
def served(
    archive: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Serve a .bento file on a free port of the loopback; yield its address and process once it is ready.

    `environment` is added to this process's own, but for where predictions are logged to: what a check asks is nobody's house.
    Refuse with the end of the server's log if it does not start; stop it at the end.
    """
    with TemporaryDirectory(prefix="hearth-serve-") as scratch:
        home, log, port = Path(scratch, "home"), Path(scratch, "log"), free_port()
        command = [*_imported(archive, home), "--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as out:
            server = subprocess.Popen(
                command,
                env=_unlogged(environment_of(home)) | dict(environment or {}),
                cwd=home,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            _wait(server, port, log)
            yield f"http://127.0.0.1:{port}", server
        finally:
            stop(server)


def _unlogged(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name != LOG_DIR}


def unpack(content: bytes, name: str, folder: Path) -> None:
    """Unpack the content of a .bento file; refuse one that is none, or is cut off, or would write outside the folder.

    `name` is what refusals call it.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(content))) as tar:
            extract(tar, folder)
    except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
        raise Refusal(f"{name} is no whole bento ({error}); `dvc checkout` brings back the last good one.") from None


def extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Extract plain files and folders; raise TarError for a link, a device, or a name that leads out of the folder."""
    for member in archive.getmembers():
        inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
        if not inside or not (member.isreg() or member.isdir()):
            raise tarfile.ReadError(f"{member.name} would be no plain file inside {folder.name}")
    # Pythons before 3.11.4, Debian 12's among them, know no filter; later ones want one.
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)  # noqa: S202 -- held to the rules above


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if ready("127.0.0.1", port):
            return
        time.sleep(0.1)
    raise Refusal(
        f"the bento's service did not become ready; the end of its log:\n{log.read_text(errors='replace')[-3000:]}"
    )


def ready(host: str, port: int) -> bool:
    """Return whether the service there says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def stop(server: "subprocess.Popen[bytes]") -> None:
    """Let the server and its worker finish, and end them if they do not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is None:
            os.killpg(server.pid, sign)
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                continue


def free_port() -> int:
    """Return a port of the loopback that nobody listened on a moment ago.

    Not one that the system would give: it gives those to others too, and BentoML's own parts take some while they start.
    """
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Refusal(f"no port of {PORTS.start} to {PORTS.stop - 1} was free in a hundred tries; stop some servers.")


def environment_of(home: Path) -> dict[str, str]:
    """Return the environment of a BentoML process: a home of its own, no telemetry, one thread."""
    home.mkdir(parents=True, exist_ok=True)
    outer = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return outer | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}
