"""Where a new version stands beside what answers now."""

import pytest

from leadsman.commands.deploy import Place, policy_for
from leadsman.errors import CommandError

SERVED = {"revision": 4, "policy": {"kind": "single", "champion": "fraud:1"}}


def test_the_first_version_answers_alone() -> None:
    policy = policy_for("fraud:1", Place.CHAMPION, 0.05, None)
    assert policy == {"kind": "single", "champion": "fraud:1"}


def test_a_new_champion_is_guarded_by_the_old_one() -> None:
    policy = policy_for("fraud:2", Place.CHAMPION, 0.05, SERVED)
    assert policy == {"kind": "shadow", "champion": "fraud:2", "challengers": ["fraud:1"]}


def test_the_champion_deployed_again_needs_no_guard() -> None:
    policy = policy_for("fraud:1", Place.CHAMPION, 0.05, SERVED)
    assert policy == {"kind": "single", "champion": "fraud:1"}


def test_a_canary_gets_its_share_and_a_shadow_copies() -> None:
    assert policy_for("fraud:2", Place.CANARY, 0.2, SERVED) == {
        "kind": "canary",
        "champion": "fraud:1",
        "challenger": "fraud:2",
        "share": 0.2,
    }
    assert policy_for("fraud:2", Place.SHADOW, 0.2, SERVED) == {
        "kind": "shadow",
        "champion": "fraud:1",
        "challengers": ["fraud:2"],
    }


@pytest.mark.parametrize("place", [Place.CANARY, Place.SHADOW])
def test_a_challenger_without_a_champion_is_refused(place: Place) -> None:
    with pytest.raises(CommandError, match="needs a champion beside it"):
        policy_for("fraud:1", place, 0.05, None)
