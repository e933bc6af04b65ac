"""Say in which order the stages of the road run: which of them reads what which other made.

This is the one graph. Schedulers are given it as `orchestration/road.json`, which `make docs` writes, so that they need neither
DVC nor hearth to draw up their own; nothing about the road is written twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hearth.locks import Stage, touch


def after(stages: Sequence[Stage]) -> dict[str, list[str]]:
    """Return for each stage those that make what it reads, by name, both in running order.

    Stages that do not wait for one another stand as in dvc.yaml.
    """
    direct = {stage.name: [one.name for one in stages if one is not stage and _feeds(one, stage)] for stage in stages}
    ordered: list[str] = []
    while len(ordered) < len(direct):
        free = next(name for name, before in direct.items() if name not in ordered and set(before) <= set(ordered))
        ordered.append(free)
    return {name: [one for one in ordered if one in direct[name]] for name in ordered}


def upstream(order: Mapping[str, Sequence[str]], stage: str) -> list[str]:
    """Return all that has to run before a stage, in running order."""
    wanted = set(order[stage])
    for name in reversed(list(order)):
        if name in wanted:
            wanted |= set(order[name])
    return [name for name in order if name in wanted]


def document(stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Return the graph as schedulers read it: each stage's name, what it does, and the stages that it waits for."""
    known = {stage.name: stage for stage in stages}
    return [{"name": name, "desc": known[name].desc, "after": before} for name, before in after(stages).items()]


def _feeds(one: Stage, other: Stage) -> bool:
    return any(touch(dep, out) for out in one.outs for dep in other.deps)
