"""Real receivers: slow, failing, redirecting, closing; Alertmanager; a mail server; kill -9."""

import asyncio
import itertools
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.alerts.telling import close_alert
from monitor.channels.outbox import send_due
from monitor.settings import Settings
from monitor.store import alerts as alert_store
from monitor.store.database import connect
from monitor.wall_clock import Clock, utc_now
from tests.support.alert_store import MARKET, add_webhook, open_alert, tell_of
from tests.support.http_server import Call, http_server
from tests.support.monitoring import rows_of, settings_for


def quick(url: str, **changes: Any) -> Settings:
    given = {"webhook_allow_private": True, "webhook_first_pause": timedelta(milliseconds=10)}
    return settings_for(url, **{**given, **changes})


async def deliver(
    engine: AsyncEngine, settings: Settings, rounds: int = 1, clock: Clock = utc_now
) -> None:
    async with httpx.AsyncClient(
        timeout=settings.webhook_timeout.total_seconds(), trust_env=False
    ) as client:
        for _ in range(rounds):
            await send_due(engine, client, settings, clock)
            await asyncio.sleep(0.02 if rounds > 1 else 0)


def test_each_alert_keeps_its_order_and_no_alert_waits_for_another(database: str) -> None:
    failures = iter([500] * 3)

    def answer(call: Call) -> tuple[int, Any]:
        return (next(failures, 200), {}) if call.body["data"]["kind"] == "loss" else (200, {})

    async def check(receiver: str) -> None:
        await add_webhook(database, receiver)
        engine, settings = connect(database), quick(database)
        for case in ("loss", "quality"):
            alert = await open_alert(engine, case)
            await tell_of(engine, alert, "alert.firing")
            await tell_of(engine, alert, "alert.acknowledged")
            async with engine.begin() as connection:
                await close_alert(connection, alert, MARKET, "monitor", "gone", clock=utc_now)
        await deliver(engine, settings, 12)
        await engine.dispose()

    with http_server(answer) as server:
        asyncio.run(check(server.url))
    came = [(c.body["data"]["kind"], c.body["type"], c.headers["webhook-id"]) for c in server.calls]
    lives = ["alert.firing", "alert.acknowledged", "alert.resolved"]
    loss = [(event, number) for kind, event, number in came if kind == "loss"]
    assert [event for event, _ in loss] == ["alert.firing"] * 3 + lives
    assert len({number for _, number in loss}) == 3
    assert [event for kind, event, _ in came if kind == "quality.area"] == lives
    # The other alert went through while this one was still failing.
    assert (
        came.index(next(c for c in came if c[0] == "quality.area" and c[1] == lives[-1]))
        < len(came) - 1
    )


@pytest.mark.parametrize("kind", ["slow", "redirecting", "closing", "garbled", "absent"])
def test_a_bad_receiver_is_retried_then_dead_and_shown(database: str, kind: str) -> None:
    async def check() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        came = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal came
            came += 1
            await reader.readuntil(b"\r\n\r\n")
            if kind == "slow":
                await asyncio.sleep(1)
            elif kind == "redirecting":
                head = f"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:{port}/x\r\n"
                writer.write(f"{head}content-length: 0\r\n\r\n".encode())
            elif kind == "garbled":
                writer.write(b"NOT HTTP AT ALL\r\n\r\n")
            writer.close()

        server = None
        if kind != "absent":
            server = await asyncio.start_server(serve, "127.0.0.1", port)
        await add_webhook(database, f"http://127.0.0.1:{port}/")
        engine = connect(database)
        patience = timedelta(seconds=0.5)
        settings = quick(
            database, webhook_timeout=timedelta(seconds=0.2), webhook_patience=patience
        )
        alert = await open_alert(engine, "loss")
        await tell_of(engine, alert, "alert.firing")
        # Its own time: however long the machine takes for an attempt, there is a second one.
        start, looks = utc_now() + timedelta(seconds=5), itertools.count()
        await deliver(engine, settings, 60, lambda: start + next(looks) * timedelta(seconds=0.02))
        await engine.dispose()
        if server is not None:
            server.close()
        found = await rows_of(database, "SELECT state, attempts FROM deliveries")
        assert [d["state"] for d in found] == ["dead"]
        assert found[0]["attempts"] >= 2
        tried = await rows_of(database, "SELECT status, error FROM delivery_attempts")
        assert len(tried) == found[0]["attempts"]
        expected = {"redirecting": 307}.get(kind)
        assert {t["status"] for t in tried} == {expected}
        assert expected or all(t["error"] for t in tried)
        assert server is None or came == len(tried)

    asyncio.run(check())


def test_a_slow_receiver_holds_up_no_other(database: str) -> None:
    def answer(call: Call) -> tuple[int, Any]:
        if call.path == "/slow":
            # Held until the other has been told everything; a bound keeps a failure from hanging.
            assert told.wait(30)
        else:
            quick_ones.append(call)
            if len(quick_ones) == 3:
                told.set()
        return 200, {}

    told = threading.Event()
    quick_ones: list[Call] = []

    async def check(receiver: str) -> None:
        for path in ("slow", "quick"):
            await add_webhook(database, f"{receiver}/{path}")
        engine, settings = connect(database), quick(database)
        for _ in range(3):
            await tell_of(engine, await open_alert(engine, "loss", subject=str(_)), "alert.firing")
        await deliver(engine, settings)
        await engine.dispose()

    with http_server(answer) as server:
        asyncio.run(check(server.url))
    assert [len(quick_ones), len(server.calls)] == [3, 6]


def test_a_name_that_moves_inside_between_two_attempts_is_refused(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(receiver: str) -> None:
        port = int(receiver.rpartition(":")[2])
        await add_webhook(database, f"http://rebinding.example:{port}/")
        engine = connect(database)
        await tell_of(engine, await open_alert(engine, "loss"), "alert.firing")
        asked = []
        loop = asyncio.get_running_loop()

        async def resolve(host: str, port: int, **_: Any) -> list[Any]:
            # Public when it is asked first; loopback whenever it is asked again.
            asked.append(host)
            address = "192.0.2.1" if len(asked) > 1 else "127.0.0.1"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        # Allowed here so that the receiver can be reached at all: what counts is that the name is
        # asked once, and that the connection goes where that answer said.
        await deliver(engine, quick(database))
        assert asked == ["rebinding.example"]
        await engine.dispose()

    with http_server(lambda _: (200, {})) as server:
        asyncio.run(check(server.url))
    assert len(server.calls) == 1
    assert server.calls[0].headers["host"].startswith("rebinding.example:")


def test_a_monitor_killed_between_attempt_and_record_sends_it_again_under_its_id(
    database: str, tmp_path: Path
) -> None:
    came = threading.Event()
    held = threading.Event()

    def answer(_: Call) -> tuple[int, Any]:
        first = not came.is_set()
        came.set()
        if first:
            held.wait(10)
        return 200, {}

    program = """
import asyncio, sys, httpx
from datetime import timedelta
from monitor.channels.outbox import send_due
from monitor.settings import Settings
from monitor.store.database import connect
from monitor.wall_clock import Clock, utc_now
async def run():
    settings = Settings(database_url=sys.argv[1], webhook_allow_private=True,
                        webhook_timeout=timedelta(seconds=30))
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        await send_due(connect(sys.argv[1]), client, settings, utc_now)
asyncio.run(run())
"""

    async def lay(receiver: str) -> None:
        await add_webhook(database, receiver)
        engine = connect(database)
        await tell_of(engine, await open_alert(engine, "loss"), "alert.firing")
        await engine.dispose()

    async def later() -> None:
        engine = connect(database)
        # Its lease still holds: nobody sends it again before.
        await deliver(engine, quick(database))
        await rows_of(database, "UPDATE deliveries SET next_attempt_at = now() RETURNING 1")
        await deliver(engine, quick(database))
        await engine.dispose()

    with http_server(answer) as server:
        asyncio.run(lay(server.url))
        process = subprocess.Popen([sys.executable, "-c", program, database])
        try:
            assert came.wait(30)
        finally:
            process.kill()
            process.wait()
        held.set()
        assert len(server.calls) == 1
        asyncio.run(later())
        assert len(server.calls) == 2
    assert len({c.headers["webhook-id"] for c in server.calls}) == 1
    assert len({c.raw for c in server.calls}) == 1
    found = asyncio.run(rows_of(database, "SELECT state, attempts FROM deliveries"))
    assert [(d["state"], d["attempts"]) for d in found] == [("delivered", 2)]


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if binary is None:
        pytest.skip("NO ALERTMANAGER: apt-get install prometheus-alertmanager, or its own release")
    config = tmp_path / "am.yml"
    config.write_text(
        "route: {receiver: none, group_by: [application, version]}\nreceivers: [{name: none}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (tmp_path / "am.log").open("w")
    process = subprocess.Popen(
        [
            binary,
            f"--config.file={config}",
            f"--storage.path={tmp_path / 'am'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "am.log").read_text()
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()
        log.close()


def test_a_real_alertmanager_shows_an_alert_until_it_is_resolved(
    database: str, alertmanager: str
) -> None:
    def shown() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{alertmanager}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    async def check() -> None:
        await add_webhook(database, alertmanager, format="alertmanager")
        engine, settings = connect(database), quick(database)
        for case in ("loss", "segment", "quality"):
            await tell_of(engine, await open_alert(engine, case), "alert.firing")
        await deliver(engine, settings)
        found = sorted(shown(), key=lambda a: a["labels"]["alert"])
        assert [a["labels"]["alertname"] for a in found] == [
            "Leadsman_loss",
            "Leadsman_loss",
            "Leadsman_quality.area",
        ]
        assert {a["labels"]["version"] for a in found} == {"price:2"}
        assert found[0]["labels"]["severity"] == "rollback"
        assert found[0]["status"]["state"] in ("active", "unprocessed")
        assert found[0]["annotations"]["description"].startswith("ROLLBACK: market: price:2")
        assert found[0]["generatorURL"].endswith("%2B00%3A00")
        async with engine.begin() as connection:
            for alert in await alert_store.read_alerts(connection, is_open=True):
                await close_alert(connection, alert, MARKET, "monitor", "gone", clock=utc_now)
        await deliver(engine, settings)
        assert shown() == []
        states = await rows_of(database, "SELECT state FROM deliveries")
        assert [s["state"] for s in states] == ["delivered"] * 6
        await engine.dispose()

    asyncio.run(check())


class Mailbox:
    """Keeps what comes; refuses the first."""

    def __init__(self) -> None:
        self.came: list[EmailMessage] = []
        self.refusals = 1

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.came.append(message)
        if self.refusals:
            self.refusals -= 1
            return "451 Try again"
        return "250 OK"


def test_a_real_mail_server_gets_the_text_and_a_retry_keeps_its_id(database: str) -> None:
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()

    async def check() -> None:
        await add_webhook(database, "mailto:oncall@example.com", format="email")
        engine = connect(database)
        settings = quick(database, smtp_host="127.0.0.1", smtp_port=port, smtp_security="none")
        await tell_of(engine, await open_alert(engine, "loss"), "alert.firing")
        await deliver(engine, settings, 3)
        await engine.dispose()

    try:
        asyncio.run(check())
    finally:
        server.stop()
    first, second = mailbox.came
    assert first["Message-ID"] == second["Message-ID"]
    assert second["To"] == "oncall@example.com"
    assert second["Subject"] == "[firing, rollback] market: price:2 errs more than it should"
    assert "How sure:" in second.get_content()
    tried = asyncio.run(
        rows_of(database, "SELECT status, error FROM delivery_attempts ORDER BY attempt")
    )
    assert tried[0]["status"] is None
    assert "451" in tried[0]["error"]
    assert tried[1]["status"] == 250
