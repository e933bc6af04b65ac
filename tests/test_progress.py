"""Test what is shown of a long piece of work, in a terminal and elsewhere."""

import io
import sys

import pytest

from hearth.progress import progress


class Terminal(io.StringIO):
    """Be a terminal that keeps what was written."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with progress(3, done=1) as step:
        step("trial 1", 1)
        step("trial 2", 1)
    assert "3/3" in shown.getvalue()
    assert "trial 2" in shown.getvalue()


def test_elsewhere_each_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, done=1) as step:
        step("two", 1)
        step("three", 1)
    assert capsys.readouterr() == ("", "two\nthree\n")


@pytest.mark.parametrize(("size", "said"), [(1, ["25", "50", "75", "99"]), (40, ["40", "80", "120"]), (1000, ["1000"])])
def test_elsewhere_lines_may_be_few(capsys: pytest.CaptureFixture[str], size: int, said: list[str]) -> None:
    with progress(99, lines=4) as step:
        for done in range(size, 99 + size, size):
            step(str(done), size)
    assert capsys.readouterr().err.split() == said
