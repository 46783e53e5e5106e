"""A remedy that trains: a webhook is called, and what it registers is taken over.

retrain (asks) → challenge (into the shadow) → the paired test → promote. The last is the remedy of
the watch `challenger_better` with its own mode; this one only sees whether it came to that.
"""

import logging

from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.errors import NotFoundError
from monitor.records import Alert, Json, Registry, Remedy, Revision, Version
from monitor.remedies.deciding import add_step
from monitor.remedies.scene import Scene
from monitor.store import registry as registry_store
from monitor.store import remedies as store
from monitor.store import webhooks

log = logging.getLogger("monitor.remedies.retraining")

EVENT = "retrain.requested"
"""Name of the delivery that asks for a new version."""
ENDED = ("failed", "held", "rejected", "observed")
"""States of a completing change that will not be made any more."""


async def ask(connection: AsyncConnection, remedy: Remedy, registry: Registry) -> str | None:
    """Put the call of the webhook into the outbox; why it cannot be called, if so.

    The outbox calls it until it answers: signed, at least once, under one delivery id.
    """
    request = remedy.request
    body: Json = {
        "type": EVENT,
        "timestamp": remedy.decided_at.isoformat(),
        "data": {
            "remedy": remedy.id,
            "alert": remedy.alert_id,
            "application": registry.applications[remedy.application_id].name,
            "model": request["model"],
            "version": request["from"],
            **request.get("body", {}),
        },
    }
    try:
        await webhooks.read_webhook(connection, request["webhook"])
    except NotFoundError as error:
        return str(error)
    delivery = await webhooks.add_delivery(
        connection, request["webhook"], event=EVENT, body=body, alert_id=remedy.alert_id
    )
    await store.change_remedy(connection, remedy.id, request=request | {"delivery": str(delivery)})
    return None


async def look(
    connection: AsyncConnection,
    remedy: Remedy,
    alert: Alert,
    scene: Scene,
) -> tuple[str, str] | None:
    """How a training turned out and why; none while it goes on.

    Returns
    -------
    tuple of str or None
        `recovered` or `not_recovered`, and a sentence.
    """
    current = scene.registry.routes[remedy.application_id].current
    assert current is not None
    assert remedy.acted_at is not None
    made = _registered(remedy, scene.registry)
    if made is None:
        state = await store.read_delivery_state(connection, remedy.request["delivery"])
        if state == "dead":
            return "not_recovered", "the webhook could not be called"
        if scene.clock() > remedy.acted_at + scene.settings.retrain_patience:
            return "not_recovered", f"no version came within {scene.settings.retrain_patience}"
        return None
    if current.champion == made.name:
        return "recovered", f"{made.name} was trained and promoted in revision {current.revision}"
    completing = [
        r
        for r in await store.read_remedies(connection, remedy.application_id)
        if r.follows == remedy.id and r.rule is None
    ]
    if made.name in current.challengers:
        subject = _pair(made, current, scene.registry)
        withdrawal = next((r for r in completing if r.kind == "stop_canary"), None)
        labels = await registry_store.read_paired_labels(connection, remedy.application_id, subject)
        if labels < remedy.request["patience"]:
            return None
        if withdrawal is None:
            step = {"kind": "stop_canary", "subject": subject}
            await add_step(connection, remedy, step, alert, scene)
        elif withdrawal.state in ENDED:
            return "not_recovered", f"{made.name} is not better after {labels} labels of both"
        return None
    if any(r.kind == "stop_canary" and r.state == "acted" for r in completing):
        return "not_recovered", f"{made.name} was trained and is not better on the same rows"
    challenge = next((r for r in completing if r.kind == "challenge"), None)
    if challenge is None:
        step = {"kind": "challenge", "version": made.name}
        await add_step(connection, remedy, step, alert, scene)
        return None
    if challenge.state in ENDED:
        return "not_recovered", f"{made.name} did not come into the shadow: {challenge.state}"
    if challenge.state == "acted":
        return "not_recovered", f"{made.name} was taken out of the route"
    return None


def _registered(remedy: Remedy, registry: Registry) -> Version | None:
    """The first version of the model that came after the asking."""
    newer = [
        v
        for v in registry.versions.values()
        if v.model == remedy.request["model"] and v.id > remedy.request["newest"] and not v.deleted
    ]
    return min(newer, key=lambda v: v.id, default=None)


def _pair(made: Version, current: Revision, registry: Registry) -> str:
    """Subject of the paired test of a trained version."""
    champion = registry.version_named(current.champion or "")
    return str(made.id) if champion is None else f"{made.id},{champion.id}"
