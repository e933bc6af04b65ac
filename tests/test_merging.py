"""Test the stage-wise merge of locks, on any three locks that runs of small roads could have left."""

import copy
from typing import Any

import pytest
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import Refusal
from hearth.merging import Merged, merge
from hearth.storage import read_yaml

Stages = dict[str, dict[str, Any]]

# The road of the properties: each stage reads a source of its own, and outputs of stages before it. `d` reads a folder in
# which `b` writes, and a file of a folder that `c` writes.
READS = {"a": [], "b": ["out/a"], "c": ["out/a", "out/b"], "d": ["out", "wide/c/part"], "e": ["wide/c"]}
MAKES = {"a": "out/a", "b": "out/b", "c": "wide/c", "d": "d", "e": "e"}


def entry(name: str, source: str, made: Stages) -> dict[str, Any]:
    """Return the entry of a stage that ran on this content of its source and on what was made."""
    hashes = {out["path"]: out["md5"] for one in made.values() for out in one["outs"]}
    seen = "".join(f"{path}={hashes[path]}," for path in sorted(hashes))
    deps = [{"path": path, "hash": "md5", "md5": hashes.get(path, seen)} for path in READS[name]]
    deps.append({"path": f"{name}.txt", "hash": "md5", "md5": source})
    # Some sources make no difference to what is made: text merges are clean, and false, just there.
    content = f"{name}({','.join(dep['md5'] for dep in deps[:-1])},{source.strip('-')})"
    return {"cmd": f"make {name}", "deps": deps, "outs": [{"path": MAKES[name], "hash": "md5", "md5": content}]}


def ran(sources: dict[str, str]) -> dict[str, Any]:
    """Return the lock of a whole run of the stages that have a source."""
    made: Stages = {}
    for name in READS:
        if name in sources:
            made[name] = entry(name, sources[name], made)
    return {"schema": "2.0", "stages": made}


SOURCES = st.dictionaries(st.sampled_from(list(READS)), st.sampled_from(["1", "1-", "2"]))
LOCKS = st.builds(ran, SOURCES)


def joined(one: dict[str, Any], other: dict[str, Any], names: set[str], gone: set[str]) -> dict[str, Any]:
    """Return a lock of which some entries are those of another run, and some are gone."""
    stages = one["stages"] | {name: entry for name, entry in other["stages"].items() if name in names}
    return {"schema": "2.0", "stages": {name: entry for name, entry in stages.items() if name not in gone}}


# A lock may also be what a merge of texts, a run of single stages, or a run that broke, left of one.
NAMES = st.sets(st.sampled_from(list(READS)))
PARTIAL = st.builds(joined, LOCKS, LOCKS, NAMES, NAMES)


@given(PARTIAL, PARTIAL, PARTIAL)
def test_the_sides_are_equal_before_it(base: Any, ours: Any, theirs: Any) -> None:
    one, other = merge(base, ours, theirs), merge(base, theirs, ours)
    assert one.document == other.document
    assert one.dropped == other.dropped


@given(PARTIAL, PARTIAL)
def test_where_one_side_changed_nothing_the_other_is_taken_whole(base: Any, changed: Any) -> None:
    for sides in ((changed, base), (base, changed), (changed, changed)):
        assert merge(base, *sides) == Merged(changed, {})
        assert list(merge(base, *sides).document["stages"]) == list(changed["stages"]), "in its order"


@given(PARTIAL, PARTIAL, PARTIAL)
def test_no_entry_is_invented(base: Any, ours: Any, theirs: Any) -> None:
    for name, one in merge(base, ours, theirs).document["stages"].items():
        assert one in (ours["stages"].get(name), theirs["stages"].get(name))


@given(PARTIAL, PARTIAL, PARTIAL)
def test_nothing_is_kept_that_read_what_is_dropped_or_another_content(base: Any, ours: Any, theirs: Any) -> None:
    merged = merge(base, ours, theirs)
    kept = merged.document["stages"]
    if base in (ours, theirs) or ours == theirs:
        return
    hashes = {MAKES[name]: one["outs"][0]["md5"] for name, one in kept.items()}
    for name, one in kept.items():
        for dep in one["deps"]:
            assert hashes.get(dep["path"], dep["md5"]) == dep["md5"]
            below = [
                maker
                for maker, path in MAKES.items()
                if path.startswith(f"{dep['path']}/") or f"{dep['path']}/".startswith(f"{path}/")
            ]
            assert not set(below) & set(merged.dropped), (name, merged.dropped)


@given(PARTIAL, PARTIAL, PARTIAL)
def test_a_stage_is_kept_deleted_or_named(base: Any, ours: Any, theirs: Any) -> None:
    merged = merge(base, ours, theirs)
    was = base["stages"]
    for name in READS:
        mine, other = ours["stages"].get(name), theirs["stages"].get(name)
        deleted = (mine, other) in ((None, None), (None, was.get(name)), (was.get(name), None))
        assert (name in merged.document["stages"]) + (name in merged.dropped) + deleted == 1
    assert all(merged.dropped.values())


WHOLE = st.fixed_dictionaries(dict.fromkeys(READS, st.sampled_from(["1", "1-", "2"])))


@given(WHOLE, WHOLE, WHOLE)
def test_what_is_kept_is_what_a_run_of_the_merged_sources_makes(base: Any, ours: Any, theirs: Any) -> None:
    """And what is dropped has to be run: of that, the text merge would keep entries that no run makes."""
    sources = {name: ours[name] if theirs[name] == base[name] else theirs[name] for name in READS}
    if any(ours[name] != base[name] != theirs[name] != ours[name] for name in READS):
        return  # git reports a conflict in the sources themselves
    merged = merge(ran(base), ran(ours), ran(theirs)).document["stages"]
    assert merged.items() <= ran(sources)["stages"].items()


# One by one

BASE = ran(dict.fromkeys(READS, "1"))


def side(**sources: str) -> dict[str, Any]:
    return ran(dict.fromkeys(READS, "1") | sources)


def test_stages_that_have_nothing_to_do_with_each_other_are_merged() -> None:
    merged = merge(BASE, side(d="2"), side(e="2"))
    assert merged == Merged(side(d="2", e="2"), {})


def test_the_text_merge_that_nobody_would_see_is_dropped_and_all_that_was_made_of_it() -> None:
    """Both sides changed b, one without any effect there; c was changed by one of them."""
    base, ours, theirs = (ran({"a": a, "b": b, "c": "1", "e": "1"}) for a, b in (("1", "1"), ("2", "1"), ("1", "1-")))
    assert base["stages"]["b"]["outs"] == theirs["stages"]["b"]["outs"]
    merged = merge(base, ours, theirs)
    assert list(merged.document["stages"]) == ["a"]
    assert merged.dropped == {
        "b": "both sides changed it",
        "c": "it read out/b of b, which is dropped",
        "e": "it read wide/c of c, which is dropped",
    }


def test_what_read_another_content_than_is_merged_is_dropped() -> None:
    """One side ran a stage on the old output of another, which the other side made anew."""
    ours = copy.deepcopy(BASE)
    for name in "de":
        ours["stages"][name]["cmd"] = "make it otherwise"
    theirs = copy.deepcopy(BASE)
    theirs["stages"]["c"]["outs"][0]["md5"] = "another"  # and did not run e after it
    merged = merge(BASE, ours, theirs)
    assert merged.dropped == {
        "d": "it read wide/c/part, in which something is another now",
        "e": "it read another wide/c than c made",
    }


def test_a_stage_that_one_side_deleted_goes_and_one_that_the_other_changed_too_is_named() -> None:
    without = copy.deepcopy(BASE)
    del without["stages"]["e"]
    assert "e" not in merge(BASE, without, side(d="2")).document["stages"]
    assert merge(BASE, without, side(d="2")).dropped == {}
    assert merge(BASE, without, side(e="2")).dropped == {"e": "one side changed it, the other deleted it"}


def test_a_renamed_stage_serves_those_that_read_its_output() -> None:
    renamed = copy.deepcopy(BASE)
    renamed["stages"] = {"a2" if name == "a" else name: one for name, one in renamed["stages"].items()}
    merged = merge(BASE, renamed, side(e="2"))
    assert sorted(merged.document["stages"]) == ["a2", "b", "c", "d", "e"]
    assert merged.dropped == {}


def test_without_a_common_version_only_what_is_equal_is_kept() -> None:
    merged = merge({}, side(), side(e="2"))
    assert list(merged.document["stages"]) == ["a", "b", "c", "d"]
    assert merged.dropped == {"e": "both sides changed it"}


@pytest.mark.parametrize("which", [0, 1, 2])
def test_another_schema_is_refused(which: int) -> None:
    sides = [side(), side(d="2"), side(e="2")]
    sides[which] = {**sides[which], "schema": "3.0"}
    with pytest.raises(Refusal, match=r"has the schema '3\.0', wanted '2\.0' of DVC 3"):
        merge(*sides)
    with pytest.raises(Refusal, match="has the schema None"):
        merge(side(), {}, side(e="2"))


def test_what_is_no_stage_is_taken_from_the_side_that_changed_it_or_refused() -> None:
    ours, theirs = {**side(d="2"), "datasets": [{"name": "x"}]}, side(e="2")
    assert merge(BASE, ours, theirs).document == {**side(d="2", e="2"), "datasets": [{"name": "x"}]}
    assert merge({**BASE, "datasets": ours["datasets"]}, ours, theirs).document == side(d="2", e="2")
    with pytest.raises(Refusal, match=r"both sides changed datasets of dvc\.lock"):
        merge(BASE, ours, {**theirs, "datasets": [{"name": "y"}]})


def test_the_shipped_road_falls_from_a_stage_on() -> None:
    """Train changed on both sides: whatever read a model goes, what came before stays, profile's own change too."""
    base = read_yaml(PROJECT / "dvc.lock")
    ours, theirs = copy.deepcopy(base), copy.deepcopy(base)
    for document, module in ((ours, "src/hearth/trees.py"), (theirs, "src/hearth/masks.py")):
        (dep,) = (one for one in document["stages"]["train"]["deps"] if one["path"] == module)
        dep["md5"] = "0" * 32
    merged = merge(base, ours, theirs)
    assert list(merged.document["stages"]) == ["collect", "validate", "prepare"]
    assert merged.dropped["train"] == "both sides changed it"
    assert merged.dropped["evaluate"] == "it read models/evaluated of train, which is dropped"
