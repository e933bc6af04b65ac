"""Sign the released model, so that a service that names the public key serves no other.

The service asks for a signature where HEARTH_PUBLIC_KEY names a public key; HEARTH_SIGNATURE names the signature's file.
"""

import argparse
import os
from pathlib import Path

from hearth.errors import Refusal
from hearth.operations import absolute
from hearth.paths import MODEL, SIGNATURE
from hearth.release import MANIFEST, verify
from hearth.signing import new_key, sign
from hearth.storage import read_bytes, read_folder, write_bytes


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the private key, to sign with or to make."""
    parser.add_argument("--key", type=absolute, required=True, metavar="FILE", help="private key, Ed25519 in PEM")
    parser.add_argument("--new-key", action="store_true",
                        help="make the key first, and FILE.pub beside it, readable by you only; keep it out of git")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write the signature of the release's manifest, once all of its files are what the manifest says."""
    if options.new_key:
        _write_key(options.key)
    files = read_folder(MODEL)
    manifest = verify(files, str(MODEL))
    write_bytes(SIGNATURE, sign(files[MANIFEST], read_bytes(options.key), str(options.key)))
    print(f"signed {manifest.model_version}: {SIGNATURE}")
    return 0


def _write_key(path: Path) -> None:
    private, public = new_key()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
    except FileExistsError:
        raise Refusal(f"{path} exists already and is left as it is; sign without --new-key, or name another.") from None
    except OSError as error:
        raise Refusal(f"{path} cannot be written ({error.strerror}); name a file in a folder that there is.") from None
    write_bytes(path.with_name(path.name + ".pub"), public)
    print(f"made {path} and {path.name}.pub")
