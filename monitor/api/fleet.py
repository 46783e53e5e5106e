"""All applications at a glance, worst first."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from monitor.api.context import Reader, Transaction
from monitor.api.problems import PROBLEMS
from monitor.views.fleet import Standing, order, standings

router = APIRouter(prefix="/v1", tags=["fleet"], responses=PROBLEMS)


class Mean(BaseModel):
    """A mean with its 95 % interval."""

    n: int
    mean: float | None
    low: float | None
    high: float | None


class Change(BaseModel):
    """The newest revision of a route."""

    revision: int
    kind: str
    at: datetime
    actor: str
    reason: str | None


class Worst(BaseModel):
    """The gravest open alert."""

    id: int
    title: str


class FleetLine(BaseModel):
    """One application."""

    application: str
    task: str
    state: str
    """firing, pending, acknowledged, learning, ok or idle; idle has no route or no traffic."""
    tier: str | None
    """The gravest tier among its open alerts."""
    version: str | None
    policy: dict[str, Any] | None
    seen_at: datetime | None
    """Start of the last hour in which anything was answered."""
    requests: int
    """Answers in the day that ends there."""
    hours: list[int]
    """The same by hour, the oldest first."""
    loss: Mean
    """Of the version in service, over the day that ends with the last label."""
    reference: float | None
    """Mean loss that the version's reference promises."""
    alerts: dict[str, int]
    """Open ones by tier."""
    worst: Worst | None
    """The gravest of them."""
    proposed: int
    """Remedies that wait for an approval."""
    last_change: Change | None

    @classmethod
    def of(cls, one: Standing) -> "FleetLine":
        """From the record."""
        told = one.loss.interval()
        return cls(
            application=one.name,
            task=one.task,
            state=one.state,
            tier=one.tier,
            version=one.version,
            policy=one.policy,
            seen_at=one.seen_at,
            requests=sum(one.hours),
            hours=list(one.hours),
            loss=Mean(n=one.loss.n, mean=told["mean"], low=told["low"], high=told["high"]),
            reference=one.reference,
            alerts=one.alerts,
            worst=None if one.worst is None else Worst(**one.worst),
            proposed=one.proposed,
            last_change=None if one.change is None else Change(**one.change),
        )


@router.get("/fleet", summary="How all applications do")
async def show_fleet(connection: Transaction, _: Reader) -> list[FleetLine]:
    """Every application, worst first: version, traffic, loss, open alerts, last change."""
    return [FleetLine.of(one) for one in order(await standings(connection))]
