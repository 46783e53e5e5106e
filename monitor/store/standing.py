"""What was decided about an alert's fault on behalf of another alert of the same version."""

from collections.abc import Iterable

from sqlalchemy import and_, any_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.records import Alert, Json, Remedy
from monitor.remedies.guards import IN_FLIGHT
from monitor.schema import RemedyRow
from monitor.store.arrays import listed
from monitor.store.remedies import remedy_of
from serving.schema import RevisionRow


async def read_standing(connection: AsyncConnection, alert: Alert) -> list[Json]:
    """Remedies of other alerts that stand for the fault of this one, oldest first.

    A remedy is about a version's fault if it takes traffic away from that version or asks for its
    successor. It stands while it is proposed or under way, and once it acted for as long as the
    route that it made is in force.

    Returns
    -------
    list of dict
        `remedy`, `alert`, `kind`, `from`, `to`, `state` and `reason`; of one whose outcome is known
        the state is the outcome.
    """
    return (await read_standing_of(connection, [alert]))[alert.id]


async def read_standing_of(
    connection: AsyncConnection, alerts: Iterable[Alert]
) -> dict[int, list[Json]]:
    """The same for several alerts, by their numbers."""
    wanted = list(alerts)
    found = await _standing(connection, {alert.application_id for alert in wanted})
    return {
        alert.id: [
            _told(remedy)
            for remedy in found
            if remedy.application_id == alert.application_id and _is_about(remedy, alert)
        ]
        for alert in wanted
    }


async def _standing(connection: AsyncConnection, applications: set[int]) -> list[Remedy]:
    if not applications:
        return []
    current = (
        select(func.max(RevisionRow.revision))
        .where(RevisionRow.application_id == RemedyRow.application_id)
        .scalar_subquery()
    )
    undecided = RemedyRow.state.in_((*IN_FLIGHT, "proposed"))
    training = and_(RemedyRow.kind == "retrain", RemedyRow.outcome.is_(None))
    query = (
        select(*RemedyRow.__table__.c)
        .where(
            RemedyRow.application_id == any_(listed(applications)),
            RemedyRow.alert_id.is_not(None),
            or_(
                and_(undecided, RemedyRow.from_revision == current),
                and_(RemedyRow.state == "acted", or_(RemedyRow.to_revision == current, training)),
            ),
        )
        .order_by(RemedyRow.id)
    )
    return [remedy_of(row) for row in await connection.execute(query)]


def _is_about(remedy: Remedy, alert: Alert) -> bool:
    if remedy.alert_id == alert.id or remedy.request.get("from") != version_name(alert):
        return False
    return alert.resolved_at is None or remedy.decided_at <= alert.resolved_at


def version_name(alert: Alert) -> str | None:
    """The version in question, as remedies name it."""
    where: Json = alert.detail.get("where", {})
    name: str | None = where.get("version")
    return name


def _told(remedy: Remedy) -> Json:
    known = remedy.outcome not in (None, "untested")
    reason = (remedy.outcome_detail or {}).get("reason") if known else remedy.state_reason
    return {
        "remedy": remedy.id,
        "alert": remedy.alert_id,
        "kind": remedy.kind,
        "from": remedy.request.get("from"),
        "to": remedy.request.get("to"),
        "state": remedy.outcome if known else remedy.state,
        "reason": reason,
    }
