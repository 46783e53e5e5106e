"""A network that can be cut: what is sent over it then arrives nowhere, and nobody is told."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

PIECE = 65_536


class Network:
    """Carries connections from a port of its own to a server, until it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._there = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._whole = asyncio.Event()
        self._whole.set()
        self._lost: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = self._run(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Carry nothing any more, either way; no connection is closed."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Carry what was sent meanwhile, and all that comes."""
        self._loop.call_soon_threadsafe(self._whole.set)

    def mend_for_new(self) -> None:
        """Carry new connections; those there are stay dead, and are never told so."""

        def forget() -> None:
            self._lost |= self._writers
            self._whole.set()

        self._loop.call_soon_threadsafe(forget)

    def close(self) -> None:
        """End it with all its connections."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _stop(self) -> None:
        self._server.close()
        mine = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        far_reader, far_writer = await asyncio.open_connection(*self._there)
        self._writers |= {writer, far_writer}
        try:
            ways = self._way(reader, far_writer), self._way(far_reader, writer)
            await asyncio.gather(*ways)
        finally:
            for one in (writer, far_writer):
                self._writers.discard(one)
                one.close()

    async def _way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                await self._whole.wait()
                if writer in self._lost:
                    # Read, so that the sender takes it for sent.
                    continue
                writer.write(piece)
                await writer.drain()
            await self._whole.wait()
            if writer not in self._lost:
                writer.close()


@contextmanager
def network_to(url: str) -> Iterator[tuple[Network, str]]:
    """A network to a server, and the server's URL over it."""
    parts = urlsplit(url)
    network = Network(parts.hostname or "127.0.0.1", parts.port or 5432)
    who = parts.netloc.rpartition("@")[0]
    try:
        yield network, urlunsplit(parts._replace(netloc=f"{who}@127.0.0.1:{network.port}"))
    finally:
        network.close()
