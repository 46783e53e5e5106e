"""Several monitors share the record; one is killed, one is stopped past its leases and goes on, one
is cut off from Postgres. What they conclude is what one undisturbed monitor does."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from migrations.upgrade import upgrade
from tests.support.cut_network import network_to
from tests.support.many_applications import conclusions_of, lay_many
from tests.support.monitoring import catch_up, rows_of, settings_for
from tests.support.postgres import sqlalchemy_url

SHIPMENTS = 60
TTL_S = 1.0


class Monitors:
    """Real monitor processes on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, url: str | None = None) -> subprocess.Popen[bytes]:
        settings = {
            "MONITOR_DATABASE_URL": url or self.url,
            "MONITOR_PORT": "0",
            "MONITOR_SHARDS": "4",
            "MONITOR_LEASE_TTL": f"PT{TTL_S}S",
            "MONITOR_TURN_ROWS": "1",
            "MONITOR_POLL_INTERVAL": "PT0.1S",
            "MONITOR_REMEDY_MODE": "observe",
            "MONITOR_LOG_LEVEL": "INFO",
        }
        with (self.folder / f"monitor-{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "monitor"], env=os.environ | settings, stderr=log
            )
        self.started.append(process)
        return process

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        number = self.started.index(process)
        return (self.folder / f"monitor-{number}.log").read_text()

    def ask(self, query: str) -> list[dict[str, Any]]:
        return asyncio.run(rows_of(self.url, query))

    def held(self) -> dict[int, int]:
        """How many shards each process holds, by its process number."""
        rows = self.ask(
            "SELECT p.name, count(*) FROM monitor_leases l JOIN monitor_processes p"
            " ON p.id = l.holder GROUP BY 1"
        )
        return {int(row["name"].rpartition(":")[2]): row["count"] for row in rows}

    def slowest(self) -> int:
        """Shipments that the shard furthest behind has read."""
        rows = self.ask(
            "SELECT count(*) FILTER (WHERE s.id <= c.shipment_id) AS read FROM monitor_cursors c"
            " CROSS JOIN shipments s GROUP BY c.shard ORDER BY 1"
        )
        return rows[0]["read"] if len(rows) == 4 else 0


@contextmanager
def monitors_on(url: str, folder: Path) -> Iterator[Monitors]:
    monitors = Monitors(url, folder)
    try:
        yield monitors
    finally:
        for process in monitors.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


@pytest.mark.faults
def test_shards_that_change_hands_conclude_what_one_monitor_does(
    database: str, empty_database: str, tmp_path: Path
) -> None:
    asyncio.run(lay_twice(database, empty_database))
    with monitors_on(database, tmp_path) as monitors:
        first, second = monitors.start(), monitors.start()
        wait_until(lambda: monitors.held() == {first.pid: 2, second.pid: 2})
        wait_until(lambda: monitors.slowest() > 2)
        first.kill()
        wait_until(lambda: monitors.held().get(second.pid) == 4)
        third = monitors.start()
        wait_until(lambda: monitors.held() == {second.pid: 2, third.pid: 2})
        reached = monitors.slowest()
        second.send_signal(signal.SIGSTOP)
        wait_until(lambda: monitors.held().get(third.pid) == 4)
        wait_until(lambda: monitors.slowest() > reached)
        tokens = "SELECT shard, token FROM monitor_leases ORDER BY 1"
        before = monitors.ask(tokens)
        second.send_signal(signal.SIGCONT)
        wait_until(lambda: monitors.held() == {second.pid: 2, third.pid: 2})
        wait_until(lambda: monitors.slowest() == SHIPMENTS + 1)
        assert monitors.ask(tokens) != before
    assert_alike(empty_database, database)


@pytest.mark.faults
@pytest.mark.parametrize("comes_back", ["its connections", "new connections alone"])
def test_a_monitor_that_is_cut_off_loses_its_shards_and_no_row_is_evaluated_twice(
    database: str, empty_database: str, tmp_path: Path, comes_back: str
) -> None:
    asyncio.run(lay_twice(database, empty_database))
    tokens = "SELECT shard, token FROM monitor_leases ORDER BY 1"
    with monitors_on(database, tmp_path) as monitors, network_to(database) as (network, url):
        first = monitors.start(url)
        wait_until(lambda: monitors.held() == {first.pid: 4})
        wait_until(lambda: monitors.slowest() > 2)
        before = monitors.ask(tokens)
        network.cut()
        second = monitors.start()
        # Nobody told Postgres, so its sessions stand: the leases have to run out.
        wait_until(lambda: monitors.held().get(second.pid) == 4)
        cut_at = monitors.slowest()
        assert cut_at < SHIPMENTS
        for row, earlier in zip(monitors.ask(tokens), before, strict=True):
            assert row["token"] > earlier["token"]
        wait_until(lambda: monitors.slowest() > cut_at)
        wait_until(lambda: "lease_not_renewed" in monitors.log_of(first))
        if comes_back == "its connections":
            # What it had sent arrives now, late: of turns whose rows the other has read.
            network.mend()
        else:
            network.mend_for_new()
        wait_until(lambda: monitors.held() == {first.pid: 2, second.pid: 2})
        wait_until(lambda: monitors.slowest() == SHIPMENTS + 1)
        assert first.poll() is None
    assert_alike(empty_database, database)


async def lay_twice(disturbed_url: str, undisturbed_url: str) -> None:
    """The same record twice; one is read by one monitor that nothing happens to."""
    await upgrade(sqlalchemy_url(undisturbed_url))
    for url in (disturbed_url, undisturbed_url):
        await lay_many(url, shipments=SHIPMENTS, rows=20)
    await catch_up(settings_for(undisturbed_url))


def assert_alike(undisturbed_url: str, disturbed_url: str) -> None:
    undisturbed = asyncio.run(conclusions_of(undisturbed_url))
    disturbed = asyncio.run(conclusions_of(disturbed_url))
    assert undisturbed["alarms"]
    assert {row["application_id"] for row in undisturbed["alarms"]} == {1, 2, 3, 4}
    for name, wanted in undisturbed.items():
        assert disturbed[name] == wanted, name
