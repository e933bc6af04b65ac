"""Hold what a verification found, and tell it: a table of outputs, and in words what is not as the lock says."""

from collections.abc import Mapping

from packaging.utils import canonicalize_name

from hearth.auditing import Deeds
from hearth.sbom import locked
from hearth.strict import Strict

SHOWN = 8  # characters of a hash
CONDITIONS = ("TZ", "LC_ALL", "PYTHONHASHSEED", "OMP_NUM_THREADS")  # those of the table's last lines; --json has all


class Digests(Strict):
    """Be the digests of a file's content."""

    md5: str
    sha256: str


class Out(Strict):
    """Be an output: DVC's name of its content in the lock, as rebuilt, and in git where git keeps it.

    `difference` says in words where the rebuilt content first differs from the one that is locked or kept.
    """

    stage: str
    path: str
    locked: str
    rebuilt: str | None
    kept: str | None
    difference: str | None

    @property
    def same(self) -> bool:
        """Return whether lock, rebuild and git agree."""
        return self.rebuilt == self.locked and self.kept in (None, self.locked)


class Environment(Strict):
    """Be what ran the road: the Python, its packages by name, the kind of machine, and what was changed on purpose."""

    python: str
    implementation: str
    system: str
    machine: str
    blas_kernels: list[str]
    packages: dict[str, str]
    conditions: dict[str, str]


class Verified(Strict):
    """Hold the outputs, each rebuilt file's digests by path, what each stage did, the faults in words, and what is worth knowing besides."""

    commit: str
    outs: list[Out]
    files: dict[str, Digests]
    deeds: dict[str, Deeds]
    faults: list[str]
    notices: list[str]
    environment: Environment

    @property
    def true(self) -> bool:
        """Return whether the lock is proved."""
        return bool(self.outs) and not self.faults and all(out.same for out in self.outs)


def of_another_version(lock: str, packages: Mapping[str, str]) -> list[str]:
    """Return in words which packages are not those of a hash-pinned lock."""
    installed = {canonicalize_name(name): version for name, version in packages.items()}
    found = []
    for name, version in sorted(locked(lock, {}).items()):
        here = installed.get(canonicalize_name(name))
        if here != version:
            found.append(f"{name} is {'not installed' if here is None else here}, requirements.lock has {version}")
    return found


def text(found: Verified) -> str:
    """Return the verification for a terminal."""
    wide = max((len(out.path) for out in found.outs), default=0)
    lines = [f"{'output':{wide}}  {'locked':{SHOWN}}  {'rebuilt':{SHOWN}}  same"]
    for out in found.outs:
        rebuilt = (out.rebuilt or "-")[:SHOWN]
        lines.append(
            f"{out.path:{wide}}  {out.locked[:SHOWN]:{SHOWN}}  {rebuilt:{SHOWN}}  {'yes' if out.same else 'NO'}"
        )
        if out.kept not in (None, out.locked):
            lines.append(f"  git has {(out.kept or '')[:SHOWN]}")
        lines += [f"  {out.difference}"] if out.difference else []
    lines += ["", _by(found.environment), *(f"notice: {notice}" for notice in found.notices)]
    lines += [f"fault: {fault}" for fault in found.faults]
    others = sum(not out.same for out in found.outs)
    if found.true:
        lines.append(
            f"the lock of {found.commit[:7]} is true: {len(found.outs)} outputs, {len(found.files)} files, the same bytes"
        )
    else:
        lines.append(f"the lock of {found.commit[:7]} is NOT true: {others} of {len(found.outs)} outputs are others, "
                     f"{len(found.faults)} faults besides; docs/operations.md, Verify, says what to do about each")  # fmt: skip
    return "\n".join(lines)


def _by(made_by: Environment) -> str:
    kernels = f", linear algebra for {' and '.join(made_by.blas_kernels)}" if made_by.blas_kernels else ""
    changed = " ".join(f"{name}={made_by.conditions[name]}" for name in CONDITIONS if name in made_by.conditions)
    return f"rebuilt by {made_by.implementation} {made_by.python} on {made_by.system} {made_by.machine}{kernels}; {changed}"
