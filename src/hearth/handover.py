"""Be what a task leaves on the DVC remote for those after it: its stage's entry of dvc.lock, and the files that git keeps.

It carries its own digest: what was cut off on the way, or written by somebody else, is none.
"""

import hashlib
import json
from typing import Any

from hearth.strict import Strict, loads


class Handover(Strict):
    """Be the entry of a stage that ran at a commit, and DVC's names of the content of its outputs that git keeps, by path."""

    commit: str
    stage: str
    entry: dict[str, Any]
    files: dict[str, str]


def address(commit: str, stage: str) -> str:
    """Return where it lies below the remote's own address."""
    return f"hearth/runs/{commit}/{stage}.json"


def written(handover: Handover) -> bytes:
    """Return it as a file's content."""
    body = json.dumps(
        handover.model_dump(mode="json"), allow_nan=False
    )  # an entry keeps the order in which DVC writes it
    return json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body}).encode()


def read(content: bytes, commit: str, stage: str) -> Handover | None:
    """Return what a file's content hands over; None if it is cut off, changed, or of another stage or commit."""
    try:
        outer = loads(content)
        if hashlib.sha256(outer["body"].encode()).hexdigest() != outer["sha256"]:
            return None
        found = Handover.model_validate(loads(outer["body"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if (found.commit, found.stage) == (commit, stage) else None
