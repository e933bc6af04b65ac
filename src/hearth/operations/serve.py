"""Serve the bento of the workspace on this machine until Ctrl-C."""

import argparse

from hearth.bento import serve_forever
from hearth.paths import BENTO, LOG


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the address; loopback unless told otherwise."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=3000, help="port to listen on")


def run(options: argparse.Namespace) -> int:
    """Serve; return the server's exit status."""
    return serve_forever(BENTO, options.host, options.port, LOG)
