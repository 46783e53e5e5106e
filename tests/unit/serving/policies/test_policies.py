from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidPolicyError
from serving.policies import Choice, parse

UNIFORM = st.floats(0, 1, exclude_max=True)
SHARES = st.floats(0, 1)


class Alternating:
    """A policy of an operator's own."""

    def __init__(self, one: str, other: str) -> None:
        self._pair = (one, other)

    def choose(self, context: Any, uniform: float) -> Choice:
        return Choice(self._pair[uniform < 0.5], 0.5)

    def versions(self) -> tuple[str, ...]:
        return self._pair


POLICIES: list[dict[str, Any]] = [
    {"kind": "single", "champion": "m:1"},
    {"kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 0.1},
    {"kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 0.1, "sticky_by": "user"},
    {"kind": "shadow", "champion": "m:1", "challengers": ["m:2", "n:1"]},
    {"kind": "shadow", "champion": "m:1", "challengers": ["m:2"], "share": 0.5},
    {"kind": "custom", "class": f"{__name__}:Alternating", "one": "m:1", "other": "m:2"},
]


@given(st.sampled_from(POLICIES), UNIFORM, st.dictionaries(st.text(), st.integers()))
def test_a_choice_is_of_the_policys_versions_and_has_a_probability(
    policy: dict[str, Any], uniform: float, context: dict[str, int]
) -> None:
    parsed = parse(policy)
    choice = parsed.choose(context, uniform)
    assert {choice.primary, *choice.shadows} <= set(parsed.versions())
    assert 0 < choice.propensity <= 1
    assert choice.primary not in choice.shadows
    assert parsed.choose(context, uniform) == choice


@given(SHARES, UNIFORM)
def test_the_challenger_of_a_canary_is_chosen_below_its_share(share: float, uniform: float) -> None:
    policy = {"kind": "canary", "champion": "m:1", "challenger": "m:2", "share": share}
    choice = parse(policy).choose(None, uniform)
    assert choice.primary == ("m:2" if uniform < share else "m:1")
    assert choice.propensity == pytest.approx(share if uniform < share else 1 - share)


@given(st.integers() | st.text(), UNIFORM, UNIFORM, SHARES, SHARES)
def test_a_caller_stays_with_the_challenger_while_the_share_grows(
    user: int | str, first: float, second: float, one: float, other: float
) -> None:
    def choose(share: float, uniform: float) -> str:
        policy = {
            "kind": "canary", "champion": "m:1", "challenger": "m:2", "share": share,
            "sticky_by": "user",
        }  # fmt: skip
        return parse(policy).choose({"user": user}, uniform).primary

    small, large = sorted((one, other))
    assert choose(small, first) == choose(small, second)
    if choose(small, first) == "m:2":
        assert choose(large, second) == "m:2"


def test_a_sticky_canary_gives_callers_out_by_its_share() -> None:
    policy = {
        "kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 0.2, "sticky_by": "user",
    }  # fmt: skip
    parsed = parse(policy)
    hits = sum(parsed.choose({"user": n}, 0.99).primary == "m:2" for n in range(10_000))
    # The hash is fixed, so this holds always or never; 200 is five standard deviations.
    assert abs(hits - 2_000) < 200


def test_a_request_without_the_sticky_key_is_split_by_chance() -> None:
    policy = {
        "kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 0.5, "sticky_by": "user",
    }  # fmt: skip
    assert parse(policy).choose({}, 0.4).primary == "m:2"
    assert parse(policy).choose(None, 0.6).primary == "m:1"


@given(SHARES, UNIFORM)
def test_shadows_are_asked_for_their_share_and_never_answer(share: float, uniform: float) -> None:
    policy = {"kind": "shadow", "champion": "m:1", "challengers": ["m:2"], "share": share}
    choice = parse(policy).choose(None, uniform)
    assert (choice.primary, choice.propensity) == ("m:1", 1.0)
    assert choice.shadows == (("m:2",) if uniform < share else ())


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        (None, "/policy"),
        ({}, "/policy/kind"),
        ({"kind": "best"}, "/policy/kind"),
        ({"kind": "single"}, "/policy/champion"),
        ({"kind": "single", "champion": "fraud"}, "/policy/champion"),
        ({"kind": "single", "champion": "m:1", "share": 1}, "/policy/share"),
        ({"kind": "canary", "champion": "m:1", "challenger": "m:2"}, "/policy/share"),
        (
            {"kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 2},
            "/policy/share",
        ),
        (
            {"kind": "canary", "champion": "m:1", "challenger": "m:1", "share": 0.1},
            "/policy/challenger",
        ),
        ({"kind": "shadow", "champion": "m:1", "challengers": []}, "/policy/challengers"),
        ({"kind": "shadow", "champion": "m:1", "challengers": ["m:1"]}, "/policy/challengers"),
        (
            {"kind": "shadow", "champion": "m:1", "challengers": ["m:2", "m:2"]},
            "/policy/challengers",
        ),
        ({"kind": "custom", "class": "nowhere:Policy"}, "/policy/class"),
        ({"kind": "custom", "class": "collections:Counter"}, "/policy/class"),
    ],
)
def test_a_wrong_policy_names_the_field(policy: Any, path: str) -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        parse(policy)
    assert [error.path for error in caught.value.errors] == [path]
