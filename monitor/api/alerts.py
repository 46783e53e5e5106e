"""Alerts and silences."""

from typing import Literal

from fastapi import APIRouter, status

from monitor.alerts import states as alerts
from monitor.alerts.telling import close_alert, tell
from monitor.api.context import Admin, ClockOf, Reader, Transaction, named, read_registry
from monitor.api.forms import (
    AlertAnswer,
    AlertEventAnswer,
    AlertWhole,
    Reason,
    SilenceAnswer,
    SilenceRequest,
)
from monitor.api.idempotency import Changes
from monitor.api.problems import PROBLEMS
from monitor.errors import InvalidRequestError
from monitor.records import Alert, Registry
from monitor.store import alarms as alarm_store
from monitor.store import alerts as store
from monitor.store.standing import read_standing, read_standing_of

router = APIRouter(prefix="/v1", tags=["alerts"], responses=PROBLEMS, route_class=Changes)


@router.get("/alerts", summary="List alerts")
async def list_alerts(
    connection: Transaction,
    _: Reader,
    application: str | None = None,
    state: Literal["pending", "firing", "acknowledged", "resolved", "open"] | None = None,
) -> list[AlertAnswer]:
    """Alerts, newest first, 500 at most. State `open` means any but resolved."""
    registry = await read_registry(connection)
    number = None if application is None else (await named(connection, application))[0].id
    found = await store.read_alerts(
        connection,
        application_id=number,
        state=None if state == "open" else state,
        is_open=state == "open",
        limit=500,
    )
    standing = await read_standing_of(connection, found)
    return [AlertAnswer.of(alert, registry, standing[alert.id]) for alert in found]


@router.get("/alerts/{alert_id}", summary="Show an alert")
async def show_alert(connection: Transaction, _: Reader, alert_id: int) -> AlertWhole:
    """An alert with its history and the evidence of its alarms, oldest first."""
    registry = await read_registry(connection)
    alert = await store.read_alert(connection, alert_id)
    events = await store.read_alert_events(connection, alert_id)
    mine = [event.detail["alarm"] for event in events if "alarm" in event.detail]
    alarms = [
        {
            "id": row.id,
            "watch": row.watch_id,
            "tier": row.tier,
            "alarmed_at": row.alarmed_at,
            "observation": row.observation,
            "prediction_id": str(row.prediction_id),
            "onset_at": row.onset_at,
            "statistic": row.statistic,
            "threshold": row.threshold,
            "repeats": row.repeats,
            "repeated_at": row.repeated_at,
            "evidence": row.evidence,
        }
        for row in await alarm_store.read_alarms(connection, mine)
    ]
    lines = [
        AlertEventAnswer(at=e.at, event=e.event, actor=e.actor, detail=e.detail) for e in events
    ]
    shown = await _answer(connection, alert, registry)
    return AlertWhole(**shown.model_dump(), alarms=alarms, events=lines)


@router.post("/alerts/{alert_id}/acknowledge", summary="Take an alert in hand")
async def acknowledge(
    connection: Transaction,
    caller: Admin,
    clock: ClockOf,
    alert_id: int,
    body: Reason | None = None,
) -> AlertAnswer:
    """Say that somebody looks after it. A graver alarm makes it fire again."""
    registry = await read_registry(connection)
    alert = await store.lock_alert(connection, alert_id)
    change = alerts.acknowledge(alert.state, alert.tier)  # type: ignore[arg-type]  # the table allows the four states alone
    alert = await store.change_alert(connection, alert_id, state=change.state)
    reason = body.reason if body else None
    await store.add_alert_event(connection, alert_id, change.event, caller.name, {"reason": reason})
    application = registry.applications[alert.application_id]
    await tell(connection, "alert.acknowledged", alert, application, clock=clock)
    return await _answer(connection, alert, registry)


@router.post("/alerts/{alert_id}/resolve", summary="Close an alert")
async def resolve(
    connection: Transaction,
    caller: Admin,
    clock: ClockOf,
    alert_id: int,
    body: Reason | None = None,
) -> AlertAnswer:
    """Say that its cause is gone. The next alarm opens another."""
    registry = await read_registry(connection)
    alert = await store.lock_alert(connection, alert_id)
    reason = (body.reason if body else None) or "resolved by an operator"
    application = registry.applications[alert.application_id]
    alert = await close_alert(connection, alert, application, caller.name, reason, clock=clock)
    return await _answer(connection, alert, registry)


async def _answer(connection: Transaction, alert: Alert, registry: Registry) -> AlertAnswer:
    return AlertAnswer.of(alert, registry, await read_standing(connection, alert))


@router.get("/silences", summary="List silences")
async def list_silences(connection: Transaction, _: Reader, clock: ClockOf) -> list[SilenceAnswer]:
    """Silences that still hold."""
    registry = await read_registry(connection)
    found = await store.read_silences(connection, clock())
    return [SilenceAnswer.of(silence, registry) for silence in found]


@router.post("/silences", status_code=status.HTTP_201_CREATED, summary="Hold back deliveries")
async def make_silence(
    connection: Transaction, caller: Admin, clock: ClockOf, body: SilenceRequest
) -> SilenceAnswer:
    """Hold back deliveries about an application, or one kind of its alerts, until an end.

    What happens meanwhile is not told, however grave it is, but for the end of what was told
    before. What still stands at the end of the silence is told then, once, as it stands.
    """
    application, registry = await named(connection, body.application)
    now = clock()
    if body.until <= now:
        raise InvalidRequestError("/until", "a moment to come", body.until.isoformat())
    made = await store.add_silence(
        connection,
        application_id=application.id,
        kind=body.kind,
        until=body.until,
        author=caller.name,
        reason=body.reason,
        created_at=now,
    )
    return SilenceAnswer.of(made, registry)


@router.delete(
    "/silences/{silence_id}", status_code=status.HTTP_204_NO_CONTENT, summary="End a silence"
)
async def delete_silence(connection: Transaction, _: Admin, silence_id: int) -> None:
    """Let deliveries go out again; what was held back and still stands is told."""
    await store.delete_silence(connection, silence_id)
