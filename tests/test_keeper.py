"""Keep a server running: swap it, take back what does not become ready, and end in every moment that it is told to."""

from collections.abc import Callable

import pytest

from hearth.errors import Refusal
from hearth.keeper import STARTED_WITHIN_S, Served, _Keeper


class Fake:
    """Be a server without a process: what it does is planned, what is done to it is written down."""

    def __init__(self, serving: Served, log: list[str], plan: "Plan") -> None:
        """Refuse what the plan calls broken."""
        self.serving, self.log, self.plan, self.process = serving, log, plan, None
        if serving.name in plan.broken:
            raise Refusal(f"{serving.name} is no whole bento")

    def start(self) -> None:
        self.log.append(f"start {self.serving.name}")
        self.plan.at(f"start {self.serving.name}")

    def tell_to_end(self) -> None:
        self.log.append(f"tell {self.serving.name}")

    def ended(self) -> int | None:
        return self.plan.endings.get(self.serving.name)

    def ready(self) -> bool:
        return self.serving.name not in self.plan.sick

    def close(self) -> None:
        self.log.append(f"close {self.serving.name}")
        self.plan.at(f"close {self.serving.name}")


class Plan:
    """Say which servers are broken, sick or end, what is offered in their place, and what happens at which moment."""

    def __init__(self, *offered: str | None) -> None:
        """Offer these, one at a time."""
        self.offered, self.endings, self.sick, self.broken = list(offered), {}, set(), set()
        self.hooks: dict[str, Callable[[], object]] = {}
        self.asked = 0

    def at(self, moment: str) -> None:
        if hook := self.hooks.pop(moment, None):
            hook()

    def newer(self) -> Served | None:
        """Return what is offered next; once there is nothing left, be asked a few times more and then end."""
        self.asked += 1
        self.at("newer")
        if self.offered:
            name = self.offered.pop(0)
            return None if name is None else Served(name, b"")
        self.at("idle")
        return None


def kept(plan: Plan, monkeypatch: pytest.MonkeyPatch, clock: list[float] | None = None) -> tuple[list[str], _Keeper]:
    log: list[str] = []
    keeper = _Keeper(lambda serving: Fake(serving, log, plan), Served("first", b""), plan.newer)  # type: ignore[arg-type,return-value]
    plan.hooks.setdefault("idle", keeper.end)
    if clock is not None:
        monkeypatch.setattr("hearth.keeper.time.monotonic", lambda: clock.append(1.0) or 30.0 * len(clock))
    return log, keeper


def test_a_newer_one_takes_the_place_and_serves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(None, "second")
    log, keeper = kept(plan, monkeypatch)
    assert keeper.run() == 0
    assert log[:3] == ["start first", "close first", "start second"]
    assert "start first" not in log[3:]


def test_a_server_that_ends_by_itself_ends_the_command_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan()
    plan.endings["first"] = 3
    log, keeper = kept(plan, monkeypatch)
    assert keeper.run() == 3
    assert log == ["start first"]


def test_what_is_no_whole_bento_leaves_what_is_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan("second")
    plan.broken.add("second")
    log, keeper = kept(plan, monkeypatch)
    assert keeper.run() == 0
    assert not any(line.startswith("close") or "second" in line for line in log)
    assert "warning: second is no whole bento" in capsys.readouterr().err


def test_what_ends_before_it_is_ready_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan("second")
    plan.endings["second"] = 1
    log, keeper = kept(plan, monkeypatch)
    assert keeper.run() == 0
    assert log[:5] == ["start first", "close first", "start second", "close second", "start first"]
    assert "second did not become ready; back to first" in capsys.readouterr().err


def test_what_does_not_become_ready_in_time_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert STARTED_WITHIN_S == 60
    plan = Plan("second")
    plan.sick.add("second")
    log, keeper = kept(plan, monkeypatch, clock=[])
    assert keeper.run() == 0
    assert log[:5] == ["start first", "close first", "start second", "close second", "start first"]


@pytest.mark.parametrize("moment", ["newer", "close first", "start second", "start first"])
def test_it_ends_in_whatever_moment_it_is_told_to(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Nothing is started after the word, and what was started in that moment is told too."""
    plan = Plan("second", "third")
    log, keeper = kept(plan, monkeypatch)
    plan.hooks[moment] = lambda: (log.append("SIGTERM"), keeper.end())
    assert keeper.run() == 0
    after = log[log.index("SIGTERM") :]
    assert not any(line.startswith("start") for line in after)
    assert after[-1].startswith("tell ")
