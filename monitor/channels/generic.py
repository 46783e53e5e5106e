"""Leadsman's own JSON (docs/schemas/alert-v1.json), plain or in an envelope of CloudEvents 1.0."""

from monitor.alerts.detail import ordered
from monitor.channels.base import Message, encoded
from monitor.records import Json
from monitor.store.webhooks import Delivery

SCHEMA = "leadsman.alert/1"
"""Name and version of the body. A field may be added to a version; nothing else may change."""


def generic(delivery: Delivery) -> Json:
    """The event with its parts in the order of the schema."""
    event = delivery.body
    data = event.get("data", {})
    head = ("alert", "application", "version", "group", "kind", "tier", "state", "title", "text")
    first = {name: data[name] for name in head if name in data}
    told = ordered(data)
    return {
        "schema": SCHEMA,
        "type": event.get("type", delivery.event),
        "timestamp": event.get("timestamp"),
        "data": first | told if "what" in told else data,
    }


def plain(delivery: Delivery) -> Message:
    """The body of the format generic."""
    return Message(encoded(generic(delivery)))


def cloud_event(delivery: Delivery, source: str) -> Message:
    """The same in a structured envelope of CloudEvents 1.0.

    Parameters
    ----------
    source
        Address of this monitor.
    """
    event = generic(delivery)
    number = event["data"].get("alert")
    envelope: Json = {
        "specversion": "1.0",
        "id": str(delivery.id),
        "source": source,
        "type": f"leadsman.{event['type']}.v1",
        "time": event["timestamp"],
        "datacontenttype": "application/json",
        "data": event,
    }
    if number is not None:
        envelope["subject"] = f"alerts/{number}"
    return Message(encoded(envelope), "application/cloudevents+json")
