"""The tables that the monitor writes, one file each."""

from monitor.schema.alerts import AlertEventRow, AlertRow, SilenceRow
from monitor.schema.base import MonitorTable
from monitor.schema.cursors import CursorRow
from monitor.schema.remedies import RemedyRow
from monitor.schema.signals import AlarmRow, SignalPointRow
from monitor.schema.watches import WatchRow, WatchStateRow
from monitor.schema.webhooks import DeliveryAttemptRow, DeliveryRow, WebhookRow

__all__ = [
    "AlarmRow",
    "AlertEventRow",
    "AlertRow",
    "CursorRow",
    "DeliveryAttemptRow",
    "DeliveryRow",
    "MonitorTable",
    "RemedyRow",
    "SignalPointRow",
    "SilenceRow",
    "WatchRow",
    "WatchStateRow",
    "WebhookRow",
]
