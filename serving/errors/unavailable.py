"""What may go well later: 503 with Retry-After."""

from datetime import timedelta

from serving.errors.base import ServingError


class UnavailableError(ServingError):
    """Cannot now; the same request may succeed later."""

    status = 503

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class JournalFullError(UnavailableError):
    """The journal has reached its limit: an answer could not be recorded, so none is given."""

    code = "journal_full"
    title = "The journal is full"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The journal holds {size} of at most {limit} bytes until Postgres takes them.",
            retry_after=5,
        )


class JournalFailedError(UnavailableError):
    """The disk did not take the record: without it no answer is given."""

    code = "journal_failed"
    title = "The journal cannot be written"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The journal's file could not be written: {reason}.")


class DatabaseUnavailableError(UnavailableError):
    """Postgres does not answer, and this request needs it."""

    code = "database_unavailable"
    title = "The database is not available"

    def __init__(self) -> None:
        super().__init__("Postgres does not answer; predictions and feedback go on without it.")


class OverloadedError(UnavailableError):
    """The answer would come too late: refused at the door, so that others are in time."""

    code = "overloaded"
    title = "Too many requests are waiting"

    def __init__(self, why: str) -> None:
        super().__init__(f"No answer could come within the latency objective: {why}.")


class NotDurableError(UnavailableError):
    """Postgres did not take the record in time, and the application's durability is `before`."""

    code = "not_durable"
    title = "The answer is not safe in Postgres"

    def __init__(self, within: timedelta) -> None:
        super().__init__(
            f"Postgres did not take the record within {within.total_seconds():g} s, and the "
            "application's answers may not leave before; the journal has it.",
        )


class StartingError(UnavailableError):
    """Keys and routes are not read from the database yet."""

    code = "starting"
    title = "The service is starting"

    def __init__(self) -> None:
        super().__init__("This process has not read its keys and routes yet; send it again.")


class StoppingError(UnavailableError):
    """The process is going down."""

    code = "stopping"
    title = "The service is stopping"

    def __init__(self) -> None:
        super().__init__("This process is stopping; send the request again.")
