"""What every form of delivery makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from monitor.records import Json


@dataclass(frozen=True, slots=True)
class Message:
    """A body ready to be sent: the same bytes at every attempt."""

    body: bytes
    content_type: str = "application/json"
    path: str = ""
    """Added to the webhook's address, unless that ends with it."""
    headers: Mapping[str, str] = field(default_factory=dict)


def encoded(body: Json | list[Json]) -> bytes:
    """JSON without superfluous blanks."""
    return msgspec.json.encode(body)
