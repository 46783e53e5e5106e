"""`leadsman up` on a Postgres that somebody else runs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from leadsman.client import Client
from leadsman.embedded_postgres import EmbeddedPostgres
from tests.support.service import running_up

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

OLDEST = Path("/usr/lib/postgresql/15/bin")
"""Where Debian keeps the oldest Postgres that is promised to do."""


@pytest.fixture(params=["of the packages", "15"])
def database_url(
    request: pytest.FixtureRequest, empty_database: str, tmp_path: Path
) -> Iterator[str]:
    """Address of an empty database on a running server."""
    if request.param != "15":
        yield empty_database
        return
    if not shutil.which("initdb", path=OLDEST):
        pytest.skip(f"no Postgres 15 at {OLDEST}")
    server = EmbeddedPostgres(tmp_path / "server", bin_dir=OLDEST)
    yield server.start()
    server.stop()


def test_it_serves_on_the_given_database_and_runs_none_of_its_own(
    database_url: str, tmp_path: Path
) -> None:
    with running_up(tmp_path / "data", database_url=database_url) as up:
        answer = httpx.get(f"{up.connection.serving_url}/readyz", timeout=10.0)
        assert answer.json()["checks"]["database"] == "ok"
        with Client(up.connection) as client:
            client.serving("POST", "/v1/applications", {"name": "a", "task": "binary"})
            assert client.serving("GET", "/v1/applications/a")["name"] == "a"
        lines = [" ".join(one.cmdline()) for one in up.children()]
        assert not [line for line in lines if "postgres -D" in line]
        children = up.children()
        assert up.stop() == 0
        assert psutil.wait_procs(children, timeout=10)[1] == []
