"""An alert's states, driven by any sequence of events."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from monitor.alerts.kinds import GRAVITY
from monitor.alerts.states import Change, State, acknowledge, on_alarm, resolve
from monitor.errors import InvalidTransitionError
from monitor.settings import Tier


class AlertLife(RuleBasedStateMachine):
    """One cause: alarms, operators and recoveries in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state: State | None = None
        self.tier: Tier | None = None
        self.worst = -1
        self.guaranteed = False

    def take(self, change: Change) -> None:
        assert (change.delivery is None) <= (change.state == self.state)
        self.state, self.tier = change.state, change.tier
        if self.state == "resolved":
            self.worst, self.guaranteed = -1, False

    @rule(tier=st.sampled_from(list(Tier)), guaranteed=st.booleans())
    def alarm(self, tier: Tier, guaranteed: bool) -> None:
        open_before = self.state not in (None, "resolved")
        change = on_alarm(self.state, self.tier, tier, guaranteed=guaranteed)
        assert change.event == ("alarmed" if open_before else "opened")
        self.take(change)
        self.worst = max(self.worst, GRAVITY[tier])
        self.guaranteed |= guaranteed

    @rule()
    def somebody_acknowledges(self) -> None:
        if self.state is None or self.tier is None:
            return
        if self.state in ("pending", "firing"):
            self.take(acknowledge(self.state, self.tier))
        else:
            with pytest.raises(InvalidTransitionError):
                acknowledge(self.state, self.tier)

    @rule()
    def it_is_resolved(self) -> None:
        if self.state is None or self.tier is None:
            return
        if self.state == "resolved":
            with pytest.raises(InvalidTransitionError):
                resolve(self.state, self.tier)
        else:
            self.take(resolve(self.state, self.tier))

    @invariant()
    def its_tier_is_the_gravest_since_it_opened(self) -> None:
        if self.state not in (None, "resolved"):
            assert self.tier is not None
            assert GRAVITY[self.tier] == self.worst

    @invariant()
    def it_fires_only_on_a_guaranteed_alarm(self) -> None:
        assert self.state != "firing" or self.guaranteed


TestAlertLife = AlertLife.TestCase


def test_a_graver_alarm_fires_again_what_somebody_acknowledged() -> None:
    change = on_alarm("acknowledged", Tier.PAGE, Tier.ROLLBACK, guaranteed=True)
    assert (change.state, change.tier, change.delivery) == (
        "firing",
        Tier.ROLLBACK,
        "alert.firing",
    )


def test_one_more_alarm_of_the_same_weight_tells_nobody_again() -> None:
    assert on_alarm("firing", Tier.PAGE, Tier.PAGE, guaranteed=True).delivery is None
