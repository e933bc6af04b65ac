"""Serve the bento of the workspace on this machine until Ctrl-C."""

import argparse
import os
from pathlib import Path

from hearth.bento import serve_forever
from hearth.paths import BENTO, LOG, SIGNATURE


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the address; loopback unless told otherwise."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=3000, help="port to listen on")


def run(options: argparse.Namespace) -> int:
    """Serve; return the server's exit status. The signature of `hearth sign` is shown to a service that asks for one."""
    if public := os.environ.get("HEARTH_PUBLIC_KEY"):
        os.environ["HEARTH_PUBLIC_KEY"] = str(Path(public).absolute())  # the server runs in another folder
        os.environ.setdefault("HEARTH_SIGNATURE", str(SIGNATURE.absolute()))
    return serve_forever(BENTO, options.host, options.port, LOG)
