"""Push to real servers and pull from them, by the recipes of docs/operations.md; and break them in the middle of it."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest
import tiny
from conftest import PROJECT, STAGES, Checkout, Remade, checkout_at
from faulty import mounted
from servers import BUCKET, KEY, SECRET, Server, http, running, s3, ssh, user, way

from hearth.bento import free_port
from hearth.locks import md5

project = tiny.project
RUNBOOK = (PROJECT / "docs/operations.md").read_text()
BIG = 24 << 20  # bytes; so many that a server can be killed in the midst of them
RATE = 24e6
# Runs lines of DVC's command in one process, since loading it takes most of their time.
ALL = "import sys; from dvc.cli import main; sys.exit(any(main(line.split()[1:]) for line in sys.argv[1:]))"
WRONG = {"AWS_SECRET_ACCESS_KEY": "wrong"}


def recipe(title: str) -> list[str]:
    """Return the commands of a recipe in the runbook that set the remote, without those that commit and push."""
    block = re.search(rf"^### {title}.*?^```sh\n(.*?)^```", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    assert block, title
    lines = [line.partition("  #")[0].strip() for line in block[1].splitlines()]
    return [line for line in lines if line.startswith("dvc remote ")]


def follow(checkout: Checkout, title: str, **names: str) -> None:
    """Type a recipe with the names that it leaves open filled in; drop the default that is there."""
    commands = recipe(title)
    for name, value in names.items():
        commands = [command.replace(name, value) for command in commands]
    assert not [command for command in commands if re.search(r"\b[A-Z]{3,}\b", command)], "a name is left open"
    checkout.run(sys.executable, "-c", ALL, "dvc remote default --unset", *commands)


def said(checkout: Checkout, *command: str, status: int, **more: str) -> str:
    """Return what a command says, once its exit status is what it should be; it never shows a traceback."""
    done = checkout.run(*command, check=False, **more)
    text = done.stdout + done.stderr
    assert done.returncode == status, text
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one S3 server for the tests that leave it alive."""
    with running(s3(tmp_path_factory.mktemp("s3"))) as server:
        yield server


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one SSH server for the tests that leave it alive."""
    with running(ssh(tmp_path_factory.mktemp("ssh"))) as server:
        yield server


def keys(**other: str) -> dict[str, str]:
    """Return the environment in which S3 lets us in, and DVC does not try for long where nobody is."""
    return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1"} | other  # fmt: skip


def here(root: Path, site: Path) -> Checkout:
    return checkout_at(root, PYTHONPATH=str(PROJECT / "src"), DVC_SITE_CACHE_DIR=str(site), **keys())


def to_s3(checkout: Checkout, port: int, bucket: str) -> None:
    follow(checkout, "S3", BUCKET=f"{BUCKET}/{bucket}", **{"https://HOST:PORT": f"http://127.0.0.1:{port}"})


def to_ssh(checkout: Checkout, server: Server, folder: str, port: int | None = None) -> None:
    (server.store / folder).mkdir(exist_ok=True)
    follow(checkout, "SSH", **{"/FOLDER": str(server.store / folder), "USER": user(), "HOST": "127.0.0.1",
                               "PORT": str(port or server.port), "~/.ssh/id_ed25519": str(server.log.parent / "id")})  # fmt: skip


# There and back


def cloned(checkout: Checkout, target: Path) -> Checkout:
    """Clone for somebody else: an empty cache, and nothing that DVC remembers; what is in config.local comes along."""
    subprocess.run(["git", "clone", "--quiet", checkout.root, target], check=True)
    if (own := checkout.root / ".dvc/config.local").exists():
        shutil.copy(own, target / ".dvc")
    return Checkout(target, checkout.environment | {"DVC_SITE_CACHE_DIR": str(target.parent / "site-of-other")}
                    | ({"PYTHONPATH": str(target / "src")} if (target / "src/hearth/cli.py").exists() else {}))  # fmt: skip


def all_is_there(other: Checkout, stages: tuple[str, ...]) -> None:
    """Hold that after `dvc pull` nothing runs and nothing changes."""
    assert not (other.root / ".dvc/cache").exists()
    other.run("dvc", "pull")
    text = other.run("dvc", "repro").stdout
    assert "Running stage" not in text
    assert [f"Stage '{name}' didn't change, skipping" in text for name in stages] == [True] * len(stages)
    assert other.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize("kind", ["S3", "SSH"])
def test_the_whole_project_comes_back_from_a_remote_and_nothing_runs(
    remade: Remade, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue({"S3": "store", "SSH": "host"}[kind])
    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", remade.checkout.root, root], check=True)
    own = {"PYTHONPATH": str(root / "src"), "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    checkout = Checkout(root, remade.checkout.environment | own | keys())
    # Not by cache.dir: DVC's own writer of settings takes no path like this one.
    (root / ".dvc/cache").symlink_to(remade.checkout.root / ".dvc/cache")
    to_s3(checkout, server.port, "whole") if kind == "S3" else to_ssh(checkout, server, "whole")
    checkout.run("git", "commit", "--quiet", "--message", "Name the DVC remote", ".dvc/config")
    assert "is not on store" in said(checkout, "hearth", "pushed", status=1)
    checkout.run("dvc", "push")
    assert "others can get each of them" in said(checkout, "hearth", "pushed", status=0)
    other = cloned(checkout, tmp_path / "other")
    all_is_there(other, STAGES)
    assert (other.root / "models/house_prices.bento").stat().st_size > 100_000


@pytest.mark.parametrize("kind", ["HTTP", "A folder"])
def test_a_project_comes_back_from_a_folder_and_from_a_web_server_that_publishes_it(
    project: Path, tmp_path: Path, kind: str
) -> None:
    checkout = here(project, tmp_path / "site")
    folder = tmp_path / "published"
    with ExitStack() as stack:
        follow(checkout, "A folder", **{"/FOLDER": str(folder)})
        checkout.run("dvc", "push")
        if kind == "HTTP":
            port = stack.enter_context(running(http(tmp_path, folder))).port
            follow(checkout, "HTTP", **{"https://HOST:PORT": f"http://127.0.0.1:{port}"})
            tiny.write(project, "data/in.txt", "new\n")
            checkout.run("dvc", "add", "data/in.txt")
            assert "ERROR: " in said(checkout, "dvc", "push", status=1), "it is read-only"
            checkout.run("git", "checkout", "--", "data/in.txt.dvc")
        checkout.run("git", "commit", "--quiet", "--message", "Name the DVC remote", ".dvc/config")
        assert "others can get each of them" in said(checkout, "hearth", "pushed", status=0)
        all_is_there(cloned(checkout, tmp_path / "other"), ("make", "use"))


def test_one_dataset_of_an_old_release_comes_alone(project: Path, store: Server, tmp_path: Path) -> None:
    checkout = here(project, tmp_path / "site")
    to_s3(checkout, store.port, "old")
    tiny.commit(project, "Name the DVC remote")
    tiny.git(project, "tag", "house-prices@v0.1.0")
    checkout.run("dvc", "push")
    tiny.write(project, "data/in.txt", "newer\n")
    checkout.run("dvc", "add", "data/in.txt")
    checkout.run("dvc", "push")
    tiny.commit(project, "newer data")
    (tmp_path / "elsewhere").mkdir()
    shutil.rmtree(project / ".dvc/cache")
    other = here(tmp_path / "elsewhere", tmp_path / "other-site")
    line = next(line for line in RUNBOOK.splitlines() if line.startswith("dvc get URL"))
    line = line.partition("  #")[0].replace("URL", str(project)).replace("data/raw/sales.parquet", "data/in.txt")
    other.run(*line.split())
    assert [(path.name, path.read_text()) for path in other.root.iterdir()] == [("in.txt", "the source\n")]


# Faults


@contextmanager
def at(kind: str, folder: Path, store: Path | None = None) -> Iterator[Server]:
    with running(s3(folder) if kind == "S3" else ssh(folder, store)) as server:
        yield server


def with_big_file(root: Path, size: int = BIG) -> tuple[Path, bytes]:
    """Add a file that takes a while; return its path and its content."""
    content = Random(7).randbytes(size)  # noqa: S311 -- bytes to carry, no secret
    (root / "data/big").write_bytes(content)
    tiny.dvc(root, "add", "data/big")
    tiny.commit(root, "a big file")
    return root / "data/big", content


def nothing_wrong(root: Path, content: bytes) -> None:
    """Hold that the big file is whole or not there, in the work tree, in the cache and under an object's name."""
    oid = md5(content)
    for path in (root / "data/big", root / ".dvc/cache/files/md5" / oid[:2] / oid[2:]):
        assert not path.exists() or path.read_bytes() == content


@pytest.mark.parametrize("kind", ["S3", "SSH"])
def test_a_server_that_is_killed_on_the_way_leaves_no_wrong_byte_and_the_same_command_goes_on(
    project: Path, tmp_path: Path, kind: str
) -> None:
    checkout = here(project, tmp_path / "site")
    path, content = with_big_file(project)
    oid = md5(content)
    port = free_port()
    (tmp_path / "server").mkdir()
    with at(kind, tmp_path / "server") as server:
        to_s3(checkout, port, "big") if kind == "S3" else to_ssh(checkout, server, "big", port)
        for command in ("push", "pull"):
            with way(server.port, RATE, port) as slow:
                dvc = subprocess.Popen(["dvc", command], cwd=project, env=checkout.environment, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
                slow.wait_for(BIG // 3)
                server.kill()
            text = dvc.communicate(timeout=60)[0]
            assert dvc.returncode in (1, 255), text
            assert re.search(r"ERROR: failed to (transfer|connect)", text), text
            assert "Traceback" not in text
            nothing_wrong(project, content)
            if command == "push":
                assert not list(server.store.rglob(oid[2:])), "half an object has the name of a whole one"
            else:
                assert not path.exists()
            server.start()
            with way(server.port, 1e9, port):
                checkout.run("dvc", command)
                if command == "push":
                    (there,) = server.store.rglob(oid[2:])
                    assert there.read_bytes() == content
                    shutil.rmtree(project / ".dvc/cache")
                    path.unlink()
        assert path.read_bytes() == content


def test_a_slow_server_is_waited_for_and_one_that_hangs_is_not_for_ever(
    project: Path, store: Server, tmp_path: Path
) -> None:
    checkout = here(project, tmp_path / "site")
    path, content = with_big_file(project, BIG // 8)
    port = free_port()
    to_s3(checkout, port, "slow")
    with way(store.port, 1e9, port):
        checkout.run("dvc", "push")
    shutil.rmtree(project / ".dvc/cache")
    path.unlink()
    with way(store.port, BIG / 16, port):
        start = time.monotonic()
        checkout.run("dvc", "pull", "data/big.dvc")
        assert time.monotonic() - start > 1.9
    assert path.read_bytes() == content
    shutil.rmtree(project / ".dvc/cache")
    path.unlink()
    checkout.run("dvc", "remote", "modify", "store", "read_timeout", "1")
    with way(store.port, 1, port):  # a byte a second
        assert "ERROR: failed to " in said(checkout, "dvc", "pull", "data/big.dvc", status=1)
    assert not path.exists()


def test_wrong_keys_are_told_and_change_nothing(project: Path, store: Server, tmp_path: Path) -> None:
    checkout = here(project, tmp_path / "site")
    to_s3(checkout, store.port, "keys")
    assert "Forbidden" in said(checkout, "dvc", "push", status=255, **WRONG)
    assert not list(store.store.glob("keys/**/*"))
    text = said(checkout, "hearth", "pushed", status=2, **WRONG)
    assert re.search(r"error: the DVC remote store cannot be asked \(.*(signature|Forbidden)", text)
    checkout.run("dvc", "push")
    shutil.rmtree(project / ".dvc/cache")
    assert "Forbidden" in said(checkout, "dvc", "pull", status=1, **WRONG)
    checkout.run("dvc", "pull")


def test_an_ssh_key_that_the_host_does_not_know_is_told(project: Path, host: Server, tmp_path: Path) -> None:
    checkout = here(project, tmp_path / "site")
    to_ssh(checkout, host, "keys")
    checkout.run("dvc", "remote", "modify", "--local", "store", "keyfile", str(host.log.parent / "host"))
    assert "Permission denied" in said(checkout, "dvc", "push", status=255)
    assert list((host.store / "keys").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "4m"):
        yield tmp_path / "disk"


@pytest.mark.parametrize("kind", ["S3", "SSH", "A folder"])
def test_a_full_remote_is_told_and_after_making_room_the_push_goes_on(
    project: Path, tmp_path: Path, small_disk: Path, kind: str
) -> None:
    checkout = here(project, tmp_path / "site")
    path, content = project / "data/big", b"x" * (3 << 20)
    path.write_bytes(content)
    tiny.dvc(project, "add", "data/big")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (2 << 20))
    with ExitStack() as stack:
        if kind == "A folder":
            follow(checkout, kind, **{"/FOLDER": str(small_disk / "store")})
        else:
            (tmp_path / "server").mkdir()
            (small_disk / BUCKET).mkdir()
            (tmp_path / "server/s3").symlink_to(small_disk)
            server = stack.enter_context(at(kind, tmp_path / "server", small_disk))
            to_s3(checkout, server.port, "full") if kind == "S3" else to_ssh(checkout, server, "full")
        text = said(checkout, "dvc", "push", status=1)
        assert re.search(
            {"S3": "internal error|InternalError", "SSH": "Failure|No space", "A folder": r"No space left"}[kind], text
        )
        assert not list(small_disk.rglob(md5(content)[2:])), "half an object has the name of a whole one"
        filler.unlink()
        for cut in small_disk.rglob(".*.tmp"):  # what a cut push leaves in a folder takes room too, says the runbook
            cut.unlink()
        checkout.run("dvc", "push")
        (there,) = small_disk.rglob(md5(content)[2:])
        assert there.read_bytes() == content


def damage(path: Path) -> None:
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["S3", "SSH"])
def test_a_damaged_object_is_refused_found_and_mended(
    project: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue({"S3": "store", "SSH": "host"}[kind])
    checkout = here(project, tmp_path / "site")
    to_s3(checkout, server.port, "damaged") if kind == "S3" else to_ssh(checkout, server, "damaged")
    tiny.commit(project, "Name the DVC remote")
    checkout.run("dvc", "push")
    oid = md5(b"the source\n")
    (there,) = (server.store / "damaged").rglob(oid[2:])
    damage(there)
    assert "Everything is up to date" in checkout.run("dvc", "push").stdout, "DVC would mend it by itself"
    other = cloned(checkout, tmp_path / "other")
    assert "missing-files" in said(other, "dvc", "pull", "data/in.txt.dvc", status=1)
    assert not (other.root / "data/in.txt").exists()
    assert not (other.root / ".dvc/cache/files/md5" / oid[:2] / oid[2:]).exists()
    text = said(other, "hearth", "pushed", "--read", status=1)
    assert f"data/in.txt of {tiny.git(project, 'rev-parse', '--short=7', 'HEAD')} is damaged on store" in text
    assert f"/files/md5/{oid[:2]}/{oid[2:]}\n" in text

    careless = cloned(checkout, tmp_path / "careless")
    careless.run("dvc", "remote", "modify", "store", "verify", "false")
    done = careless.run("dvc", "pull", "data/in.txt.dvc", check=False)
    assert done.returncode == 0, "without verify DVC takes it: if not, the recipes need no verify"
    assert (careless.root / "data/in.txt").read_bytes() != b"the source\n"

    there.unlink()
    time.sleep(0.1)  # the S3 server remembers a folder for 20 ms
    checkout.run("dvc", "push")
    other.run("dvc", "pull")
    assert (other.root / "data/in.txt").read_bytes() == b"the source\n"
    assert "others can get each of them" in said(other, "hearth", "pushed", "--read", status=0)


# The recipes


def unverified(text: str) -> list[str]:
    """Return the remotes that a text adds without `verify true` in the same block."""
    return [
        name
        for block in re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL)
        for name in re.findall(r"dvc remote add (?:-\S+ )*(\S+)", block)
        if not re.search(rf"dvc remote modify (?:-\S+ )*{name} verify true", block)
    ]


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md"])
def test_every_recipe_verifies(page: str) -> None:
    text = (PROJECT / page).read_text()
    assert "dvc remote add" in text
    assert unverified(text) == []
    assert "dvc remote add" not in re.sub(r"(?ms)^```.*?^```", "", text), "a recipe outside a block is not looked at"


def test_a_recipe_that_does_not_verify_is_found() -> None:
    block = "```sh\ndvc remote add --default a s3://b/c\n```\n"
    assert unverified(block) == ["a"]
    assert unverified(block.replace("c\n", "c\ndvc remote modify b verify true\n")) == ["a"]
    assert unverified(block.replace("c\n", "c\ndvc remote modify --local a verify true\n")) == []


def test_the_runbook_has_a_recipe_for_each_kind_of_remote() -> None:
    kinds = {
        "S3": "s3://",
        "SSH": "ssh://",
        "HTTP": "https://",
        "A folder": "/",
        "Google": "gs://",
        "Azure": "azure://",
    }
    for title, address in kinds.items():
        assert re.fullmatch(rf"dvc remote add --default \w+ {address}\S*", recipe(title)[0])
    for title in ("Google Cloud Storage", "Azure Blob Storage"):
        assert f"### {title} (not run here)" in RUNBOOK
