"""Test what git's tags say of the releases, the messages that carry the evidence, and what a candidate may be worse in."""

import datetime
from collections.abc import Sequence
from typing import Any

import pytest
from samples import params
from test_comparison_text import SAME, comparison, part

from hearth.comparison import Comparison, Difference
from hearth.errors import Refusal
from hearth.margins import judged
from hearth.operations.releases import _row
from hearth.operations.serve import _identity
from hearth.releases import (
    EVIDENCE,
    History,
    ReleaseParams,
    Tag,
    evidence,
    history,
    live_tag,
    message,
    version_tag,
)
from hearth.strict import parse

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def tag(name: str, commit: str, text: str = "made by gto\n") -> Tag:
    return Tag(name, commit, "a person", DAY, text)


def version(number: int, commit: str, **known: Any) -> Tag:
    return tag(version_tag(f"v0.{number}.0"), commit, message("Release", [], known) if known else "made by gto\n")


def live(number: int, commit: str, action: str = "", environment: str = "prod", **known: Any) -> Tag:
    text = message(action, [], {"action": action, **known}) if action else "made by gto\n"
    return tag(live_tag(environment, number), commit, text)


A, B, C = version(1, "a"), version(2, "b"), version(3, "c")


# History


def test_no_tags_are_no_releases() -> None:
    found = history([], "prod")
    assert (found.champion, found.previous, found.next_version, found.events) == (None, None, "v0.1.0", [])


def test_versions_promotions_and_rollbacks_are_read_in_the_order_of_their_numbers() -> None:
    tags = [
        live(10, "a", "rollback", version="v0.1.0", reason="it was dear"),
        live(9, "b", "promote", version="v0.2.0"),
        live(2, "a", "promote", version="v0.1.0"),
        version(2, "b", metrics={"mdape": 0.07}),
        A,
    ]
    found = history(tags, "prod")
    assert [(event.number, event.action, event.release.version) for event in found.events] == [
        (2, "promote", "v0.1.0"),
        (9, "promote", "v0.2.0"),
        (10, "rollback", "v0.1.0"),
    ]
    assert found.champion
    assert (found.champion.version, found.champion.commit) == ("v0.1.0", "a")
    assert found.events[-1].reason == "it was dear"
    assert (found.events[-1].who, found.events[-1].when) == ("a person", DAY)
    assert found.versions["v0.2.0"].evidence == {"metrics": {"mdape": 0.07}}


@pytest.mark.parametrize(
    "foreign",
    [
        live(2, "b", "promote", environment="staging"),
        tag("house-prices-two#prod#2", "b"),
        tag("flat-prices#prod#2", "b"),
        tag("house-prices#prod", "b"),
        tag("house-prices#prod#two", "b"),
        tag("house-prices#prod#2#later", "b"),
        tag("house-prices@v2", "b"),
        tag("house-prices@v0.9.0-rc1", "b"),
        tag("v0.9.0", "b"),
        live(2, "commit without a version", "promote"),
    ],
    ids=lambda foreign: foreign.name,
)
def test_other_tags_are_passed_over(foreign: Tag) -> None:
    plain = [A, B, live(1, "a", "promote")]
    assert history([*plain, foreign], "prod") == history(plain, "prod")


def test_environments_have_a_champion_each() -> None:
    tags = [A, B, live(1, "a"), live(1, "b", environment="staging")]
    champions = [history(tags, name).champion for name in ("prod", "staging")]
    assert [found and found.version for found in champions] == ["v0.1.0", "v0.2.0"]


def test_tags_of_plain_gto_are_promotions_without_evidence() -> None:
    found = history([A, B, live(1, "a"), live(2, "b")], "prod")
    assert [(event.action, event.release.version, event.reason, event.evidence) for event in found.events] == [
        ("promote", "v0.1.0", "", {}),
        ("promote", "v0.2.0", "", {}),
    ]


def test_a_commit_with_two_versions_goes_by_the_one_that_its_promotion_names_or_else_the_newest() -> None:
    tags = [version(10, "a"), version(9, "a")]
    assert history([*tags, live(1, "a")], "prod").events[0].release.version == "v0.10.0"
    assert history([*tags, live(1, "a", "promote", version="v0.9.0")], "prod").events[0].release.version == "v0.9.0"
    newest = history(tags, "prod").registered("a")
    assert newest
    assert newest.version == "v0.10.0"
    assert history(tags, "prod").registered("b") is None


@pytest.mark.parametrize("named", ["v0.2.0", "v0.7.0", None, 3])
def test_a_promotion_counts_for_the_commit_that_it_stands_on_whatever_it_names(named: object) -> None:
    found = history([A, B, live(1, "a", "promote", version=named)], "prod").champion
    assert found
    assert (found.version, found.commit) == ("v0.1.0", "a")


@pytest.mark.parametrize(
    ("versions", "following"),
    [
        ([], "v0.1.0"),
        (["v0.1.0"], "v0.2.0"),
        (["v0.9.0", "v0.10.0"], "v0.11.0"),
        (["v1.4.7", "v0.99.0"], "v1.5.0"),
    ],
)
def test_the_next_version_follows_the_highest_one(versions: list[str], following: str) -> None:
    assert history([tag(version_tag(name), "a") for name in versions], "prod").next_version == following


# What a rollback goes back to


def test_a_signature_may_come_with_a_second_promotion_and_tells_the_champion_from_itself() -> None:
    """Who forgot to sign promotes once more; what is served has to be started anew then, and after a rollback to it too."""
    unsigned = [
        version(1, "a", signature=None),
        version(2, "b", signature="of b"),
        live(1, "a", "promote", signature=None),
    ]
    mended = [*unsigned, live(2, "a", "promote", signature="of a")]
    back = [*mended, live(3, "b", "promote"), live(4, "a", "rollback")]
    known = [history(tags, "prod") for tags in (unsigned, mended, back, back[:-1], [])]
    assert [one.signature for one in known] == [None, "of a", "of a", "of b", None]
    assert _identity(known[0]) != _identity(known[1]) == _identity(known[2])


def lived(*steps: str) -> History:
    """Return a history; `+a` promotes the commit a, `-a` rolls back to it, `a` is a tag of plain gto."""
    actions = {"+": "promote", "-": "rollback"}
    events = [live(place, step[-1], actions.get(step[0], "")) for place, step in enumerate(steps, 1)]
    return history([A, B, C, *events], "prod")


@pytest.mark.parametrize(
    ("steps", "previous"),
    [
        ("+a", None),
        ("+a +b", "a"),
        ("+a +b -a", None),
        ("+a +b -a +c", "a"),
        ("+a +b -a +c -a", None),
        ("+a +b -a +b", "a"),
        ("+a +b +c", "b"),
        ("+a +b +c -b", "a"),
        ("+a +b +c -b -a", None),
        ("+a +b +c -a", None),  # --to, over b
        ("+a +b +c -a +b", "a"),
        ("+a +b -a -b", "a"),  # --to, forwards again
        ("+a +b +c -a -c", "a"),
        ("+a +b +a", "b"),  # promoted anew, over b: b was not rolled back from
        ("+a +b +c +a -c", "b"),
        ("a b", "a"),
        ("a b -a c", "a"),
    ],
)
def test_a_rollback_goes_back_to_what_was_live_before_and_was_not_rolled_back_from(
    steps: str, previous: str | None
) -> None:
    found = lived(*steps.split()).previous
    assert (found and found.commit) == previous


# Messages


@pytest.mark.parametrize(
    "reason",
    [
        "zu teuer – 3 % über dem Markt, 房价",
        "two\nlines",
        "evidence: {}",
        'one\nevidence: {"action": "rollback", "version": "v9.9.9"}\n',
        "a line\u2028of its own\u2029and\x85more\x0b\x0c\x1c\x1d\x1e",
        'quotes " and \\ and \x01\x02 and \t',
        "",
    ],
)
def test_evidence_survives_its_message_whatever_the_reason_holds(reason: str) -> None:
    known = {"action": "promote", "version": "v0.1.0", "reason": reason, "figures": {"mdape": 0.07, "none": None}}
    text = message("Promote", [f"Reason: {reason}"], known)
    assert evidence(text) == known
    assert text.splitlines()[0] == "Promote"
    assert text.split("\n")[-2].startswith(EVIDENCE)
    assert history([A, tag("house-prices#prod#1", "a", text)], "prod").events[0].reason == reason


@pytest.mark.parametrize(
    "text", ["", "no evidence", "evidence: {", "evidence: []", 'evidence: {"a": NaN}', "evidence:{}", 'evidence: {"a": 1, "a": 2}']
)  # fmt: skip
def test_a_message_without_good_evidence_has_none(text: str) -> None:
    assert evidence(text) == {}


def test_evidence_that_json_cannot_hold_is_an_error_and_no_tag() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        message("Promote", [], {"mdape": float("nan")})


def test_a_reason_of_several_lines_is_one_line_in_the_list() -> None:
    event = history([A, live(1, "a", "promote", reason="two\nlines\tof  it")], "prod").events[0]
    assert _row(event, True)[-1] == "two lines of it"
    assert _row(event, True)[:3] == ("*", "v0.1.0", "a")
    assert _row(event, False)[0] == ""


# What a candidate may be worse in

MARGINS = parse(ReleaseParams, {
    "environment": "prod",
    "margins": {"rmse_log": 0.01, "mdape": 0.01, "bias": 0.01, "coverage": 0.02},
    "slice_margins": {"mdape": 0.03, "rmse_log": 0.03},
    "slice_rows_min": 100,
}, "params.yaml: releases")  # fmt: skip


def off(low: float, high: float) -> Difference:
    """Return a difference whose interval of being worse is given."""
    verdict = "better" if high < 0 else "worse" if low > 0 else "no evidence"
    return SAME.model_copy(update={"worse_by": (low, high), "verdict": verdict})


def found(differences: dict[str, Difference] | None = None, slices: Sequence[Any] = ()) -> Comparison:
    calm = dict.fromkeys(("rmse_log", "mdape", "bias", "coverage"), off(-0.005, 0.005))
    return comparison(
        differences=calm | (differences or {}), slices=tuple(slices) or (part("7", off(-0.01, 0.01), off(-0.01, 0.01)),)
    )


def test_a_candidate_within_every_margin_has_nothing_against_it() -> None:
    assert judged(found({"mdape": off(0.001, 0.01)}, [part("1", off(0.0, 0.03), off(-0.1, 0.03))]), MARGINS) == ([], [])


@pytest.mark.parametrize("name", ["rmse_log", "mdape", "bias", "coverage"])
def test_an_interval_beyond_its_margin_is_hard_and_one_across_it_a_doubt(name: str) -> None:
    hard, doubts = judged(found({name: off(0.021, 0.05)}), MARGINS)
    margin = getattr(MARGINS.margins, name)
    assert doubts == []
    assert hard == [f"{name} is worse by 0.0210 to 0.0500, allowed is {margin:g}: 0.1000 became 0.1000"]
    hard, doubts = judged(found({name: off(-0.001, 0.05)}), MARGINS)
    assert hard == []
    assert doubts == [f"{name} may be worse by up to 0.0500, allowed is {margin:g}: 0.1000 became 0.1000"]


def test_without_a_large_slice_nothing_is_proved() -> None:
    small = part("11", off(0.5, 0.9)).model_copy(update={"rows": MARGINS.slice_rows_min - 1})
    hard, doubts = judged(found(slices=[small]), MARGINS)
    assert hard == []
    assert doubts == ["no slice has 100 rows (releases.slice_rows_min), so none was compared"]


def test_the_margin_itself_is_allowed() -> None:
    assert judged(found({"mdape": off(0.01, 0.01)}), MARGINS) == ([], [])
    assert judged(found({"mdape": off(0.01, 0.0101)}), MARGINS)[0] == []
    assert len(judged(found({"mdape": off(0.01, 0.0101)}), MARGINS)[1]) == 1


def test_one_that_is_better_overall_and_much_worse_on_a_large_slice_is_refused() -> None:
    better = dict.fromkeys(("rmse_log", "mdape", "bias", "coverage"), off(-0.2, -0.1))
    hard, doubts = judged(
        found(better, [part("from 11", off(0.1, 0.2), off(-0.1, 0.1)), part("6", off(-0.2, -0.1))]), MARGINS
    )
    assert len(hard) == len(doubts) == 1
    assert hard[0].startswith(
        "mdape of slice grade from 11 (1,234 sales) is worse by 0.1000 to 0.2000, allowed is 0.03"
    )
    assert doubts[0].startswith("rmse_log of slice grade from 11 (1,234 sales) may be worse by up to 0.1000")


@pytest.mark.parametrize(("rows", "counts"), [(99, False), (100, True)])
def test_a_small_slice_does_not_count(rows: int, counts: bool) -> None:
    one = part("from 11", off(0.1, 0.2)).model_copy(update={"rows": rows})
    assert bool(judged(found(slices=[one]), MARGINS)[0]) is counts


def test_the_shipped_params_are_good() -> None:
    assert parse(ReleaseParams, params("releases"), "params.yaml: releases").environment == "prod"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"environment": "Prod"}, "releases.environment is 'Prod', wanted"),
        ({"environment": "a#b"}, "releases.environment is 'a#b', wanted"),
        ({"slice_rows_min": 0}, "releases.slice_rows_min is 0, wanted"),
        ({"margins": {"rmse_log": -0.1, "mdape": 0.0, "bias": 0.0, "coverage": 0.0}}, "releases.margins.rmse_log is -0.1, wanted"),
        ({"margins": {"rmse_log": 0.1, "mdape": 0.0, "bias": 0.0}}, "releases.margins.coverage is missing; add it."),
        ({"slice_margins": {"mdape": 0.0, "rmse_log": 0.0, "bias": 0.0}}, "releases.slice_margins.bias is not a known key"),
        ({"enviroment": "prod"}, "releases.enviroment is not a known key; did you mean 'environment'?"),
        ({"slice_margins": {"mdape": "0.1", "rmse_log": 0.0}}, "releases.slice_margins.mdape is '0.1', wanted"),
    ],
)  # fmt: skip
def test_a_wrong_param_is_refused_by_its_key_and_value(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse(ReleaseParams, params("releases") | change, "params.yaml: releases")
    assert said in str(refused.value)
