"""The embedded server's whole life, with the real programs."""

import asyncio
import os
import shutil
import socket
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from leadsman import postgres_binaries
from leadsman.embedded_postgres import (
    DataDirInUseError,
    EmbeddedPostgres,
    EmbeddedPostgresError,
    PortTakenError,
    PostgresBinariesError,
)
from tests.support.postgres import SPEED_BEFORE_SAFETY, execute

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def ask(url: str, question: str) -> Any:
    """Put one question to a server."""

    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that is not started yet, in a folder with a difficult name."""
    made = EmbeddedPostgres(tmp_path / 'a folder\'s "name" é', options=SPEED_BEFORE_SAFETY)
    yield made
    made.stop(timedelta(seconds=5))


def test_a_test_gets_a_migrated_database(database: str) -> None:
    assert ask(database, "SELECT count(*) FROM predictions") == 0


def test_rows_are_there_after_a_stop_and_a_start(server: EmbeddedPostgres) -> None:
    url = server.start()
    assert server.poll() is None
    execute(url, "CREATE TABLE kept AS SELECT 42 AS n")
    process = psutil.Process(server.pid)
    family = [process, *process.children(recursive=True)]
    server.stop()
    assert server.poll() == 0
    gone, alive = psutil.wait_procs(family, timeout=5)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert gone
    again = server.start()
    assert again == url
    assert ask(again, "SELECT n FROM kept") == 42
    server.stop()
    server.stop()


def test_only_the_password_opens_it_and_only_on_this_machine(server: EmbeddedPostgres) -> None:
    url = server.start()
    parts = urlsplit(url)
    wrong = url.replace(str(parts.password), "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(wrong, "SELECT 1")
    for file in ("password", "port", "lock"):
        assert stat.S_IMODE((server.data_dir / file).stat().st_mode) == 0o600
    assert ask(url, "SHOW password_encryption") == "scram-sha-256"
    assert ask(url, "SHOW unix_socket_directories") == ""
    listening = {
        connection.laddr.ip
        for connection in psutil.Process(server.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_the_server_is_somebody_else_below_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "data", options=SPEED_BEFORE_SAFETY)
    try:
        assert ask(server.start(), "SELECT 1") == 1
        assert psutil.Process(server.pid).uids().effective != 0
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_unreadable_programs_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "closed" / "packages"
    packages.mkdir(parents=True, mode=0o700)
    (tmp_path / "closed").chmod(0o700)
    original = postgres_binaries.wheel_bin_dir().parent.parent
    shutil.copytree(original, packages / original.name)
    libraries = original.parent / f"{original.name}.libs"
    shutil.copytree(libraries, packages / libraries.name)
    # pytest's own folder is closed to others; the copy must not be.
    readable = Path(f"/tmp/leadsman-test-{os.getpid()}")
    monkeypatch.setattr(postgres_binaries, "READABLE_COPY", readable)
    monkeypatch.setattr(
        postgres_binaries, "wheel_bin_dir", lambda: packages / original.name / "pginstall" / "bin"
    )
    server = EmbeddedPostgres(tmp_path / "data", options=SPEED_BEFORE_SAFETY)
    try:
        assert ask(server.start(), "SELECT 1") == 1
        copies = list(readable.iterdir())
        server.stop()
        server.start()
        assert list(readable.iterdir()) == copies
        assert len(copies) == 1
    finally:
        server.stop()
        shutil.rmtree(readable)


def test_two_owners_of_a_folder_get_one_clear_error(server: EmbeddedPostgres) -> None:
    url = server.start()
    second = EmbeddedPostgres(server.data_dir)
    with pytest.raises(DataDirInUseError, match=f"in use by process {os.getpid()}"):
        second.start()
    assert ask(url, "SELECT 1") == 1
    with pytest.raises(EmbeddedPostgresError, match="running already"):
        server.start()
    server.stop()
    assert ask(second.start(), "SELECT 1") == 1
    second.stop()


def test_a_remembered_port_that_is_taken_is_given_up(server: EmbeddedPostgres) -> None:
    first = urlsplit(server.start()).port
    server.stop()
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", first or 0))
        taker.listen()
        url = server.start()
        assert urlsplit(url).port != first
        assert ask(url, "SELECT 1") == 1


def test_a_demanded_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        port = taker.getsockname()[1]
        server = EmbeddedPostgres(tmp_path, port=port, options=SPEED_BEFORE_SAFETY)
        with pytest.raises(PortTakenError, match=f"port {port} is taken"):
            server.start()
    assert urlsplit(server.start()).port == port
    server.stop()


def test_an_initialisation_that_was_cut_off_is_begun_anew(server: EmbeddedPostgres) -> None:
    half = server.data_dir / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert ask(server.start(), "SELECT 1") == 1


def test_a_setting_that_the_server_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, options={"shared_buffers": "a lot"})
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers"):
        server.start()
    assert server.poll() is not None


def test_a_folder_without_programs_is_an_error(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data", bin_dir=tmp_path)
    with pytest.raises(PostgresBinariesError, match="holds no postgres and initdb"):
        server.start()


@pytest.mark.skipif(not DEBIAN_15.exists(), reason="needs Debian's Postgres 15")
def test_the_programs_of_another_release_serve_as_well(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, bin_dir=DEBIAN_15, options=SPEED_BEFORE_SAFETY)
    assert ask(server.start(), "SHOW server_version").startswith("15.")
    server.stop()
