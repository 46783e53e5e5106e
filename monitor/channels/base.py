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


REMEDY_WORDS = {"acted": "carried out", "recovered": "helped", "not_recovered": "did not help"}
"""Ends of `remedy.*` events that people would not say so."""


def news(event: Json) -> str:
    """What an event brings, in a few words: the alert's state, or what became of a remedy."""
    kind, _, end = event["type"].partition(".")
    if kind != "remedy":
        return str(event["data"]["state"])
    return f"remedy {event['data']['remedy']} {REMEDY_WORDS.get(end, end.replace('_', ' '))}"
