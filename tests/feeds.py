"""Start the real servers that sales come from, each with a folder of its own on the loopback, and end them: nothing stays behind."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from conftest import needs

from hearth.bento import free_port

WITHIN_S = 60  # generous: a machine under load; usually one to three
USER = "collector"
PASSWORD = "s3cret p@ss/w+rd%&'"  # what has to be written in another way in an address  # noqa: S105
TOPIC = "sales/2014"


@dataclass(frozen=True)
class Server:
    """Be a server that listens on the loopback for one user with a password."""

    process: subprocess.Popen[bytes]
    port: int
    scheme: str
    query: Callable[..., list[Any]]
    """Ask it in a connection of its own, as the one who may do all."""

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hearth"


@contextmanager
def own_folder(name: str, user: str) -> Iterator[Path]:
    """Yield a short-lived folder that this user owns: pytest's own folders are closed to other users, and long for a socket."""
    with TemporaryDirectory(prefix=f"hearth-{name}-") as folder:
        if os.getuid() == 0:
            shutil.chown(folder, user)
        yield Path(folder)


@contextmanager
def running(
    command: Sequence[str], log: Path, ready: Callable[[], Any], end: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the `with` ends; it has begun when `ready` raises nothing."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/")
    try:
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                ready()
                break
            except Exception:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')}") from None
                time.sleep(0.05)
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def knock(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), 1).close()


def this_user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@contextmanager
def postgres() -> Iterator[Server]:
    """Run PostgreSQL with a database `hearth`. It refuses root, so root runs it as the user that Debian's package makes."""
    from adbc_driver_postgresql import dbapi

    found = sorted(glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]), reverse=True)
    binaries = Path(needs(*found, "initdb", package="postgresql")).parent
    user = "postgres" if os.getuid() == 0 else this_user()
    becoming = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.getuid() == 0 else []
    port = free_port()
    uri = f"postgresql://127.0.0.1:{port}/postgres?user={USER}&password={quote(PASSWORD, safe='')}"

    def query(question: str, table: Any = None, database: str = "hearth") -> list[Any]:
        with closing(dbapi.connect(uri.replace("/postgres?", f"/{database}?"), autocommit=True)) as connection:  # noqa: SIM117
            with connection.cursor() as cursor:
                if table is not None:
                    cursor.adbc_ingest(question, table, mode="create")
                    return []
                cursor.execute(question)
                return list(cursor.fetchall()) if cursor.description else []

    with own_folder("postgres", user) as folder:
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        made = subprocess.run(
            [*becoming, binaries / "initdb", "--pgdata", folder / "data", "--username", USER, "--pwfile", secret,
             "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        # A server in another time zone than UTC, as many are.
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off",
                    "full_page_writes": "off", "timezone": "America/Los_Angeles"}  # fmt: skip
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [*becoming, str(binaries / "postgres"), "-D", str(folder / "data"), *words]
        # At SIGTERM it would wait for its clients.
        with running(command, folder / "log", lambda: query("SELECT 1", database="postgres"), signal.SIGINT) as process:
            query("CREATE DATABASE hearth", database="postgres")
            yield Server(process, port, "postgresql", query)


@contextmanager
def mariadb() -> Iterator[Server]:
    """Run MariaDB with a database `hearth`."""
    import pymysql

    install = needs("mariadb-install-db", package="mariadb-server")
    binary = needs("mariadbd", "/usr/sbin/mariadbd", package="mariadb-server")
    port, user = free_port(), this_user()

    with own_folder("mariadb", user) as folder:
        door = str(folder / "socket")

        def query(question: str, *rows: Any, database: str | None = "hearth") -> list[Any]:
            asked = pymysql.connect(unix_socket=door, user="root", autocommit=True, database=database)
            with closing(asked) as connection:  # noqa: SIM117
                with connection.cursor() as cursor:
                    cursor.executemany(question, rows) if rows else cursor.execute(question)
                    return list(cursor.fetchall())

        made = subprocess.run(
            [install, "--no-defaults", f"--datadir={folder}/data", "--auth-root-authentication-method=normal",
             "--skip-test-db", f"--user={user}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout + made.stderr
        command = [binary, "--no-defaults", f"--datadir={folder}/data", f"--socket={door}", f"--port={port}",
                   "--bind-address=127.0.0.1", f"--user={user}", f"--pid-file={folder}/pid", "--innodb-flush-method=nosync",
                   "--innodb-flush-log-at-trx-commit=0"]  # fmt: skip
        with running(command, folder / "log", lambda: knock(port)) as process:
            query("CREATE DATABASE hearth", database=None)
            secret = PASSWORD.replace("'", "''")
            query(f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{secret}'")
            query(f"GRANT SELECT ON hearth.* TO {USER}@'127.0.0.1'")
            yield Server(process, port, "mysql", query)


@contextmanager
def mosquitto(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run an MQTT broker that keeps what it has in `folder`, where the collector may read one topic, and the test may all."""
    binary = needs("mosquitto", "/usr/sbin/mosquitto")
    (folder / "topics").write_text(f"user {USER}\ntopic read sales/#\nuser publisher\ntopic readwrite #\n")
    secrets = folder / "passwords"
    secrets.write_text(f"{USER}:{PASSWORD}\npublisher:publisher\n")
    for path in (secrets, folder / "topics"):
        path.chmod(0o600)
    subprocess.run([needs("mosquitto_passwd", package="mosquitto"), "-U", secrets], check=True, capture_output=True)
    (folder / "conf").write_text(
        f"""
        listener {port} 127.0.0.1
        user {this_user()}
        allow_anonymous false
        password_file {secrets}
        acl_file {folder}/topics
        persistence true
        persistence_location {folder}/
        max_queued_messages 0
    """.replace("        ", "")
    )

    with running([binary, "-c", str(folder / "conf")], folder / "log", lambda: knock(port)) as process:
        yield process
