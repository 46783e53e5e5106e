"""Postgres notifications by which serving processes hear of each other's changes at once.

A notice says what to read again, never what it reads: one that is lost costs a poll's delay.
"""

from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from serving.store.revisions import CHANNEL as REVISIONS


class Channel(StrEnum):
    """What is told, and what the payload is."""

    REVISIONS = REVISIONS
    """Id of an application with a new revision."""
    APPLICATIONS = "leadsman_applications"
    """Id of an application that was made, changed or deleted."""
    KEYS = "leadsman_keys"
    """A key was made or revoked."""
    REPLICAS = "leadsman_replicas"
    """A version was given other replicas."""
    ANNOUNCEMENTS = "leadsman_announcements"
    """Id of a route change that was announced, answered or decided."""
    SWITCHED = "leadsman_switched"
    """`application:revision:process`: a process goes by a revision."""


async def notify(connection: AsyncConnection, channel: Channel, payload: object = "") -> None:
    """Tell every process, at the commit of the transaction."""
    await connection.execute(
        text("SELECT pg_notify(:channel, :payload)"),
        {"channel": channel.value, "payload": str(payload)},
    )
