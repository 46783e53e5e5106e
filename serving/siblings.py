"""Workers behind one port tell each other their numbers, so that a scrape shows all of them.

Which worker a scrape reaches is chance. Each series carries the number of its worker: a sum over
them would fall whenever one is started again, which Prometheus would take for new traffic.
"""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

LABEL = "worker"
ANSWER_SECONDS = 1.0
"""A worker that says nothing for so long is left out of the scrape."""

log = logging.getLogger("serving.siblings")


class Family(msgspec.Struct, array_like=True, gc=False):
    """All series of one name, as they travel."""

    name: str
    documentation: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


@dataclass(frozen=True, slots=True, eq=False)
class _Merged(Collector):
    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        """Give what was merged."""
        return self.families


def families_of(registry: CollectorRegistry) -> list[Family]:
    """The numbers of this process."""
    return [
        Family(
            metric.name, metric.documentation, metric.type,
            [(one.name, dict(one.labels), float(one.value)) for one in metric.samples],
        )
        for metric in registry.collect()
    ]  # fmt: skip


def merged(by_worker: dict[int, list[Family]]) -> bytes:
    """Prometheus' text of several workers' numbers, each series with its worker's."""
    found: dict[str, Metric] = {}
    for worker, families in sorted(by_worker.items()):
        for family in families:
            metric = found.get(family.name)
            if metric is None:
                metric = Metric(family.name, family.documentation, family.kind)
                found[family.name] = metric
            for name, labels, value in family.samples:
                metric.add_sample(name, {**labels, LABEL: str(worker)}, value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(list(found.values())))
    return generate_latest(registry)


class Siblings:
    """This worker's end of the exchange.

    Parameters
    ----------
    folder
        The data folder that the workers share.
    worker
        Number of this one; 0 where there is only one process.
    """

    def __init__(self, folder: Path, worker: int, registry: CollectorRegistry) -> None:
        self._folder = folder
        self._worker = worker
        self._registry = registry
        self._decoder = msgspec.msgpack.Decoder(list[Family])

    async def scrape(self) -> bytes:
        """Prometheus' text of all workers of the folder."""
        if not self._worker:
            # In a thread: with many versions the text takes longer than a prediction may wait.
            return await asyncio.to_thread(generate_latest, self._registry)
        others = await asyncio.to_thread(self._others)
        answers = await asyncio.gather(*map(self._ask, others.values()))
        own = await asyncio.to_thread(families_of, self._registry)
        by_worker = {self._worker: own}
        for number, answer in zip(others, answers, strict=True):
            if answer is not None:
                by_worker[number] = answer
        return await asyncio.to_thread(merged, by_worker)

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
            families = await asyncio.to_thread(families_of, self._registry)
            writer.write(msgspec.msgpack.encode(families))
            await writer.drain()
        except OSError as error:
            log.info("numbers_not_told error=%r", error)
        finally:
            writer.close()
