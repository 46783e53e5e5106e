"""Kills of the embedded server and of its owner. The servers here are as safe as a user's."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from leadsman.embedded_postgres import DataDirInUseError, EmbeddedPostgres
from tests.support.postgres import execute

pytestmark = pytest.mark.faults


def _ask(url: str, question: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that is not started yet."""
    made = EmbeddedPostgres(tmp_path)
    yield made
    made.stop()


def test_a_killed_server_starts_again_with_every_committed_row(server: EmbeddedPostgres) -> None:
    url = server.start()
    execute(url, "CREATE TABLE kept (n int)")
    for n in range(3):
        execute(url, f"INSERT INTO kept VALUES ({n})")
        assert server.pid is not None
        psutil.Process(server.pid).kill()
        # At once: the others of the family may be still there.
        while server.poll() is None:
            pass
        assert server.poll() == -signal.SIGKILL
        url = server.start()
        assert _ask(url, "SELECT count(*) FROM kept") == n + 1


def _owner(folder: Path) -> tuple["subprocess.Popen[str]", str, int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.owner_of_postgres", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url, pid = process.stdout.readline().split()
    return process, url, int(pid)


def test_the_next_owner_stops_the_server_of_a_killed_one_and_starts_afresh(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    owner, url, pid = _owner(tmp_path)
    with owner:
        execute(url, "CREATE TABLE kept AS SELECT 42 AS n")
        with pytest.raises(DataDirInUseError, match=f"process {owner.pid}"):
            server.start()
        owner.kill()
    # The server outlives its owner and still answers.
    assert _ask(url, "SELECT n FROM kept") == 42
    again = server.start()
    assert server.pid != pid
    assert _ask(again, "SELECT n FROM kept") == 42
    left = psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    assert not left


def test_owner_and_server_killed_together_cost_no_row(
    tmp_path: Path, server: EmbeddedPostgres
) -> None:
    owner, url, pid = _owner(tmp_path)
    with owner:
        execute(url, "CREATE TABLE kept AS SELECT 42 AS n")
        owner.kill()
        psutil.Process(pid).kill()
    # The dead server is nobody's child now and may not be buried yet: a number that looks alive.
    assert _ask(server.start(), "SELECT n FROM kept") == 42


def test_a_mark_that_names_another_live_process_does_not_stop_the_start(
    server: EmbeddedPostgres,
) -> None:
    server.start()
    mark = server.data_dir / "cluster" / "postmaster.pid"
    lines = mark.read_text().splitlines()
    assert server.pid is not None
    psutil.Process(server.pid).kill()
    while server.poll() is None:
        pass
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        mark.write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
        server.start()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
