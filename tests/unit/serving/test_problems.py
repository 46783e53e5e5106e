import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from serving.api.problems import is_connection_failure


def wrapped(cause: Exception) -> DBAPIError:
    """An error of the driver as SQLAlchemy gives it: of a general kind, with its cause."""
    general = Exception(str(cause))
    general.__cause__ = cause
    return DBAPIError("SELECT 1", None, general)


@pytest.mark.parametrize(
    "cause",
    [
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        ConnectionResetError(),
    ],
)
def test_a_database_that_is_away_is_known_however_it_is_wrapped(cause: Exception) -> None:
    assert is_connection_failure(cause)
    assert is_connection_failure(wrapped(cause))


def test_a_wrong_statement_is_no_lost_database() -> None:
    assert not is_connection_failure(wrapped(asyncpg.UndefinedTableError("no such table")))
