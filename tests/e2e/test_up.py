"""`leadsman up` as a person runs it."""

import asyncio
import signal
import stat
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from tests.support.service import (
    command,
    environment,
    free_ports,
    running_up,
    wait_until,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5.0).is_success
    except httpx.HTTPError:
        return False


def test_it_starts_recovers_refuses_a_second_and_leaves_nothing_behind(tmp_path: Path) -> None:
    data_dir = tmp_path / "a folder with spaces"
    with running_up(data_dir) as up:
        where = up.connection
        assert _ready(where.serving_url)
        assert _ready(where.monitor_url)
        assert stat.S_IMODE((data_dir / "admin_key").stat().st_mode) == 0o600
        assert stat.S_IMODE((data_dir / "database_url").stat().st_mode) == 0o600

        ports = [str(port) for port in free_ports(2)]
        again = subprocess.run(
            command(
                "up", "--data-dir", str(data_dir), "--port", ports[0], "--monitor-port", ports[1]
            ),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert again.returncode == 1
        assert again.stdout == ""
        assert len(again.stderr.splitlines()) == 1
        assert f"process {up.process.pid}" in again.stderr

        for words in (("-m", "serving"), ("-m", "monitor"), ("postgres", "-D")):
            victim = up.child(*words)
            victim.kill()
            wait_until(lambda victim=victim: not victim.is_running())
            wait_until(lambda: _ready(where.serving_url) and _ready(where.monitor_url), 60.0)

        # A part that stopped with Postgres may be between its end and its next start.
        wait_until(lambda: len(up.children()) >= 3)
        children = up.children()
        assert up.stop(signal.SIGINT) == 0
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
        assert up.process.stdout is not None
        said = up.process.stdout.read()
        key = (data_dir / "admin_key").read_text().strip()
        assert said.count(key) == 1
        assert said.splitlines()[-1] == "stopped"

    made = (data_dir / "postgres/cluster/PG_VERSION").stat()
    with running_up(data_dir) as up:
        # The record is the one of before: nothing was made anew.
        assert (data_dir / "postgres/cluster/PG_VERSION").stat().st_mtime_ns == made.st_mtime_ns
        up.stop(signal.SIGTERM)
        assert up.process.stdout is not None
        # The key was shown when it was made, and never again.
        assert key not in up.process.stdout.read()


def test_two_monitors_share_the_applications_and_one_takes_over_for_the_other(
    tmp_path: Path,
) -> None:
    def holders() -> list[str | None]:
        async def ask() -> list[str | None]:
            connection = await asyncpg.connect(up.database_url)
            try:
                rows = await connection.fetch("SELECT holder::text FROM monitor_leases")
                return [row["holder"] for row in rows]
            finally:
                await connection.close()

        return asyncio.run(ask())

    with running_up(tmp_path, options=("--monitors", "2")) as up:
        wait_until(lambda: len(set(holders()) - {None}) == 2)
        assert (tmp_path / "logs/monitor-2.log").exists()
        before = set(holders())
        up.child("-m", "monitor").kill()
        # The other holds both shards, until the one that is started again takes its share.
        wait_until(lambda: len(set(holders()) - {None}) == 2 and set(holders()) != before, 60.0)


def test_after_a_kill_of_the_supervisor_the_next_one_starts_afresh(tmp_path: Path) -> None:
    ports = free_ports(2)
    with running_up(tmp_path / "data", ports=(ports[0], ports[1])) as up:
        before = up.children()
        up.process.kill()
        up.process.wait()
        with running_up(tmp_path / "data", ports=(ports[0], ports[1])) as second:
            assert _ready(second.connection.serving_url)
            _, alive = psutil.wait_procs(before, timeout=10)
            assert alive == []


def test_a_taken_port_is_named_in_one_line(tmp_path: Path) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = subprocess.run(
            command("up", "--data-dir", str(tmp_path), "--port", str(port)),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert refused.returncode == 1
    assert refused.stderr == (
        f"leadsman: port {port} is in use by another program; choose one with --port\n"
    )


def test_a_port_that_another_program_takes_meanwhile_is_told_whatever_that_one_answers(
    tmp_path: Path,
) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    port, monitor_port = free_ports(2)
    words = ("up", "--data-dir", str(tmp_path), "--port", str(port))
    with subprocess.Popen(
        command(*words, "--monitor-port", str(monitor_port)), env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as up:  # fmt: skip
        # Its ports have been looked at; serving comes after Postgres.
        wait_until((tmp_path / "postgres").exists)
        with ThreadingHTTPServer(("127.0.0.1", port), Stranger) as stranger:
            threading.Thread(target=stranger.serve_forever, daemon=True).start()
            said, why = up.communicate(timeout=120)
            stranger.shutdown()
    assert up.returncode == 1
    assert "ready" not in said
    assert "serving" in why
    assert "address already in use" in (tmp_path / "logs/serving.log").read_text()
