"""Remedies: what was done or is proposed."""

from fastapi import APIRouter

from monitor import metrics
from monitor.alerts.telling import note_remedy
from monitor.api.context import Admin, Reader, StateOf, Transaction, named, read_registry
from monitor.api.forms import Reason, RemedyAnswer
from monitor.api.idempotency import Changes
from monitor.api.problems import PROBLEMS
from monitor.errors import AutomationOffError, ChangeInFlightError, InvalidTransitionError
from monitor.records import Remedy
from monitor.remedies.guards import IN_FLIGHT
from monitor.store import alerts as alert_store
from monitor.store import automation
from monitor.store import remedies as store

router = APIRouter(
    prefix="/v1/remedies", tags=["remedies"], responses=PROBLEMS, route_class=Changes
)


@router.get("", summary="List remedies")
async def list_remedies(
    connection: Transaction, _: Reader, application: str | None = None
) -> list[RemedyAnswer]:
    """Remedies, newest first, each with its outcome and the test that found it."""
    registry = await read_registry(connection)
    number = None if application is None else (await named(connection, application))[0].id
    return [RemedyAnswer.of(r, registry) for r in await store.read_remedies(connection, number)]


@router.post("/{remedy_id}/approve", summary="Let a proposed remedy act")
async def approve(
    state: StateOf,
    connection: Transaction,
    caller: Admin,
    remedy_id: int,
    body: Reason | None = None,
) -> RemedyAnswer:
    """Approve it. Its guards are looked at once more before it acts.

    Refused while automation is off and while another change of the application is in flight.
    """
    remedy = await _open(connection, remedy_id, "approved")
    await automation.wait_for_switch(connection, alone=False)
    switch = await automation.read_automation(connection, remedy.application_id)
    if not switch.enabled:
        raise AutomationOffError(switch.said or "automation is off")
    for other in await store.read_remedies(connection, remedy.application_id):
        if other.state in IN_FLIGHT:
            raise ChangeInFlightError(other.id, other.kind)
    reason = f"approved by {caller.name}" + (f": {body.reason}" if body and body.reason else "")
    remedy = await store.change_remedy(
        connection,
        remedy_id,
        state="approved",
        state_reason=reason,
        next_attempt_at=state.pulse.clock(),
    )
    await _note(connection, remedy)
    state.pulse.wake_hands.set()
    return RemedyAnswer.of(remedy, await read_registry(connection))


@router.post("/{remedy_id}/reject", summary="Refuse a proposed remedy")
async def reject(
    connection: Transaction, caller: Admin, remedy_id: int, body: Reason | None = None
) -> RemedyAnswer:
    """Refuse it. The same cause does not propose it again while the route stays as it is."""
    await _open(connection, remedy_id, "rejected")
    reason = f"rejected by {caller.name}" + (f": {body.reason}" if body and body.reason else "")
    remedy = await store.change_remedy(connection, remedy_id, state="rejected", state_reason=reason)
    metrics.REMEDIES.labels(remedy.kind, remedy.state).inc()
    await _note(connection, remedy)
    return RemedyAnswer.of(remedy, await read_registry(connection))


async def _open(connection: Transaction, remedy_id: int, wanted: str) -> Remedy:
    # The alert before the remedy, in the order in which an alarm's transaction takes them.
    remedy = await store.read_remedy(connection, remedy_id)
    if remedy.alert_id is not None:
        await alert_store.lock_alert(connection, remedy.alert_id)
    remedy = await store.lock_remedy(connection, remedy_id)
    if remedy.state != "proposed":
        raise InvalidTransitionError("the remedy", remedy.state, wanted)
    return remedy


async def _note(connection: Transaction, remedy: Remedy) -> None:
    if remedy.alert_id is not None:
        alert = await alert_store.lock_alert(connection, remedy.alert_id)
        await note_remedy(connection, alert, remedy, remedy.state, remedy.state_reason)
