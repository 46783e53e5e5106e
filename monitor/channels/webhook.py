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

from monitor.channels import Message
from monitor.errors import ForbiddenTargetError, InvalidRequestError
from monitor.store.webhooks import Delivery

PREFIX = "whsec_"
"""What a secret begins with as it travels; the rest is base64."""
LONGEST_PAUSE = timedelta(minutes=15)
WORDS = 500
"""Characters of a refusal that are kept."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that a gateway turns into IPv4."""


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
    """How long to wait after so many failed attempts: doubled each time, up to a limit.

    Parameters
    ----------
    uniform
        In [0, 1): spreads the pause over its upper half, so that receivers are not all called at
        once.
    """
    whole = min(first * 2 ** min(attempts - 1, 30), LONGEST_PAUSE)
    spread: timedelta = whole * (0.5 + uniform / 2)
    return spread


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, also when it is wrapped in IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return address.is_global and not address.is_multicast


async def check_target(url: str, *, allow_private: bool) -> list[str]:
    """Refuse an address that is no http(s) URL or leads into a private network.

    Returns
    -------
    list of str
        IP addresses that the host has now. Who connects takes one of these: asked again, the name
        could lead elsewhere.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidRequestError("/url", "an http or https URL", url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or 443, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError) as error:
        raise InvalidRequestError("/url", f"a host that can be found ({error})", url) from error
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    for address in addresses:
        if not (allow_private or is_public(address)):
            raise ForbiddenTargetError(parts.hostname, address)
    return addresses


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
    client: httpx.AsyncClient,
    delivery: Delivery,
    message: Message,
    now: datetime,
    *,
    allow_private: bool,
) -> Attempt:
    """Try once. A redirect is no success: it would lead past the check of the address."""
    started = time.perf_counter()
    status, error = None, None
    try:
        addresses = await check_target(delivery.url, allow_private=allow_private)
        response = await _post(client, addresses, delivery, message, int(now.timestamp()))
        status = response.status_code
        if not 200 <= status < 300:
            error = response.text[:WORDS] or None
    except (
        httpx.HTTPError,
        httpx.InvalidURL,
        InvalidRequestError,
        ForbiddenTargetError,
    ) as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Attempt(status, error, (time.perf_counter() - started) * 1000)


async def _post(
    client: httpx.AsyncClient,
    addresses: list[str],
    delivery: Delivery,
    message: Message,
    timestamp: int,
) -> httpx.Response:
    url = httpx.URL(delivery.url)
    if message.path and not url.path.endswith(message.path):
        url = url.copy_with(path=url.path.rstrip("/") + message.path)
    signed = signature(delivery.secret, str(delivery.id), timestamp, message.body)
    headers = {
        "host": url.netloc.decode(),
        "content-type": message.content_type,
        "webhook-id": str(delivery.id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signed,
        # A connection that is kept is one to an address; the name may have moved by then.
        "connection": "close",
        **message.headers,
    }
    for address in addresses:
        try:
            # The certificate is checked against the name, the connection goes to the address that
            # was checked.
            return await client.post(
                url.copy_with(host=address),
                content=message.body,
                headers=headers,
                extensions={"sni_hostname": url.host},
                follow_redirects=False,
            )
        except httpx.ConnectError:
            if address == addresses[-1]:
                raise
    raise httpx.ConnectError(f"{url.host} has no address")


def jitter() -> float:
    """A number in [0, 1) for `pause`."""
    return random.random()  # spreads pauses, keeps no secret
