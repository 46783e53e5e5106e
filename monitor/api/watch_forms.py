"""Forms of an application's watches as one whole, and of its ledger."""

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from monitor.api.forms import Form, WatchAnswer
from monitor.settings import Tier
from monitor.views.ledger import Line, TierLedger
from monitor.watches.changes import Action, Change
from monitor.watches.entries import MOST_WATCHES, Budgets, WatchEntry


class WatchesRequest(Form):
    """All watches that an application shall have."""

    watches: list[WatchEntry] = Field(default=[], max_length=MOST_WATCHES)
    """One's own, and default ones that are to differ; an operator's watch that is absent goes."""
    defaults: bool = True
    """Whether default watches that are not named run as well."""
    budgets: Budgets = Field(default={})
    """False alarms a year for a tier; of a tier that is absent the monitor's own setting counts."""


class BudgetsRequest(Form):
    """What an application allows each tier."""

    budgets: Budgets
    """False alarms a year for a tier; of a tier that is absent the monitor's own setting counts."""


class WatchChangeAnswer(BaseModel):
    """What becomes of one watch."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    action: Action
    restarts: bool
    """Whether its tests begin anew; what they were granted stays in the ledger."""
    fields: dict[str, dict[str, Any]]
    """Of a changed watch: each field that differs, `from` and `to`."""

    @classmethod
    def of(cls, change: Change) -> "WatchChangeAnswer":
        """From the comparison."""
        fields = {name: {"from": old, "to": new} for name, (old, new) in change.fields.items()}
        return cls(name=change.name, action=change.action, restarts=change.restarts, fields=fields)


class WatchesAnswer(BaseModel):
    """An application's watches, and what was or would be changed."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    application: str
    dry_run: bool
    changes: list[WatchChangeAnswer]
    """Of every watch that does not stay as it is."""
    budgets: dict[Tier, dict[str, float]]
    """Of each tier whose budget does not stay as it is: false alarms a year, `from` and `to`."""
    watches: list[WatchAnswer]
    """As they are now; after a dry run that is as they were."""


class DeclaredWatches(BaseModel):
    """An application's watches as a file states them."""

    application: str
    budgets: Budgets
    watches: list[dict[str, Any]]


class LedgerLine(BaseModel):
    """One watch's account."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    budget_per_year: float
    """Its share of false alarms a year as things stand; 0 of a watch that is off or gone."""
    spent: float
    """Expected false alarms that time bought for rows that were tested."""
    head_starts: float
    """What new versions and segments began with, beside the yearly budget."""
    expected_false_alarms: float
    """At most so many are to be expected so far, had nothing ever changed."""
    alarms: int
    """Alarms so far, true ones among them."""

    @classmethod
    def of(cls, line: Line) -> "LedgerLine":
        """From the accounts."""
        return cls(
            name=line.name,
            budget_per_year=line.budget_per_year,
            spent=line.spent,
            head_starts=line.head_starts,
            expected_false_alarms=line.expected_false_alarms,
            alarms=line.alarms,
        )


class LedgerOfTier(LedgerLine):
    """One tier's account."""

    granted: float
    """What time allowed so far: the yearly budgets times the years for which they held."""
    since: AwareDatetime | None
    until: AwareDatetime | None
    """First and last moment of the record that any of its watches saw."""
    watches: list[LedgerLine]

    @classmethod
    def of_tier(cls, tier: TierLedger) -> "LedgerOfTier":
        """From the accounts."""
        return cls(
            **LedgerLine.of(tier.whole).model_dump(),
            granted=tier.granted,
            since=tier.since,
            until=tier.until,
            watches=[LedgerLine.of(line) for line in tier.watches],
        )


class LedgerAnswer(BaseModel):
    """The false alarms that an application was allowed, and what came of them."""

    application: str
    tiers: list[LedgerOfTier]
