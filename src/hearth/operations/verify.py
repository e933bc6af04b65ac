"""Prove that a commit's dvc.lock is true: rebuild it in an empty clone and compare every output byte by byte.

The clone gets an environment of its own from requirements.lock (--here: takes this one) and pulls only the source; the road runs
by force, without the run cache, under another path, time zone, locale, hash seed and number of threads. What each stage opens is
held to dvc.yaml. Changes that are not committed are not looked at.
Exit status 0: all is as the lock says, 1: something is not, and is named, 2: it cannot be asked so.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict

from hearth.attesting import LOCAL, attest, check
from hearth.clock import now
from hearth.errors import WrongUseError
from hearth.git import git
from hearth.operations import absolute
from hearth.rebuilding import STRAY, WATCH, conditions, interpreter
from hearth.revisions import WORKSPACE, Commit, revision
from hearth.verification import text
from hearth.verifying import verify


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the commit, what rebuilds it, and where the proof goes."""
    parser.add_argument("revision", nargs="?", default="HEAD", metavar="REV", help="the commit (HEAD)")
    made_by = parser.add_mutually_exclusive_group()
    made_by.add_argument(
        "--here", action="store_true", help="take the environment that runs this, if it is that of the lock"
    )
    made_by.add_argument("--python", metavar="PYTHON", help="make the environment of this Python (that of here)")
    parser.add_argument("--set", action="append", default=[], type=_pair, metavar="NAME=VALUE",
                        help="set a variable in the environment of the stages; may be given again")  # fmt: skip
    parser.add_argument("--keep", type=absolute, metavar="FOLDER", help="rebuild in this new folder, and leave it")
    parser.add_argument("--attest", type=absolute, metavar="FILE",
                        help="write what was proved, as an in-toto statement with SLSA's provenance; nothing if it is not")  # fmt: skip
    parser.add_argument(
        "--sign", type=absolute, metavar="FILE", help="sign the attestation with this private key (Ed25519, PEM)"
    )
    parser.add_argument("--builder", default=LOCAL, metavar="URI", help=f"who builds, for the attestation ({LOCAL})")
    parser.add_argument("--check", type=absolute, metavar="FILE",
                        help="rebuild nothing: hold an attestation to its commit and to the outputs that are here")  # fmt: skip
    parser.add_argument(
        "--signed-by", type=absolute, metavar="FILE", help="with --check: the public key that it has to be signed by"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def _pair(word: str) -> tuple[str, str]:
    name, mark, value = word.partition("=")
    if not (name and mark):
        raise argparse.ArgumentTypeError(f"{word!r} is no NAME=VALUE")
    if name in WATCH:
        raise argparse.ArgumentTypeError(f"{name} is what watches the stages; it cannot be set")
    return name, value


def run(options: argparse.Namespace) -> int:
    """Verify, or check an attestation, and say what was found."""
    if (options.sign and not options.attest) or (options.signed_by and not options.check):
        raise WrongUseError("--sign goes with --attest, and --signed-by with --check.")
    if options.check:
        return _check(options)
    commit = revision(options.revision)
    if not isinstance(commit, Commit):
        raise WrongUseError(f"{WORKSPACE} is no commit; commit what is to be verified, and name that.")
    if options.sign and not options.sign.is_file():
        raise WrongUseError(f"{options.sign} is no file; `hearth sign --new-key --key FILE` makes a key.")
    for name in STRAY:
        os.environ.pop(name, None)
    if git("status", "--porcelain"):
        print("notice: the work tree has changes that are not committed; they are not looked at.", file=sys.stderr)
    python = None if options.here else options.python or interpreter()
    start = now()
    found = verify(commit, python, conditions() | dict(options.set), options.keep)
    print(found.model_dump_json(indent=2) if options.json else text(found))
    if options.attest and found.true:
        times = (start.isoformat(timespec="seconds"), now().isoformat(timespec="seconds"))
        attest(options.attest, commit, found, options.builder, times, options.sign)
        print(f"attested in {options.attest}", file=sys.stderr)
    elif options.attest:
        print(f"not attested: {options.attest} was not written", file=sys.stderr)
    return 0 if found.true else 1


def _check(options: argparse.Namespace) -> int:
    found = check(options.check, options.signed_by)
    if options.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        signed = (
            "signed with that key"
            if options.signed_by
            else "whose signature, if any, was not looked at (--signed-by KEY)"
        )
        print("\n".join(f"fault: {fault}" for fault in found.faults)
              or f"{options.check} holds for {found.commit[:7]}: {found.files} files by {found.builder}, {signed}; "
              f"{found.at_hand} of them are at hand, with the content that it states")  # fmt: skip
    return 1 if found.faults else 0
