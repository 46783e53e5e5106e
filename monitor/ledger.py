"""The budget as a ledger: what was granted, what of it was spent, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.budget import OWN_ERROR_RATE, budgets
from monitor.moments import YEAR_US, to_micros
from monitor.records import Watch
from monitor.settings import Settings, Tier
from monitor.store.ledger import Account


@dataclass(frozen=True, slots=True)
class Line:
    """One watch, or one tier, of an application."""

    name: str
    budget_per_year: float
    """Its share of false alarms a year as things stand; 0 of a watch that is off or gone."""
    spent: float
    """Expected false alarms that the passing of time bought for rows that were tested."""
    head_starts: float
    """Expected false alarms that new versions and segments began with, beside the yearly budget."""
    alarms: int

    @property
    def expected_false_alarms(self) -> float:
        """So many false alarms are to be expected so far at most, had nothing ever changed."""
        return self.spent + self.head_starts


@dataclass(frozen=True, slots=True)
class TierLedger:
    """One tier of an application."""

    whole: Line
    granted: float
    """What the passing of time allowed so far: today's yearly budget times the years watched. What
    is not spent was not needed: versions still learning, watches that refuse."""
    since: datetime | None
    until: datetime | None
    """First and last moment of the record that any of its watches saw."""
    watches: list[Line]


def ledger_of(
    watches: Sequence[Watch], accounts: Sequence[Account], settings: Settings
) -> Mapping[Tier, TierLedger]:
    """The ledger of an application, tier by tier."""
    yearly = budgets(watches, settings)
    share = {watch.name: yearly.get(watch.id, 0.0) for watch in watches}
    clocks = {watch.name: watch.clock for watch in watches}
    made = {}
    for tier in Tier:
        mine = [a for a in accounts if a.tier == tier and a.detector not in OWN_ERROR_RATE]
        now = {w.name for w in watches if w.tier is tier}
        lines = [
            _line(name, [a for a in mine if a.watch == name], share[name] if name in now else 0.0)
            for name in sorted({a.watch for a in mine} | {n for n in now if share[n]})
        ]
        since = min((a.started_at for a in mine if a.started_at), default=None)
        ends = [a.last_observed_at for a in mine] + [clocks[n] for n in now if share[n]]
        until = max((moment for moment in ends if moment), default=None)
        whole = Line(
            tier.value,
            settings.budget(tier),
            sum(line.spent for line in lines),
            sum(line.head_starts for line in lines),
            sum(line.alarms for line in lines),
        )
        years = 0.0
        if since is not None and until is not None:
            years = (to_micros(until) - to_micros(since)) / YEAR_US * settings.time_scale
        made[tier] = TierLedger(whole, settings.budget(tier) * years, since, until, lines)
    return made


def _line(name: str, accounts: Sequence[Account], budget: float) -> Line:
    heads = sum(account.head_starts for account in accounts)
    return Line(
        name,
        budget,
        max(0.0, sum(account.granted for account in accounts) - heads),
        heads,
        sum(account.alarms for account in accounts),
    )
