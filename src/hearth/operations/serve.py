"""Serve the release that is the champion, or, while nothing is released, the workspace's bento, until Ctrl-C.

A promotion or a rollback is taken up within seconds: the server is stopped and the new champion's takes its place.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hearth.clock import CLOCK
from hearth.errors import Refusal
from hearth.journal import LOG_DIR
from hearth.keeper import Served, serve_forever
from hearth.native import NATIVE, OFF
from hearth.params import section
from hearth.paths import BENTO, LOG, MODEL
from hearth.paths import SIGNATURE as SIGNATURE_FILE
from hearth.registry import fetch, releases
from hearth.releases import ARTIFACT, History, ReleaseParams
from hearth.revisions import revision
from hearth.shadow import SHADOW, SHADOW_SIGNATURE
from hearth.signing import PUBLIC_KEY, SIGNATURE
from hearth.storage import read_bytes


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the address; loopback unless told otherwise."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=3000, help="port to listen on")
    parser.add_argument("--workspace", action="store_true", help="serve the workspace's bento, whatever is released")
    parser.add_argument("--shadow", metavar="REV",
                        help="let the model of this revision price the same houses; its prices go to the log only")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Serve; return the server's exit status. A service that asks for a signature is shown the one of `hearth sign`."""
    for name in (PUBLIC_KEY, SIGNATURE, SHADOW, SHADOW_SIGNATURE, LOG_DIR, CLOCK, NATIVE):
        if (given := os.environ.get(name)) and (name, given) != (NATIVE, OFF):
            os.environ[name] = str(Path(given).absolute())  # the server runs in another folder
    with shadowed(options.shadow):
        return _serve(options)


@contextmanager
def shadowed(name: str | None) -> Iterator[None]:
    """Give every server that is started meanwhile the model of a revision for a shadow, if one is named.

    A server that cannot open it, such as one whose code computes other features, says so and serves without.
    """
    if name is None:
        yield
        return
    files = revision(name).folder(MODEL)
    with TemporaryDirectory(prefix="hearth-shadow-") as scratch:
        for file, content in files.items():
            Path(scratch, file).write_bytes(content)
        os.environ[SHADOW] = scratch
        print(f"{MODEL} of {name} shadows what is served; GET /readyz says whether it can", flush=True)
        try:
            yield
        finally:
            del os.environ[SHADOW]


def _serve(options: argparse.Namespace) -> int:
    if options.workspace:
        return serve_forever(of_workspace(), options.host, options.port, LOG, lambda: None)
    environment = section("releases", ReleaseParams).environment
    try:
        known = releases(environment)
    except Refusal as refusal:  # no git, no repository, or a shallow clone
        print(f"note: what is released cannot be known here: {refusal}", file=sys.stderr, flush=True)
        return serve_forever(of_workspace(), options.host, options.port, LOG, lambda: None)
    first = of_workspace() if known.champion is None else of_champion(known)
    follower = Follower(environment, known)
    return serve_forever(first, options.host, options.port, LOG, follower.newer)


class Follower:
    """Notice when the champion becomes another one than it was when last asked."""

    def __init__(self, environment: str, known: History) -> None:
        """Know what is served: the champion of this history, or, without one, the workspace's bento."""
        self.environment, self.served = environment, _identity(known)
        self.fault = ""

    def newer(self) -> Served | None:
        """Return the champion if it is another; say once what stands in the way, and leave what is served alone."""
        try:
            known = releases(self.environment)
            if known.champion is None or _identity(known) == self.served:
                return None
            found = of_champion(known)
        except Exception as error:  # whatever it is, it must not take down what is served
            if str(error) != self.fault:
                print(f"warning: {error}", file=sys.stderr, flush=True)
            self.fault = str(error)
            return None
        self.served, self.fault = _identity(known), ""
        return found


def _identity(known: History) -> tuple[str | None, str | None]:
    """Return what tells a champion from another: its version, and its signature, which a second promotion may add."""
    return (known.champion.version if known.champion else None), known.signature


def of_champion(known: History) -> Served:
    """Return the champion's bento, with the signature that its tags carry."""
    if (champion := known.champion) is None:
        raise Refusal(f"nothing is released in {known.environment}; `hearth promote` releases HEAD.")
    name = f"the release {ARTIFACT} {champion.version} (commit {champion.commit[:7]})"
    return Served(name, fetch(champion), known.signature.encode() if known.signature else None)


def of_workspace() -> Served:
    """Return the workspace's bento, with the signature of `hearth sign` where there is one and no other is named."""
    own = SIGNATURE_FILE.is_file() and SIGNATURE not in os.environ
    return Served(f"the workspace's {BENTO}", read_bytes(BENTO), read_bytes(SIGNATURE_FILE) if own else None)
