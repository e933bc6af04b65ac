"""Start a real S3 store, SeaweedFS, on loopback until Ctrl-C, and say how it becomes the DVC remote: `make storage`."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path("data/storage")  # ignored by git
USERS, KEYS, LOG = FOLDER / "s3.json", FOLDER / "keys", FOLDER / "log"
BUCKET = "hearth"
READY_S, STOP_S = 60, 3
NEXT = f"""S3 answers at {{address}}; its data, keys and log are in {FOLDER}. Once, in another terminal of this clone:

  dvc remote add --local --default storage s3://{BUCKET}/dvc
  dvc remote modify --local storage credentialpath {KEYS}
  dvc remote modify --local storage verify true    # else DVC takes a damaged object without a word

Then `dvc push` and `dvc pull`. Ctrl-C ends the store; what it holds stays."""


def main(port: int) -> int:
    """Run the store; return the exit status."""
    os.chdir(Path(__file__).resolve().parent.parent)
    parts = {"s3": port, "filer": port + 1, "master": port + 2, "volume": port + 3}
    for number in (
        number + more for more in (0, 10_000) for number in parts.values()
    ):  # SeaweedFS: 10,000 more for gRPC
        if taken(number):
            print(f"error: port {number} of 127.0.0.1 is taken; end what listens there, or `make storage PORT=N`, with N to "
                  "N + 3, and the same plus 10,000, free.", file=sys.stderr)  # fmt: skip
            return 1
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{port}"
    key, secret = keys(address)
    options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={FOLDER}", "-filer", "-s3", f"-s3.config={USERS}",
               "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
               "-master.volumeSizeLimitMB=64", "-volume.max=0",
               # Alone it need not wait for others: it starts again within 3 s instead of 20.
               "-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms", "-volume.preStopSeconds=0",
               *(f"-{name}.port={number}" for name, number in parts.items())]  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with LOG.open("ab") as log:
        weed = subprocess.Popen([Path(sys.executable).with_name("weed"), "-logtostderr=true", "server", *options],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip
    try:
        if not ready(weed, address, key, secret):
            print(f"error: SeaweedFS did not start; the end of {LOG} says why.", file=sys.stderr)
            return 1
        print(NEXT.format(address=address), flush=True)
        print(f"error: SeaweedFS ended by itself ({weed.wait()}); the end of {LOG} says why.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        end(weed)
        for number in (number + more for more in (0, 10_000) for number in parts.values()):
            for left in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):  # noqa: S108 -- SeaweedFS's own choice
                left.unlink(missing_ok=True)


def taken(port: int) -> bool:
    """Return whether somebody listens on a port of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what ended a moment ago is no listener
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def keys(address: str) -> tuple[str, str]:
    """Return the key and the secret that are kept, made at the first start; write them as DVC and as SeaweedFS want them."""
    try:
        known = json.loads(USERS.read_text())["identities"][0]["credentials"][0]
        key, secret = str(known["accessKey"]), str(known["secretKey"])
    except FileNotFoundError:
        key, secret = secrets.token_hex(10), secrets.token_hex(20)
    except (ValueError, LookupError, TypeError):
        raise SystemExit(f"error: {USERS} holds no keys of SeaweedFS; delete it, and new ones are made.") from None
    user = {"name": "hearth", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
    private(USERS, json.dumps({"identities": [user]}))
    private(KEYS, f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
                  f"endpoint_url = {address}\nregion = us-east-1\n")  # fmt: skip
    return key, secret


def private(path: Path, text: str) -> None:
    """Write a file that nobody else may read."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def ready(weed: "subprocess.Popen[bytes]", address: str, key: str, secret: str) -> bool:
    """Make the bucket, and wait until an object in it comes back; return whether that came to pass."""
    from s3fs import S3FileSystem

    deadline, port = time.monotonic() + READY_S, int(address.rpartition(":")[2])
    while weed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
        if not taken(port):
            continue
        files = S3FileSystem(key=key, secret=secret, client_kwargs={"endpoint_url": address}, skip_instance_cache=True)
        with contextlib.suppress(OSError):
            if not files.exists(BUCKET):
                files.mkdir(BUCKET)
            files.pipe(f"{BUCKET}/ready", b"yes")
            if files.cat(f"{BUCKET}/ready") == b"yes":
                return True
    return False


def end(weed: "subprocess.Popen[bytes]") -> None:
    """End SeaweedFS in its own way; kill it if it dawdles, as it does for up to a minute: what it acknowledged is written."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C is not to leave it behind
    weed.terminate()
    try:
        weed.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        weed.kill()
        weed.wait()


if __name__ == "__main__":
    if len(sys.argv) > 2 or not all(word.isdecimal() and 1024 <= int(word) <= 55_000 for word in sys.argv[1:]):
        raise SystemExit("error: wanted one port from 1024 to 55000, as in `make storage PORT=8333`.")
    sys.exit(main(int((sys.argv[1:] or ["8333"])[0])))
