"""A load generator of our own, for machines without wrk: many keep-alive connections, one process.

Each connection sends the same request again as soon as its answer is there. Run as a program it
prints what it saw as JSON.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import uvloop

END_OF_HEADERS = b"\r\n\r\n"


@dataclass(slots=True)
class Load:
    """What one run sends, and what it saw."""

    request: bytes
    ends_at: float
    counts_from: float
    """Answers before it warm up and are not counted."""
    latencies: list[float] = field(default_factory=list)
    bad: int = 0
    first_bad: str = ""


class Caller(asyncio.Protocol):
    """One connection that asks again and again."""

    def __init__(self, load: Load, done: asyncio.Future[None]) -> None:
        self._load = load
        self._done = done
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take an answer once it is whole, and ask again."""
        self._buffer += data
        head, found, body = self._buffer.partition(END_OF_HEADERS)
        if not found or len(body) < _length(head):
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 200"):
            self._load.bad += 1
            self._load.first_bad = self._load.first_bad or self._buffer[:300].decode(
                errors="replace"
            )
        elif self._sent_at >= self._load.counts_from:
            self._load.latencies.append(now - self._sent_at)
        self._buffer = b""
        if now < self._load.ends_at:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the server closed."""
        if time.perf_counter() < self._load.ends_at:
            self._load.bad += 1
            self._load.first_bad = self._load.first_bad or f"connection lost: {exc}"
        if not self._done.done():
            self._done.set_result(None)

    def _ask(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._load.request)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def run(port: int, request: bytes, connections: int, seconds: float, warm: float) -> Load:
    """Ask over so many connections for some seconds.

    Parameters
    ----------
    request
        Head and body as they go over the wire.
    warm
        Seconds at the start that are not counted.
    """
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    load = Load(request, start + warm + seconds, start + warm)
    waits = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(partial(Caller, load, done), "127.0.0.1", port)
        waits.append(done)
    await asyncio.gather(*waits)
    return load


def main() -> None:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("request", type=Path)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm", type=float, default=0.5)
    asked = parser.parse_args()
    load = uvloop.run(
        run(asked.port, asked.request.read_bytes(), asked.connections, asked.seconds, asked.warm)
    )
    latencies = sorted(load.latencies)
    answers = len(latencies)
    print(
        json.dumps(
            {
                "answers": answers,
                "per_second": answers / asked.seconds,
                "p50_ms": latencies[answers // 2] * 1000 if answers else None,
                "p99_ms": latencies[int(answers * 0.99)] * 1000 if answers else None,
                "bad": load.bad,
                "first_bad": load.first_bad,
            }
        )
    )


if __name__ == "__main__":
    main()
