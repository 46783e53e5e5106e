"""The tables that the monitor writes, one file each."""

from monitor.schema.alerts import AlertEventRow, AlertRow, SilenceRow
from monitor.schema.automation import AutomationSwitchRow
from monitor.schema.base import MonitorTable
from monitor.schema.budgets import ApplicationBudgetRow
from monitor.schema.cursors import CursorRow
from monitor.schema.leases import LeaseRow, ProcessRow
from monitor.schema.ledger import ClosedLedgerRow
from monitor.schema.remedies import RemedyRow
from monitor.schema.signals import AlarmRow, SignalPointRow, SignalSummaryRow
from monitor.schema.watches import WatchRow, WatchStateRow
from monitor.schema.webhooks import DeliveryAttemptRow, DeliveryRow, WebhookRow

__all__ = [
    "AlarmRow",
    "AlertEventRow",
    "AlertRow",
    "ApplicationBudgetRow",
    "AutomationSwitchRow",
    "ClosedLedgerRow",
    "CursorRow",
    "DeliveryAttemptRow",
    "DeliveryRow",
    "LeaseRow",
    "MonitorTable",
    "ProcessRow",
    "RemedyRow",
    "SignalPointRow",
    "SignalSummaryRow",
    "SilenceRow",
    "WatchRow",
    "WatchStateRow",
    "WebhookRow",
]
