"""Alertmanager's API v2: POST /api/v2/alerts.

Alertmanager knows an alert by its labels, groups by them and forgets what is not repeated; so the
labels stay the same from the first alarm to the end but for the tier, and the end is set far ahead
while the alert stands.
"""

from datetime import datetime, timedelta

from monitor.alerts.kinds import GRAVITY
from monitor.channels.base import Message, encoded
from monitor.records import Json
from monitor.settings import Tier
from monitor.store.webhooks import Delivery

PATH = "/api/v2/alerts"
STANDS = timedelta(days=365)
"""How far ahead the end of an alert lies that has not ended."""


def alertmanager(delivery: Delivery) -> Message:
    """An alert as Alertmanager takes it."""
    event = delivery.body
    data, at = event.get("data", {}), datetime.fromisoformat(event["timestamp"])
    if "what" not in data:
        return Message(encoded([_test(event, at)]), path=PATH)
    stands = data["state"] != "resolved"
    alerts = [_alert(data, data["tier"], at + STANDS if stands else at)]
    if data.get("escalated") or data["state"] == "firing" or not stands:
        # A graver alarm has changed the label of the tier: what stood under the lesser has ended.
        gravity = GRAVITY[Tier(data["tier"])]
        alerts += [_alert(data, t.value, at) for t in GRAVITY if GRAVITY[t] < gravity]
    return Message(encoded(alerts), path=PATH)


def labels(data: Json, tier: str) -> dict[str, str]:
    """By which Alertmanager groups, routes and silences."""
    where = data.get("where", {})
    told = {
        "alertname": "Leadsman_" + data["kind"],
        "application": data["application"],
        "version": data["version"],
        "kind": data["kind"],
        "severity": tier,
        "alert": str(data["alert"]),
        "segment": where.get("segment") or "",
    }
    return {name: value for name, value in told.items() if value}


def _alert(data: Json, tier: str, ends_at: datetime) -> Json:
    starts_at = datetime.fromisoformat(data["since"]["alarmed_at"])
    return {
        "labels": labels(data, tier),
        "annotations": {
            "summary": data["title"],
            "description": data["text"],
            "state": data["state"],
            "runbook": data["runbook"],
        },
        "startsAt": min(starts_at, ends_at).isoformat(),
        "endsAt": ends_at.isoformat(),
        "generatorURL": data["link"],
    }


def _test(event: Json, at: datetime) -> Json:
    by = event.get("data", {}).get("by", "monitor")
    return {
        "labels": {"alertname": "Leadsman_webhook_test", "severity": "info"},
        "annotations": {"summary": f"Test of a webhook by {by}. Nothing is wrong."},
        "startsAt": at.isoformat(),
        "endsAt": (at + timedelta(minutes=1)).isoformat(),
    }
