"""Laws of policies that learn from feedback."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.policies import Surroundings, bind, parse
from serving.policies.base import ArmStatistics, Experience, context_keys
from serving.policies.loss import loss_of
from serving.policies.thompson import thompson

ARMS = ("m:1", "m:2", "n:1")
UNIFORM = st.floats(0, 1, exclude_max=True)
FLOORS = st.floats(0, 1 / 3)


@st.composite
def statistics(draw: st.DrawFn) -> ArmStatistics:
    count = draw(st.integers(0, 100_000))
    loss = draw(st.floats(0, 1)) * count
    return ArmStatistics(count, loss, loss * draw(st.floats(1, 50)))


EXPERIENCE = st.builds(Experience, st.dictionaries(st.sampled_from(ARMS), statistics(), max_size=3))


def learner(kind: str, experience: Experience, **more: Any) -> Any:
    policy = parse({"kind": kind, "arms": list(ARMS), **more})
    return bind(policy, Surroundings(experience=lambda _, __: experience))


@given(st.sampled_from(["exp3", "thompson"]), EXPERIENCE, FLOORS, UNIFORM)
@settings(deadline=None)
def test_the_propensity_is_the_probability_of_the_choice_and_above_the_floor(
    kind: str, experience: Experience, floor: float, uniform: float
) -> None:
    policy = learner(kind, experience, floor=floor)
    distribution = policy.distribution(experience)
    assert distribution.sum() == pytest.approx(1)
    assert (distribution >= floor - 1e-12).all()
    choice = policy.choose(None, uniform)
    place = ARMS.index(choice.primary)
    assert choice.propensity == pytest.approx(distribution[place])
    begin = distribution[:place].sum()
    assert begin - 1e-12 <= uniform <= begin + distribution[place] + 1e-12
    assert policy.choose(None, uniform) == choice


@given(st.sampled_from(["exp3", "exp4", "thompson"]), st.integers(1, 10_000), FLOORS)
@settings(deadline=None)
def test_before_feedback_and_with_equal_losses_all_arms_are_alike(
    kind: str, count: int, floor: float
) -> None:
    equal = Experience({arm: ArmStatistics(count, count / 4, count / 2) for arm in ARMS})
    for experience in (Experience(), equal):
        distribution = learner(kind, experience, floor=floor).distribution(experience)
        assert distribution == pytest.approx([1 / 3] * 3, abs=1e-6)


@given(st.sampled_from(["exp3", "exp4", "thompson"]), st.integers(10, 10_000), st.floats(0.1, 0.9))
@settings(deadline=None)
def test_less_loss_is_never_less_likely(kind: str, count: int, rate: float) -> None:
    better, worse = rate * count * 0.9, rate * count
    arms = {
        "m:1": ArmStatistics(count, better, 3 * better),
        "m:2": ArmStatistics(count, worse, 3 * worse),
        "n:1": ArmStatistics(count, worse, 3 * worse),
    }
    one, two, three = learner(kind, Experience(arms)).distribution(Experience(arms))
    assert one > two == pytest.approx(three)


@given(st.sampled_from(["exp3", "exp4", "thompson"]))
def test_an_arm_that_is_always_wrong_falls_to_the_floor(kind: str) -> None:
    arms = {arm: ArmStatistics(5_000, 0.0, 0.0) for arm in ARMS[1:]}
    arms["m:1"] = ArmStatistics(5_000, 5_000.0, 50_000.0)
    distribution = learner(kind, Experience(arms), floor=0.02).distribution(Experience(arms))
    assert distribution[0] == pytest.approx(0.02, abs=1e-6)


@pytest.mark.statistical
def test_thompsons_probabilities_are_those_of_drawing_from_the_posteriors() -> None:
    rng = np.random.default_rng(20261124)
    for losses, counts in (
        ([1.0, 3.0, 0.0], [4.0, 20.0, 0.0]),
        ([90.0, 110.0, 2.0], [900.0, 950.0, 30.0]),
    ):
        bad, good = np.array(losses) + 1, np.array(counts) - np.array(losses) + 1
        draws = 400_000
        best = np.bincount(rng.beta(bad, good, size=(draws, 3)).argmin(axis=1), minlength=3)
        # The standard error is below 0.0008; the quadrature's own error is below 0.002.
        assert thompson(np.array(losses), np.array(counts)) == pytest.approx(
            best / draws, abs=0.006
        )


def test_each_value_of_the_key_has_a_state_of_its_own() -> None:
    good, bad = ArmStatistics(100, 5.0, 15.0), ArmStatistics(100, 90.0, 270.0)
    states = {
        '"EU"': Experience({"m:1": good, "m:2": bad}),
        '"US"': Experience({"m:1": bad, "m:2": good}),
    }
    policy = parse({"kind": "thompson", "arms": ["m:1", "m:2"], "state_by": "region"})
    assert context_keys(policy) == {"region"}
    bound = bind(policy, Surroundings(experience=lambda _, key: states.get(key, Experience())))
    assert bound.choose({"region": "EU"}, 0.5).primary == "m:1"
    assert bound.choose({"region": "US"}, 0.5).primary == "m:2"
    assert bound.choose({"region": "ASIA"}, 0.5).propensity == pytest.approx(0.5)
    assert bound.choose(None, 0.5).propensity == pytest.approx(0.5)


def test_a_new_experience_is_seen_by_the_next_choice() -> None:
    now = [Experience()]
    policy = parse({"kind": "exp3", "arms": ["m:1", "m:2"], "floor": 0.01})
    bound = bind(policy, Surroundings(experience=lambda _, __: now[0]))
    assert bound.choose(None, 0.1).propensity == pytest.approx(0.5)
    now[0] = Experience({"m:1": ArmStatistics(500, 500, 1000), "m:2": ArmStatistics(500, 0, 0)})
    assert bound.choose(None, 0.5).primary == "m:2"
    assert bound.choose(None, 0.5).propensity == pytest.approx(0.99)


def test_a_new_set_of_arms_begins_anew_where_losses_are_only_comparable_within_it() -> None:
    def name(kind: str, arms: list[str]) -> str:
        made: Any = parse({"kind": kind, "arms": arms})
        return str(made.state_name)

    assert name("exp3", ["m:1", "m:2"]) == name("exp3", ["m:2", "m:1"])
    assert name("exp3", ["m:1", "m:2"]) != name("exp3", ["m:1", "m:3"])
    assert name("thompson", ["m:1", "m:2"]) == name("thompson", ["m:1", "m:3"])


@given(
    st.integers(-5, 5) | st.floats(-1e9, 1e9) | st.text() | st.booleans(),
    st.integers(-5, 5) | st.floats(-1e9, 1e9) | st.text() | st.booleans(),
    st.booleans(),
    st.none() | st.floats(1e-3, 1e3),
)
def test_a_loss_is_between_0_and_1_and_nothing_for_the_truth_itself(
    said: object, true: object, numeric: bool, scale: float | None
) -> None:
    output, label = json.dumps(said).encode(), json.dumps(true).encode()
    loss = loss_of(output, label, numeric=numeric, scale=scale)
    assert loss is None or 0 <= loss <= 1
    assert loss == loss_of(label, output, numeric=numeric, scale=scale)
    assert loss_of(output, output, numeric=numeric, scale=scale) in (0.0, None)


def test_true_is_not_1_and_1_is_1_with_a_point() -> None:
    assert loss_of(b"true", b"1", numeric=False, scale=None) == 1
    assert loss_of(b"1.0", b"1", numeric=False, scale=None) == 0
