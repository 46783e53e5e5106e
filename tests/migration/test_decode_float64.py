"""The SQL function that reads blocks agrees with the machine, on every supported release."""

import asyncio
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leadsman.embedded_postgres import EmbeddedPostgres
from migrations.upgrade import upgrade
from tests.migration.test_migrations import differences, run_on
from tests.support.postgres import SPEED_BEFORE_SAFETY, sqlalchemy_url, with_database

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
TINY = 5e-324
LARGEST_SUBNORMAL = 2.225073858507201e-308
SMALLEST_NORMAL = 2.2250738585072014e-308
LARGEST = 1.7976931348623157e308

FLOATS = st.lists(
    st.floats(width=64) | st.binary(min_size=8, max_size=8).map(lambda b: struct.unpack("<d", b)[0])
)


@pytest.fixture(scope="module")
def release_15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database of Postgres 15."""
    if not DEBIAN_15.exists():
        pytest.skip("needs Debian's Postgres 15")
    folder = tmp_path_factory.mktemp("postgres15")
    server = EmbeddedPostgres(folder, bin_dir=DEBIAN_15, options=SPEED_BEFORE_SAFETY)
    url = server.start()
    asyncio.run(upgrade(sqlalchemy_url(url)))
    yield url
    server.stop()


@pytest.fixture
def release_18(postgres_url: str, database_template: str) -> str:
    """The session's own migrated database; reading leaves it as it is."""
    return with_database(postgres_url, database_template)


def _same(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return struct.pack("<d", one) == struct.pack("<d", other)


def _agree(url: str, values: Sequence[float]) -> None:
    block = struct.pack(f"<{len(values)}d", *values)

    async def run() -> list[float]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetchval("SELECT decode_float64($1)", block))
        finally:
            await connection.close()

    decoded = asyncio.run(run())
    assert len(decoded) == len(values)
    for one, other in zip(decoded, values, strict=True):
        assert _same(one, other), (one, other)


@example([0.0, -0.0, math.inf, -math.inf, math.nan])
@example([TINY, -TINY, LARGEST_SUBNORMAL, -LARGEST_SUBNORMAL, 1e-310])
@example([SMALLEST_NORMAL, -SMALLEST_NORMAL, LARGEST, -LARGEST])
@example([1.0, -1.0, 0.1, 1 / 3, 1 + 2**-52, 1 - 2**-53])
@given(FLOATS)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_block_is_read_as_the_machine_reads_it(release_18: str, values: list[float]) -> None:
    _agree(release_18, values)


@example([0.0, -0.0, math.inf, -math.inf, math.nan])
@example([TINY, -TINY, LARGEST_SUBNORMAL, SMALLEST_NORMAL, LARGEST])
@given(FLOATS)
@settings(deadline=None, max_examples=30)
def test_release_15_reads_a_block_alike(release_15: str, values: list[float]) -> None:
    _agree(release_15, values)


def test_the_migrations_run_on_release_15_in_full(release_15: str) -> None:
    assert run_on(release_15, differences) == []
