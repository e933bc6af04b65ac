"""Write what a task hands over, cut it off, forge it, and see that only the whole and true one is read."""

import hashlib
import json
from typing import Any

import pytest

from hearth.handover import Handover, address, read, written

COMMIT = "1" * 40
ENTRY: dict[str, Any] = {"cmd": "python z.py", "deps": [{"path": "b", "md5": "2" * 32}], "params": {"p": {"small": 1e-05, "large": 1e16}},
                         "outs": [{"path": "ä", "md5": "3" * 32, "size": 1}]}  # fmt: skip
GIVEN = Handover(commit=COMMIT, stage="train", entry=ENTRY, files={"metrics/a.json": "4" * 32})


def forged(**changes: Any) -> bytes:
    """Return a hand-over whose digest is right and whose body is another."""
    body = json.dumps(json.loads(json.loads(written(GIVEN))["body"]) | changes)
    return json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "body": body}).encode()


def test_what_is_written_is_read_with_the_order_that_dvc_gave() -> None:
    found = read(written(GIVEN), COMMIT, "train")
    assert found == GIVEN
    assert list(found.entry) == ["cmd", "deps", "params", "outs"]


def test_what_is_cut_off_anywhere_is_none() -> None:
    whole = written(GIVEN)
    assert [end for end in range(len(whole)) if read(whole[:end], COMMIT, "train")] == []


def test_a_byte_that_is_changed_anywhere_is_none() -> None:
    whole = written(GIVEN)
    taken = [place for place in range(len(whole)) if read(whole[:place] + b"~" + whole[place + 1 :], COMMIT, "train")]
    assert taken == []


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b'{"body": 1, "sha256": "x"}', b"\xff", forged(stage="evaluate"), forged(commit="2" * 40), forged(entry=[]),
     forged(more=1), forged(files={"a": 1})],
    ids=["empty", "null", "list", "number", "no text", "stage", "commit", "entry", "key", "files"],
)  # fmt: skip
def test_what_is_none_or_of_another_is_not_taken(content: bytes) -> None:
    assert read(content, COMMIT, "train") is None


def test_each_stage_of_each_commit_has_a_place_of_its_own() -> None:
    assert address(COMMIT, "train") == f"hearth/runs/{COMMIT}/train.json"
