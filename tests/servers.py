"""Start real servers for DVC on free ports of the loopback: S3 (rclone), SSH (sshd), HTTP, and a way to them that is slow."""

import getpass
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import needs

from hearth.bento import free_port

KEY, SECRET = "a-key", "a-secret-of-tests"
BUCKET = "dvc"
WITHIN_S = 20


@dataclass
class Server:
    """Be a server's process, which can be killed and started again at the same port with what it holds."""

    command: list[str]
    port: int
    store: Path  # where it keeps what it is given
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)  # fmt: skip
        deadline = time.monotonic() + WITHIN_S
        while not listens(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"{self.command[0]} did not start: {self.log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, with all that it started."""
        if self.process is not None:
            for one in family(self.process.pid):  # sshd gives each connection a session of its own
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            self.process.wait(timeout=WITHIN_S)


def family(first: int) -> list[int]:
    """Return a process and all that it started, and they."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found = [first]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def listens(port: int) -> bool:
    """Return whether somebody listens on a port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


def s3(folder: Path) -> Server:
    """Return an S3 server that keeps each object as a plain file below `folder`."""
    port, store = free_port(), folder / "s3"
    (store / BUCKET).mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key",
               f"{KEY},{SECRET}", "--config", os.devnull, "--vfs-cache-mode", "off", "--dir-cache-time", "20ms",
               str(store)]  # fmt: skip
    return Server(command, port, store / BUCKET, folder / "s3.log")


def ssh(folder: Path, store: Path | None = None) -> Server:
    """Return an SSH server that lets in who runs the tests, with the key `folder/id` only."""
    program = needs("/usr/sbin/sshd", "sshd", package="openssh-server")
    keygen = needs("ssh-keygen", package="openssh-client")
    if os.geteuid() == 0:  # where no sshd runs as a service nobody has made it yet
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o700)
    port = free_port()
    for name in ("host", "id"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "id.pub").rename(folder / "authorized")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
    )
    store = store or folder / "ssh"
    store.mkdir(exist_ok=True)
    return Server([program, "-D", "-e", "-f", str(folder / "sshd_config")], port, store, folder / "sshd.log")


def http(folder: Path, store: Path) -> Server:
    """Return a web server of a folder."""
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(store)]
    return Server(command, port, store, folder / "http.log")


def user() -> str:
    return getpass.getuser()


@dataclass
class Way:
    """Be a way to a server that lets through so many bytes a second, or nothing any more, and counts them."""

    target: int
    rate: float
    port: int
    passed: int = 0
    more: threading.Condition = field(default_factory=threading.Condition)
    cut: threading.Event = field(default_factory=threading.Event)

    def wait_for(self, count: int) -> None:
        """Wait until so many bytes have passed."""
        with self.more:
            assert self.more.wait_for(lambda: self.passed >= count, WITHIN_S), f"only {self.passed} bytes passed"

    def carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 15):
                other.sendall(data)
                with self.more:
                    self.passed += len(data)
                    self.more.notify_all()
                if self.cut.wait(len(data) / self.rate):
                    break
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def way(target: int, rate: float, port: int | None = None) -> Iterator[Way]:
    """Open a way to a port; both directions of a connection have the same rate. At its end all of it is cut."""
    slow = Way(target, rate, port or free_port())
    threads: list[threading.Thread] = []
    ends: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", slow.port)) as door:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    near, _ = door.accept()
                    ends.append(near)
                    try:
                        far = socket.create_connection(("127.0.0.1", target))
                    except OSError:  # the server is dead: so is the way
                        near.close()
                        continue
                    ends.append(far)
                    for pair in ((near, far), (far, near)):
                        threads.append(threading.Thread(target=slow.carry, args=pair, daemon=True))
                        threads[-1].start()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield slow
        finally:
            slow.cut.set()
            with suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            listener.join(WITHIN_S)
            for end in ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(WITHIN_S)
            for end in ends:
                end.close()
