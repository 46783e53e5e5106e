"""Who wants a route changed, why and on which condition: values, and the transaction they bring."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from serving.records import Key, Revision

Probe = dict[str, Any] | list[Any]
"""An input, as a request would state it."""


class Recording(Protocol):
    """The transaction in which a revision is written."""

    @property
    def connection(self) -> AsyncConnection:
        """Where to write."""

    async def revised(self, revision: Revision) -> None:
        """Write what else belongs to the change, before the commit."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants a change, why, and on which condition."""

    key: Key
    begin: Callable[[], AbstractAsyncContextManager[Recording]]
    """Opens the transaction of the change."""
    reason: str | None = None
    evidence: dict[str, Any] | None = None
    expected_revision: int | None = None
    """The change is refused if another revision is in force."""
    probe: Probe | None = None
    """An input that every version must answer first; its own reference rows where absent."""
