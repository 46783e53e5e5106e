"""Workers behind one port tell each other their numbers, so that a scrape shows all of them.

Which worker a scrape reaches is chance. Each series carries the number of its worker: a sum over
them would fall whenever one is started again, which Prometheus would take for new traffic.
"""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from serving.exposition import Family, Fronts, Page, text, written
from serving.metrics import WORKER

ANSWER_SECONDS = 1.0
"""A worker that says nothing for so long is left out of the scrape."""

log = logging.getLogger("serving.siblings")


class Siblings:
    """This worker's end of the exchange.

    Parameters
    ----------
    folder
        The data folder that the workers share.
    worker
        Number of this one; 0 where there is only one process.
    read
        Writes the numbers of the moment on a page, part by part.
    """

    def __init__(self, folder: Path, worker: int, read: Callable[[Page], Iterable[None]]) -> None:
        self._folder = folder
        self._worker = worker
        self._read = read
        self._fronts = Fronts({WORKER: str(worker)} if worker else None)
        self._decoder = msgspec.msgpack.Decoder(list[Family])

    async def scrape(self) -> bytes:
        """Prometheus' text of all workers of the folder."""
        others = await asyncio.to_thread(self._others) if self._worker else {}
        answers = await asyncio.gather(*map(self._ask, others.values()))
        own = await self._families()
        numbered = {self._worker: own} | {
            number: answer
            for number, answer in zip(others, answers, strict=True)
            if answer is not None
        }
        return text(page for _, page in sorted(numbered.items()))

    async def _families(self) -> list[Family]:
        page = Page(self._fronts)
        await written(self._read(page))
        return await page.families()

    def _others(self) -> dict[int, str]:
        """Addresses of the other workers, by number."""
        found = {}
        for path in sorted(self._folder.glob("worker-*/numbers")):
            number = int(path.parent.name.rpartition("-")[2])
            if number != self._worker:
                found[number] = path.read_text()
        return found

    async def _ask(self, address: str) -> list[Family] | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(address)
                try:
                    return self._decoder.decode(await reader.read())
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.DecodeError) as error:
            # It is being started again, or was one of a larger number of workers.
            log.info("worker_not_scraped address=%s error=%r", address, error)
            return None

    async def answer(self) -> None:
        """Tell the other workers this one's numbers, for ever."""
        # A Unix socket's path holds 107 bytes; a data folder may lie deeper than that.
        place = Path(tempfile.mkdtemp(prefix="leadsman-"))
        told = self._folder / f"worker-{self._worker}" / "numbers"
        try:
            server = await asyncio.start_unix_server(self._tell, place / "numbers.sock")
            async with server:
                told.write_text(str(place / "numbers.sock"))
                await server.serve_forever()
        finally:
            told.unlink(missing_ok=True)
            shutil.rmtree(place, ignore_errors=True)

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(msgspec.msgpack.encode(await self._families()))
            await writer.drain()
        except OSError as error:
            log.info("numbers_not_told error=%r", error)
        finally:
            writer.close()
