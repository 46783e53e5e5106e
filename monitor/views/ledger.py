"""The budget as a ledger: what was granted, what of it was spent, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.moments import YEAR_US, to_micros
from monitor.records import Watch
from monitor.settings import Settings, Tier
from monitor.store.ledger import Account
from monitor.watches.budget import OWN_ERROR_RATE, BudgetChange, allowed, budgets


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
    """What the passing of time allowed so far: the yearly budgets times the years for which they
    held. What is not spent was not needed: versions still learning, watches that refuse."""
    since: datetime | None
    until: datetime | None
    """First and last moment of the record that any of its watches saw."""
    watches: list[Line]


def ledger_of(
    watches: Sequence[Watch],
    accounts: Sequence[Account],
    settings: Settings,
    changes: Sequence[BudgetChange] = (),
) -> Mapping[Tier, TierLedger]:
    """The ledger of an application, tier by tier.

    Parameters
    ----------
    changes
        Of the application's own budgets, the oldest first.
    """
    newest = {one.tier: one.per_year for one in changes}
    own = {tier: one for tier, one in newest.items() if one is not None}
    yearly = budgets(watches, settings, own)
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
            allowed(tier, settings, own),
            sum(line.spent for line in lines),
            sum(line.head_starts for line in lines),
            sum(line.alarms for line in lines),
        )
        granted = 0.0
        if since is not None and until is not None:
            mine_changed = [one for one in changes if one.tier is tier]
            granted = _granted(settings.budget(tier), mine_changed, since, until)
        made[tier] = TierLedger(whole, granted * settings.time_scale, since, until, lines)
    return made


def _granted(
    usual: float, changes: Sequence[BudgetChange], since: datetime, until: datetime
) -> float:
    """Each budget times the years of the record for which it held."""
    total, budget, begin = 0.0, usual, since
    for change in changes:
        end = min(max(change.at, begin), until)
        total += budget * (to_micros(end) - to_micros(begin)) / YEAR_US
        budget, begin = usual if change.per_year is None else change.per_year, end
    return total + budget * max(0, to_micros(until) - to_micros(begin)) / YEAR_US


def _line(name: str, accounts: Sequence[Account], budget: float) -> Line:
    heads = sum(account.head_starts for account in accounts)
    return Line(
        name,
        budget,
        max(0.0, sum(account.granted for account in accounts) - heads),
        heads,
        sum(account.alarms for account in accounts),
    )
