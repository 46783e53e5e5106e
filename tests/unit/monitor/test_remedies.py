"""Whether and how to act."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from monitor.records import Alarm, Registry, Remedy, Revision, Route, Version, Watch
from monitor.remedies.guards import Automation, Decided, Declined, Situation, decide, pause
from monitor.remedies.plans import last_good
from monitor.settings import Mode, Tier

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
VERSIONS = {n: Version(n, "price", str(n)) for n in (1, 2, 3)}
REGISTRY = Registry({}, VERSIONS, {})
ON = Automation()
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


def situation(
    route: Route = RELEASED,
    *remedies: Remedy,
    in_alarm: str = "",
    automation: Automation = ON,
    registry: Registry = REGISTRY,
) -> Situation:
    names = frozenset({in_alarm} if in_alarm else ())
    return Situation(route, registry, remedies, names, NOW, timedelta(minutes=10), automation)


def decided_on(*arguments: Any) -> Decided:
    decided = decide(*arguments)
    assert isinstance(decided, Decided)
    return decided


def test_a_bad_release_goes_back_to_the_revision_of_its_old_champion() -> None:
    decided = decided_on(watch(), alarm(), situation(), "market")
    assert (decided.state, decided.not_before) == ("decided", NOW)
    assert decided.request["to_revision"] == 1
    assert decided.request["expected_revision"] == 2


@pytest.mark.parametrize(
    ("mode", "state"),
    [(Mode.OBSERVE, "observed"), (Mode.PROPOSE, "proposed"), (Mode.ACT, "decided")],
)
def test_the_mode_says_how_far_it_goes(mode: Mode, state: str) -> None:
    decided = decided_on(watch(mode=mode), alarm(), situation(), "market")
    assert decided.state == state


def test_traffic_never_moves_to_a_version_in_alarm() -> None:
    decided = decided_on(watch(), alarm(), situation(in_alarm="price:1"), "market")
    assert (decided.state, decided.reason) == ("held", "price:1 is itself in alarm")


def test_a_detector_without_guarantee_never_acts() -> None:
    assert decide(watch(), alarm(guaranteed=False), situation(), "market") is None


def test_a_late_alarm_about_a_version_that_left_makes_no_remedy() -> None:
    back = Route((*RELEASED.revisions, revision(3, SINGLE, restores=1)))
    declined = decide(watch(), alarm(), situation(back), "market")
    assert declined == Declined("roll_back", "price:2 is not the champion of revision 3 any more")


def test_a_version_that_was_rolled_back_is_never_returned_to() -> None:
    back = Route((*RELEASED.revisions, revision(3, SINGLE, restores=1)))
    assert last_good(back, "price:1", wanted=None) is None


def test_a_better_challenger_is_promoted_with_the_old_champion_as_its_guard() -> None:
    route = Route((revision(1, SINGLE), revision(2, CANDIDATE)))
    decided = decided_on(watch("promote"), alarm("3,1"), situation(route), "market")
    assert decided.request["policy"] == {
        "kind": "shadow",
        "champion": "price:3",
        "challengers": ["price:1"],
    }


def test_a_second_change_is_one_line_while_another_is_in_flight() -> None:
    for state in ("decided", "approved"):
        declined = decide(watch(), alarm(), situation(RELEASED, remedy(state)), "market")
        assert isinstance(declined, Declined)
        assert declined.remedy == 1
        assert "one change at a time" in declined.reason


def test_a_second_proposal_of_the_same_change_is_one_line() -> None:
    first = replace(remedy("proposed"), request={"subject": "2", "to": "price:1"})
    declined = decide(watch(), alarm(), situation(RELEASED, first), "market")
    assert declined == Declined("roll_back", "remedy 1 proposes the same change", 1)


def test_a_change_waits_for_the_cool_down_of_the_one_before() -> None:
    other = remedy("acted", acted_at=NOW - timedelta(minutes=4))
    decided = decided_on(watch(), alarm(), situation(RELEASED, other), "market")
    assert (decided.state, decided.not_before) == ("decided", NOW + timedelta(minutes=6))
    longer = replace(other, id=2, acted_at=NOW - timedelta(minutes=1))
    wait = pause([other, longer], NOW, timedelta(minutes=10))
    assert wait is not None
    assert wait[0] == NOW + timedelta(minutes=9)


def test_a_training_needs_no_cool_down_and_causes_none() -> None:
    asked = replace(remedy("acted", acted_at=NOW), kind="retrain")
    assert pause([asked], NOW, timedelta(minutes=10)) is None
    rule = [{"kind": "retrain", "webhook": 1, "patience": 500}]
    acted = remedy("acted", acted_at=NOW)
    wanted = replace(watch("retrain"), rule=rule)
    decided = decided_on(wanted, alarm(), situation(RELEASED, acted), "market")
    assert (decided.state, decided.not_before) == ("decided", NOW)
    assert (decided.request["model"], decided.request["newest"]) == ("price", 3)


@pytest.mark.parametrize("mode", [Mode.PROPOSE, Mode.ACT])
def test_while_automation_is_off_it_proposes_at_most(mode: Mode) -> None:
    off = Automation(False, "automation is off, by kim: storm")
    decided = decided_on(watch(mode=mode), alarm(), situation(automation=off), "market")
    assert (decided.state, decided.reason) == ("proposed", "automation is off, by kim: storm")


def test_traffic_never_moves_to_a_version_that_is_gone() -> None:
    swap = replace(watch("swap"), rule=[{"kind": "swap", "version": "price:3"}])
    gone = Registry({}, VERSIONS | {3: replace(VERSIONS[3], deleted=True)}, {})
    decided = decided_on(swap, alarm(), situation(registry=gone), "market")
    assert (decided.state, decided.reason) == ("held", "price:3 was deleted")
    unknown = replace(watch("swap"), rule=[{"kind": "swap", "version": "price:9"}])
    decided = decided_on(unknown, alarm(), situation(), "market")
    assert (decided.state, decided.reason) == ("held", "price:9 is not registered")


def test_each_kind_of_step_asks_for_its_change() -> None:
    canary = {"kind": "canary", "champion": "price:1", "challenger": "price:3", "share": 0.2}
    route = Route((revision(1, SINGLE), revision(2, canary)))
    wanted: list[tuple[dict[str, Any], Any, str]] = [
        ({"kind": "change_share", "share": 0.05}, canary | {"share": 0.05}, "price:1"),
        ({"kind": "change_share", "share": 0.5}, canary | {"share": 0.5}, "price:3"),
        ({"kind": "stop_canary"}, SINGLE, "price:1"),
        ({"kind": "swap", "version": "price:2"}, {**SINGLE, "champion": "price:2"}, "price:2"),
    ]
    for step, policy, target in wanted:
        one = replace(watch(step["kind"]), rule=[step])
        decided = decided_on(one, alarm("3"), situation(route), "market")
        assert (decided.request["policy"], decided.request["to"]) == (policy, target)
    same = replace(watch("change_share"), rule=[{"kind": "change_share", "share": 0.2}])
    assert isinstance(decide(same, alarm("3"), situation(route), "market"), Declined)


def test_to_stop_one_challenger_leaves_the_others() -> None:
    both = {"kind": "shadow", "champion": "price:1", "challengers": ["price:2", "price:3"]}
    route = Route((revision(1, both),))
    decided = decided_on(watch("stop_canary"), alarm("3"), situation(route), "market")
    assert decided.request["policy"] == both | {"challengers": ["price:2"]}


def test_the_same_cause_is_decided_once() -> None:
    earlier = replace(remedy("proposed"), request={"subject": "2,1"})
    assert decide(watch(), alarm(), situation(RELEASED, earlier), "market") is None
