"""The time of day, for pauses and cool-downs alone: nothing that a test concludes depends on it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment, in UTC."""


def utc_now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)
