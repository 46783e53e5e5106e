"""Whether and how to act."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from monitor.records import Alarm, Registry, Remedy, Revision, Route, Version, Watch
from monitor.remedies import Situation, decide, last_good, pause
from monitor.settings import Mode, Tier

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
VERSIONS = {n: Version(n, "price", str(n)) for n in (1, 2, 3)}
REGISTRY = Registry({}, VERSIONS, {})
SINGLE: dict[str, Any] = {"kind": "single", "champion": "price:1"}
GUARDED: dict[str, Any] = {"kind": "shadow", "champion": "price:2", "challengers": ["price:1"]}
CANDIDATE: dict[str, Any] = {"kind": "shadow", "champion": "price:1", "challengers": ["price:3"]}


def revision(number: int, policy: dict[str, Any], restores: int | None = None) -> Revision:
    return Revision(1, number, "rollback" if restores else "change", restores, policy)


RELEASED = Route((revision(1, SINGLE), revision(2, GUARDED)))


def watch(remedy: str = "roll_back", mode: Mode = Mode.ACT) -> Watch:
    return Watch(
        1,
        1,
        "w",
        "loss_difference",
        "paired-excess",
        Tier.ROLLBACK,
        {},
        remedy,
        mode,
        "default",
        True,
    )


def alarm(subject: str = "2,1", *, guaranteed: bool = True) -> Alarm:
    evidence = {"guaranteed": guaranteed}
    return Alarm(1, 1, subject, Tier.ROLLBACK, NOW, 60, UUID(int=1), None, None, 1.2, 1.0, evidence)


def remedy(state: str, *, acted_at: datetime | None = None, number: int = 1) -> Remedy:
    return Remedy(
        number, 1, 1, 1, "roll_back", Mode.ACT, state, None, 2, {"subject": "other"}, UUID(int=1),
        0, None, NOW, acted_at, None, None, None,
    )  # fmt: skip


def situation(route: Route = RELEASED, *remedies: Remedy, in_alarm: str = "") -> Situation:
    names = frozenset({in_alarm} if in_alarm else ())
    return Situation(route, REGISTRY, remedies, names, NOW, timedelta(minutes=10))


def test_a_bad_release_goes_back_to_the_revision_of_its_old_champion() -> None:
    decided = decide(watch(), alarm(), situation(), "market")
    assert decided is not None
    assert (decided.state, decided.not_before) == ("decided", NOW)
    assert decided.request["to_revision"] == 1
    assert decided.request["expected_revision"] == 2


@pytest.mark.parametrize(
    ("mode", "state"),
    [(Mode.OBSERVE, "observed"), (Mode.PROPOSE, "proposed"), (Mode.ACT, "decided")],
)
def test_the_mode_says_how_far_it_goes(mode: Mode, state: str) -> None:
    decided = decide(watch(mode=mode), alarm(), situation(), "market")
    assert decided is not None
    assert decided.state == state


def test_traffic_never_moves_to_a_version_in_alarm() -> None:
    decided = decide(watch(), alarm(), situation(in_alarm="price:1"), "market")
    assert decided is not None
    assert (decided.state, decided.reason) == ("held", "price:1 is itself in alarm")


def test_a_detector_without_guarantee_never_acts() -> None:
    assert decide(watch(), alarm(guaranteed=False), situation(), "market") is None


def test_a_late_alarm_about_a_version_that_left_is_held() -> None:
    back = Route((*RELEASED.revisions, revision(3, SINGLE, restores=1)))
    decided = decide(watch(), alarm(), situation(back), "market")
    assert decided is not None
    assert decided.state == "held"


def test_a_version_that_was_rolled_back_is_never_returned_to() -> None:
    back = Route((*RELEASED.revisions, revision(3, SINGLE, restores=1)))
    assert last_good(back, "price:1", wanted=None) is None


def test_a_better_challenger_is_promoted_with_the_old_champion_as_its_guard() -> None:
    route = Route((revision(1, SINGLE), revision(2, CANDIDATE)))
    decided = decide(watch("promote"), alarm("3,1"), situation(route), "market")
    assert decided is not None
    assert decided.request["policy"] == {
        "kind": "shadow",
        "champion": "price:3",
        "challengers": ["price:1"],
    }


def test_a_second_change_waits_for_the_one_in_flight_and_for_the_cool_down() -> None:
    for other, until in (
        (remedy("decided"), NOW + timedelta(seconds=1)),
        (remedy("acted", acted_at=NOW - timedelta(minutes=4)), NOW + timedelta(minutes=6)),
    ):
        decided = decide(watch(), alarm(), situation(RELEASED, other), "market")
        assert decided is not None
        assert (decided.state, decided.not_before) == ("decided", until)


def test_two_in_flight_never_wait_for_each_other() -> None:
    both = [remedy("decided", number=n) for n in (1, 2)]
    waits = [pause(both, NOW, timedelta(minutes=10), besides=n) is not None for n in (1, 2)]
    assert waits == [False, True]


def test_the_same_cause_is_decided_once() -> None:
    earlier = replace(remedy("proposed"), request={"subject": "2,1"})
    assert decide(watch(), alarm(), situation(RELEASED, earlier), "market") is None
