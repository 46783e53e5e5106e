"""The tables that serving writes, one file each."""

from serving.schema.applications import ApplicationRow, InputSchemaRow
from serving.schema.base import ServingTable
from serving.schema.feedback import FeedbackRow
from serving.schema.fleet import (
    AnnouncementAnswerRow,
    AnnouncementRow,
    ProcessRow,
    ServedRevisionRow,
)
from serving.schema.keys import IdempotencyRow, KeyRow
from serving.schema.models import ModelRow, ReferenceRow, VersionRow
from serving.schema.policies import PolicyCursorRow, PolicyStatisticsRow
from serving.schema.predictions import PredictionRow
from serving.schema.replicas import ReplicasRow
from serving.schema.routes import RevisionRow
from serving.schema.shipments import JournalRow, ShipmentRow

__all__ = [
    "AnnouncementAnswerRow",
    "AnnouncementRow",
    "ApplicationRow",
    "FeedbackRow",
    "IdempotencyRow",
    "InputSchemaRow",
    "JournalRow",
    "KeyRow",
    "ModelRow",
    "PolicyCursorRow",
    "PolicyStatisticsRow",
    "PredictionRow",
    "ProcessRow",
    "ReferenceRow",
    "ReplicasRow",
    "RevisionRow",
    "ServedRevisionRow",
    "ServingTable",
    "ShipmentRow",
    "VersionRow",
]
