from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import InvalidPolicyError
from serving.policies import Choice, Surroundings, bind, parse
from serving.policies.fields import LONGEST_TEXT, MOST_STEPS, MOST_VERSIONS
from serving.policies.schema import POLICY_SCHEMA

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


class Crowd(Alternating):
    """One that wants more versions than a route may have."""

    def __init__(self, size: int) -> None:
        super().__init__("m:1", "m:2")
        if size < 0:
            raise LookupError("nobody is there")
        self._size = size

    def versions(self) -> tuple[str, ...]:
        return tuple(f"m:{number}" for number in range(self._size))


POLICIES: list[dict[str, Any]] = [
    {"kind": "single", "champion": "m:1"},
    {"kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 0.1},
    {"kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 0.1, "sticky_by": "user"},
    {"kind": "shadow", "champion": "m:1", "challengers": ["m:2", "n:1"]},
    {"kind": "shadow", "champion": "m:1", "challengers": ["m:2"], "share": 0.5},
    {
        "kind": "canary",
        "champion": "m:1",
        "challenger": "m:2",
        "ramp": [{"after_s": 0, "share": 0.01}, {"after_s": 60, "share": 0.5}],
    },
    {"kind": "ensemble", "members": ["m:1", "m:2"], "combine": "vote", "min_agreement": 0.6},
    {
        "kind": "ensemble",
        "members": ["m:1", "m:2"],
        "combine": "weighted",
        "weights": {"m:1": 1, "m:2": 0},
    },
    {"kind": "cascade", "stages": [{"version": "m:1", "accept_at": 0.9}, {"version": "m:2"}]},
    {"kind": "exp3", "arms": ["m:1", "m:2", "m:3"], "floor": 0.1},
    {"kind": "exp4", "arms": ["m:1", "m:2"], "state_by": "user"},
    {"kind": "thompson", "arms": ["m:1", "m:2"], "loss_scale": 3},
    {"kind": "custom", "class": f"{__name__}:Alternating", "one": "m:1", "other": "m:2"},
]


CANARY = {"kind": "canary", "champion": "m:1", "challenger": "m:2", "share": 0.1}
ENSEMBLE = {"kind": "ensemble", "members": ["m:1", "m:2"], "combine": "mean"}
STEP = {"after_s": 5, "share": 0.1}
FIRST: dict[str, Any] = {"version": "m:1", "accept_at": 0.9}
LAST: dict[str, Any] = {"version": "m:2"}
MANY = [f"m:{number}" for number in range(MOST_VERSIONS + 1)]
STAGES = [{"version": one, "accept_at": 0.5} for one in MANY]
RAMP = [{"after_s": number, "share": 0.1} for number in range(MOST_STEPS + 1)]


@settings(deadline=None)
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


STEPS = st.lists(
    st.tuples(st.floats(0, 1e6), SHARES), min_size=1, max_size=6, unique_by=lambda s: s[0]
)


@given(STEPS, SHARES, st.floats(0, 2e6), UNIFORM)
def test_a_ramp_holds_the_share_of_the_last_step_reached(
    steps: list[tuple[float, float]], start: float, age: float, uniform: float
) -> None:
    steps = sorted(steps)
    ramp = [{"after_s": after, "share": share} for after, share in steps]
    reached = [share for after, share in steps if after <= age]
    share = reached[-1] if reached else start
    canary = {
        "kind": "canary", "champion": "m:1", "challenger": "m:2", "share": start, "ramp": ramp,
    }  # fmt: skip
    choice = bind(parse(canary), Surroundings(age=lambda: age)).choose(None, uniform)
    assert choice.primary == ("m:2" if uniform < share else "m:1")
    assert choice.propensity == pytest.approx(share if uniform < share else 1 - share)
    shadow = {"kind": "shadow", "champion": "m:1", "challengers": ["m:2"], "ramp": ramp}
    choice = bind(parse(shadow | {"share": start}), Surroundings(age=lambda: age)).choose(
        None, uniform
    )
    assert (choice.primary, bool(choice.shadows)) == ("m:1", uniform < share)


@given(st.text(), st.lists(SHARES, min_size=2, max_size=5), UNIFORM)
def test_a_caller_stays_in_a_share_that_is_ramped_up(
    user: str, shares: list[float], uniform: float
) -> None:
    age = [0.0]
    ramp = [{"after_s": n, "share": share} for n, share in enumerate(sorted(shares))]
    for kind, other in (("canary", {"challenger": "m:2"}), ("shadow", {"challengers": ["m:2"]})):
        policy = {"kind": kind, "champion": "m:1", **other, "ramp": ramp, "sticky_by": "user"}
        bound = bind(parse(policy), Surroundings(age=lambda: age[0]))
        seen = []
        for at in range(len(shares)):
            age[0] = float(at)
            choice = bound.choose({"user": user}, uniform)
            seen.append(choice.primary == "m:2" or bool(choice.shadows))
        assert seen == sorted(seen)


def test_every_form_that_is_taken_fits_the_documented_schema() -> None:
    validator = jsonschema.Draft202012Validator(POLICY_SCHEMA)
    for policy in POLICIES:
        parse(policy)
        assert not list(validator.iter_errors(policy)), policy


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
        (CANARY | {"ramp": []}, "/policy/ramp"),
        (CANARY | {"ramp": [{"after_s": 0}]}, "/policy/ramp/0"),
        (CANARY | {"ramp": [{"after_s": -1, "share": 1}]}, "/policy/ramp/0/after_s"),
        (CANARY | {"ramp": [{"after_s": 0, "share": 2}]}, "/policy/ramp/0/share"),
        (CANARY | {"ramp": [STEP, STEP]}, "/policy/ramp/1/after_s"),
        (ENSEMBLE | {"members": ["m:1"]}, "/policy/members"),
        (ENSEMBLE | {"combine": "best"}, "/policy/combine"),
        (ENSEMBLE | {"combine": "weighted"}, "/policy/weights"),
        (ENSEMBLE | {"combine": "weighted", "weights": {"m:1": 1}}, "/policy/weights"),
        (ENSEMBLE | {"weights": {"m:1": 1, "m:2": 1}}, "/policy/weights"),
        (ENSEMBLE | {"min_members": 3}, "/policy/min_members"),
        (ENSEMBLE | {"min_agreement": 1.5}, "/policy/min_agreement"),
        (ENSEMBLE | {"tolerance": 0}, "/policy/tolerance"),
        ({"kind": "cascade", "stages": [{"version": "m:1"}]}, "/policy/stages"),
        ({"kind": "cascade", "stages": [{"version": "m:1"}, LAST]}, "/policy/stages/0/accept_at"),
        ({"kind": "cascade", "stages": [FIRST, {"version": "m:1"}]}, "/policy/stages/1/version"),
        (
            {"kind": "cascade", "stages": [FIRST, LAST | {"accept_at": 1}]},
            "/policy/stages/1/accept_at",
        ),
        ({"kind": "exp3", "arms": ["m:1"]}, "/policy/arms"),
        ({"kind": "exp4", "arms": ["m:1", "m:2"], "floor": 0.6}, "/policy/floor"),
        ({"kind": "thompson", "arms": ["m:1", "m:2"], "state_by": ""}, "/policy/state_by"),
        ({"kind": "thompson", "arms": ["m:1", "m:2"], "loss_scale": -1}, "/policy/loss_scale"),
        ({"kind": "shadow", "champion": "n:1", "challengers": MANY}, "/policy/challengers"),
        (ENSEMBLE | {"members": MANY}, "/policy/members"),
        ({"kind": "exp3", "arms": MANY}, "/policy/arms"),
        ({"kind": "cascade", "stages": STAGES}, "/policy/stages"),
        (CANARY | {"ramp": RAMP}, "/policy/ramp"),
        (CANARY | {"sticky_by": "k" * (LONGEST_TEXT + 1)}, "/policy/sticky_by"),
        (
            {"kind": "custom", "class": f"{__name__}:Crowd", "size": MOST_VERSIONS + 1},
            "/policy/class",
        ),
        ({"kind": "custom", "class": f"{__name__}:Crowd", "size": -1}, "/policy/class"),
        ({"kind": "custom", "class": "nowhere:Policy"}, "/policy/class"),
        ({"kind": "custom", "class": "collections:Counter"}, "/policy/class"),
    ],
)
def test_a_wrong_policy_names_the_field(policy: Any, path: str) -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        parse(policy)
    assert [error.path for error in caught.value.errors] == [path]


def test_what_is_just_not_too_large_is_taken() -> None:
    most = MANY[:MOST_VERSIONS]
    for policy in (
        ENSEMBLE | {"members": most},
        {"kind": "cascade", "stages": [*STAGES[: MOST_VERSIONS - 1], {"version": "n:1"}]},
        CANARY | {"ramp": RAMP[:MOST_STEPS]},
        {"kind": "custom", "class": f"{__name__}:Crowd", "size": MOST_VERSIONS},
    ):
        jsonschema.validate(policy, POLICY_SCHEMA)
        assert parse(policy).versions()
