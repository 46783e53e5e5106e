"""What a rollback without a target returns to."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from serving.records import Revision
from serving.route_history import last_good

MOMENT = datetime(2026, 11, 1, tzinfo=UTC)

steps = st.lists(
    st.one_of(
        st.sampled_from(["m:1", "m:2", "m:3"]),
        st.just("back"),
        st.integers(min_value=1, max_value=30),
    ),
    max_size=30,
)
"""A champion to change to, a rollback to the last good one, or a rollback to a revision."""


def revision(number: int, champion: str, restores: int | None = None) -> Revision:
    return Revision(
        application_id=1,
        application="a",
        revision=number,
        kind="change" if restores is None else "rollback",
        restores=restores,
        policy={"kind": "single", "champion": champion},
        input_schema_id=1,
        created_at=MOMENT,
        actor="somebody",
        reason=None,
        evidence=None,
    )


def champion(one: Revision) -> str:
    return str(one.policy["champion"])


@given(steps)
def test_a_rollback_finds_what_a_stack_of_states_would_give(steps: list[str | int]) -> None:
    history: list[Revision] = []
    # The model: states by the change that made them, each with its champion.
    stack: list[tuple[int, str]] = []
    made_by: dict[int, int] = {}
    for step in steps:
        number = len(history) + 1
        if isinstance(step, str) and step != "back":
            stack.append((number, step))
            made_by[number] = number
            history.append(revision(number, step))
        else:
            below = [one for one in stack[:-1] if one[1] != stack[-1][1]] if stack else []
            found = last_good(history)
            assert (found is None) == (not below)
            if step == "back":
                if found is None:
                    continue
                target = found
                assert (made_by[target.revision], champion(target)) == below[-1]
            else:
                assert isinstance(step, int)
                if step > len(history):
                    continue
                target = history[step - 1]
            origin = made_by[number] = made_by[target.revision]
            places = [place for place, one in enumerate(stack) if one[0] == origin]
            del stack[places[0] if places else len(stack) :]
            stack.append((origin, champion(target)))
            history.append(revision(number, champion(target), restores=target.revision))
        assert champion(history[-1]) == stack[-1][1]


@given(steps)
def test_the_last_good_revision_always_has_another_champion(steps: list[str | int]) -> None:
    history: list[Revision] = []
    for step in steps:
        number = len(history) + 1
        found = last_good(history)
        if isinstance(step, str) and step != "back":
            history.append(revision(number, step))
        elif found is not None:
            assert champion(found) != champion(history[-1])
            history.append(revision(number, champion(found), restores=found.revision))


def test_rolling_back_twice_does_not_return_to_what_was_left() -> None:
    history = [revision(1, "m:1"), revision(2, "m:2"), revision(3, "m:3")]
    back = last_good(history)
    assert back is not None
    assert back.revision == 2
    history.append(revision(4, "m:2", restores=2))
    back = last_good(history)
    assert back is not None
    assert back.revision == 1


def test_a_change_that_keeps_the_champion_is_stepped_over() -> None:
    history = [revision(1, "m:1"), revision(2, "m:2"), revision(3, "m:2")]
    back = last_good(history)
    assert back is not None
    assert back.revision == 1
