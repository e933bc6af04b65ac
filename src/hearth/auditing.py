"""Hold what stages really opened, as the logs of audit/sitecustomize.py tell it, against what dvc.yaml declares.

DVC does not follow imports, and believes what is declared: a dep that is missing there means a result that is silently stale.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel, Field

from hearth.locks import Stage, within

# No file of the project's: DVC's own, an environment that lies within, and what collect looks up of its last run, on which
# its outputs do not depend (tests/test_collect.py).
NO_DEPS = (".dvc/", ".git/", ".venv/", "dvc.lock")
PARAMS = "params.yaml"  # its sections count, not the file


class Deeds(BaseModel):
    """Hold what a stage's processes opened below the project, and the sections of params.yaml that they took."""

    reads: set[str] = Field(default_factory=set)
    writes: set[str] = Field(default_factory=set)
    params: set[str] = Field(default_factory=set)


def deeds_of(logs: Iterable[str]) -> dict[str, Deeds]:
    """Return the deeds of each stage by its name; a file that is written under a partial name counts as the file."""
    found: dict[str, Deeds] = {}
    for log in logs:
        stage, *lines = log.split("\n")
        deeds = found.setdefault(stage, Deeds())
        for line in lines:
            kind, _, name = line.partition(" ")
            if kind == "params":
                deeds.params.add(name)
            elif kind in ("read", "write") and name != PARAMS and not name.startswith(NO_DEPS):
                whole = re.sub(r"(^|/)\.([^/]+)\.partial$", r"\1\2", name) if kind == "write" else name
                (deeds.writes if kind == "write" else deeds.reads).add(whole)
    return found


def undeclared(stages: Sequence[Stage], deeds: Mapping[str, Deeds]) -> list[str]:
    """Return in words what stages did that dvc.yaml does not say; a declared folder covers what is in it.

    A file that a stage itself wrote may be read again.
    """
    found = []
    for stage in stages:
        did = deeds.get(stage.name, Deeds())
        for kind, said, done in _compared(stage, did):
            real = done - did.writes if kind == "reads" else done
            found += [f"stage {stage.name} {kind} {name}, which dvc.yaml does not say" for name in sorted(real)
                      if not any(within(name, one) for one in said)]  # fmt: skip
    return found


def undone(stages: Sequence[Stage], deeds: Mapping[str, Deeds]) -> list[str]:
    """Return in words what dvc.yaml says that stages did not do."""
    return [
        f"stage {stage.name} does not do what dvc.yaml says: {kind} {name}"
        for stage in stages
        for kind, said, done in _compared(stage, deeds.get(stage.name, Deeds()))
        for name in sorted(said)
        if not any(within(real, name) for real in done)
    ]


def _compared(stage: Stage, deeds: Deeds) -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield each kind of deed with what is declared and what was done."""
    yield "reads", set(stage.deps), deeds.reads
    yield "writes", set(stage.outs), deeds.writes
    yield "params", set(stage.params), deeds.params
