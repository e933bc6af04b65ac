"""Package refuses what the gate refuses, builds the same bytes anywhere, and boots what it built."""

import io
import json
import lzma
import os
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import Remade
from samples import service_limits

from hearth import bento, keeper
from hearth.answering import Answers
from hearth.errors import Refusal
from hearth.operations import serve
from hearth.parquet import read_frame
from hearth.paths import MODEL, TEST
from hearth.release import open_release
from hearth.stages import package
from hearth.storage import read_folder


@pytest.fixture
def inside(remade: Remade, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(remade.checkout.root)
    return remade.checkout.root


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ({"passed": False, "reasons": ["mdape is 0.2, wanted less than 0.1"], "checks": {}}, "mdape is 0.2"),
        ({"passed": "true", "reasons": [], "checks": {}}, "it holds no verdict"),
        ({}, "it holds no verdict"),
        ([], "it holds no verdict"),
    ],
)
def test_nothing_is_packaged_unless_the_gate_says_yes(inside: Path, tmp_path: Path, verdict: object, said: str) -> None:
    gate, target = tmp_path / "gate.json", tmp_path / "out.bento"
    gate.write_text(json.dumps(verdict))
    with pytest.raises(Refusal, match="says no, so nothing is packaged") as caught:
        package.main(gate=gate, bento=target)
    assert said in str(caught.value)
    assert not target.exists()


def test_a_bento_that_answers_otherwise_is_not_packaged(inside: Path) -> None:
    """The golden answers are the model's; a bento of another fit must not pass for it."""
    content = Path("models/house_prices.bento").read_bytes()
    answers = Answers(open_release(read_folder(MODEL), "model"), service_limits(10))
    golden = package.golden_cases(answers, read_frame(TEST))
    assert len(golden) == package.GOLDEN_ROWS
    golden[7]["answer"]["price"] += 1
    with pytest.raises(Refusal, match="nothing was packaged"):
        package.check_answers(content, golden)


def test_two_builds_are_equal_under_another_umask_seed_zone_and_home(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "again.bento"
    old = os.umask(0o077)
    try:
        for name, value in {"PYTHONHASHSEED": "99", "TZ": "America/Lima", "HOME": str(tmp_path), "LC_ALL": "C"}.items():
            monkeypatch.setenv(name, value)
        package.main(bento=target)
    finally:
        os.umask(old)
    assert target.read_bytes() == Path("models/house_prices.bento").read_bytes()


def test_the_version_follows_the_content() -> None:
    base = bento.content_version({"a": b"1", "b": b"2"})
    assert base == bento.content_version({"b": b"2", "a": b"1"})
    assert (
        len({base, bento.content_version({"a": b"1", "b": b"3"}), bento.content_version({"a": b"12", "b": b""})}) == 3
    )


def test_what_is_no_bento_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.bento"
    archive.write_bytes(b"no archive")
    with pytest.raises(Refusal, match="is no bento that BentoML can import"), bento.served(archive):
        pass


def test_a_bento_that_cannot_be_built_says_why() -> None:
    with pytest.raises(Refusal, match="BentoML could not build the bento"):
        bento.build({"service.py": b"raise RuntimeError('spoilt')\n", "requirements.txt": b""}, "x")


def test_serving_without_a_bento_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match="`make run` makes it"):
        serve.of_workspace()


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_bento_that_is_cut_off_is_not_served(inside: Path, tmp_path: Path, share: float) -> None:
    content = Path("models/house_prices.bento").read_bytes()
    cut = keeper.Served("cut.bento", content[: int(share * len(content))])
    with pytest.raises(Refusal, match=r"cut\.bento is no whole bento .*`dvc checkout` brings back the last good one"):
        keeper.serve_forever(cut, "127.0.0.1", 3000, tmp_path, lambda: None)


@pytest.mark.parametrize("filtering", [True, False])
def test_an_archive_that_would_write_elsewhere_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filtering: bool
) -> None:
    """Also by a Python that knows no filter, such as Debian 12's."""
    if not filtering:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    folder = tmp_path / "inside"
    for name, kind in (
        ("../out", tarfile.REGTYPE),
        ("/out", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("pipe", tarfile.FIFOTYPE),
    ):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        with pytest.raises(Refusal, match="is no whole bento"):
            bento.unpack(lzma.compress(buffer.getvalue()), "odd.bento", folder)
    assert list(tmp_path.rglob("*")) in ([], [folder])


def test_a_whole_archive_is_unpacked_without_a_filter_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.version_info >= (3, 12):
        pytest.skip("later Pythons have the filter, and warn without it")
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("./src/a.txt")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    bento.unpack(lzma.compress(buffer.getvalue()), "whole.bento", tmp_path)
    assert (tmp_path / "src/a.txt").read_bytes() == b"abc"
