"""Formats by name, as webhooks call them."""

from monitor.channels.alertmanager import alertmanager
from monitor.channels.base import Message
from monitor.channels.generic import cloud_event, plain
from monitor.channels.slack import slack
from monitor.store.webhooks import Delivery

FORMATS = {"generic": plain, "alertmanager": alertmanager, "slack": slack}
"""Formats that travel by HTTP; email goes by SMTP."""


def render(delivery: Delivery, source: str) -> Message:
    """The body of a delivery in its webhook's format and envelope."""
    if delivery.envelope == "cloudevents":
        return cloud_event(delivery, source)
    return FORMATS[delivery.format](delivery)
