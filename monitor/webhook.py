"""Signed delivery of alerts: headers, pauses, and where a webhook may lead.

The headers are those of Standard Webhooks: https://www.standardwebhooks.com.
"""

import asyncio
import base64
import hmac
import ipaddress
import random
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import msgspec

from monitor.errors import ForbiddenTargetError, InvalidRequestError
from monitor.store.webhooks import Delivery

PREFIX = "whsec_"
"""What a secret begins with as it travels; the rest is base64."""
LONGEST_PAUSE = timedelta(minutes=5)


def new_secret() -> str:
    """A secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, identifier: str, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body, as the header carries it.

    Parameters
    ----------
    secret
        As `new_secret` makes it.
    timestamp
        Whole seconds since 1970; a receiver refuses what is older than some minutes.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{identifier}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def pause(attempts: int, first: timedelta, uniform: float) -> timedelta:
    """How long to wait after so many failed attempts: doubled each time, up to five minutes.

    Parameters
    ----------
    uniform
        In [0, 1): spreads the pause over its upper half, so that receivers are not all called at
        once.
    """
    whole = min(first * 2 ** min(attempts - 1, 30), LONGEST_PAUSE)
    spread: timedelta = whole * (0.5 + uniform / 2)
    return spread


async def check_target(url: str, *, allow_private: bool) -> None:
    """Refuse an address that is no http(s) URL or leads into a private network."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequestError("/url", "an http or https URL", url)
    if allow_private:
        return
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or 443, type=socket.SOCK_STREAM
        )
    except OSError as error:
        raise InvalidRequestError("/url", f"a host that can be found ({error})", url) from error
    for *_, address in found:
        if not ipaddress.ip_address(address[0]).is_global:
            raise ForbiddenTargetError(parts.hostname, str(address[0]))


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went."""

    status: int | None
    error: str | None
    duration_ms: float

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300


async def send(
    client: httpx.AsyncClient, delivery: Delivery, now: datetime, *, allow_private: bool
) -> Attempt:
    """Try once. A redirect is no success: it would lead past the check of the address."""
    body = msgspec.json.encode(delivery.body)
    timestamp = int(now.timestamp())
    started = time.perf_counter()
    status, error = None, None
    try:
        await check_target(delivery.url, allow_private=allow_private)
        response = await client.post(
            delivery.url,
            content=body,
            headers={
                "content-type": "application/json",
                "webhook-id": str(delivery.id),
                "webhook-timestamp": str(timestamp),
                "webhook-signature": signature(delivery.secret, str(delivery.id), timestamp, body),
            },
        )
        status = response.status_code
    except (httpx.HTTPError, InvalidRequestError, ForbiddenTargetError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Attempt(status, error, (time.perf_counter() - started) * 1000)


def jitter() -> float:
    """A number in [0, 1) for `pause`."""
    return random.random()  # spreads pauses, keeps no secret
