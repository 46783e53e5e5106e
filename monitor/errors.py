"""What can go wrong in the monitor.

MonitorError
├── NotFoundError                  no such thing
├── UnauthorizedError              no key, or one that is not known
├── ForbiddenError                 the key lacks the scope
├── InvalidRequestError            a body, a query or a setting that cannot be used
├── IdempotencyKeyReusedError      one key came with two different requests
├── InvalidTransitionError         an alert or a remedy is in a state that does not allow it
├── AutomationOffError             nothing acts while the switch is off
├── ChangeInFlightError            one change of a route at a time
├── LeaseLostError                 another monitor has taken the shard
├── ShardsDifferError              the record is read in another number of shards
├── ShardsInUseError               a monitor runs while the shards are to change
├── NameTakenError                 a watch of that name exists
├── ForbiddenTargetError           a webhook's address lies inside a private network
├── ServingError                   serving's admin API refused a change or gave no answer
│   ├── RevisionMovedError         the route changed between decision and act
│   ├── ServingRefusedError        it will not do it, however often it is asked
│   └── ServingUnavailableError    it may do it later
├── InvalidRowsError               a file to replay cannot be read as rows
└── InvalidWatchFileError          a file of watches cannot be used
"""

from pathlib import Path
from typing import ClassVar


class MonitorError(Exception):
    """Any error of the monitor."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "The monitor failed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NotFoundError(MonitorError):
    """What was asked for is not here."""

    status, code, title = 404, "not_found", "Not found"

    def __init__(self, what: str, name: object) -> None:
        super().__init__(f"no {what} {name!s}")


class UnauthorizedError(MonitorError):
    """No key, or one that is not known."""

    status, code, title = 401, "unauthorized", "A key is needed"

    def __init__(self) -> None:
        super().__init__("expected an Authorization header with a Bearer key that is in force")


class ForbiddenError(MonitorError):
    """The key lacks the scope."""

    status, code, title = 403, "forbidden", "The key may not do this"

    def __init__(self, scope: str) -> None:
        super().__init__(f"the key lacks the scope {scope}")


class InvalidRequestError(MonitorError):
    """A body, a query or a setting that cannot be used."""

    status, code, title = 422, "invalid_request", "The request cannot be used"

    def __init__(self, path: str, expected: str, received: object) -> None:
        super().__init__(f"{path}: expected {expected}, received {received!r}")
        self.errors = [{"path": path, "expected": expected, "received": repr(received)}]


class IdempotencyKeyReusedError(MonitorError):
    """One Idempotency-Key came with two different requests."""

    status, code = 409, "idempotency_key_reused"
    title = "The idempotency key was used for another request"

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key!r} was used with another method, path or body.")


class InvalidTransitionError(MonitorError):
    """An alert or a remedy is in a state that does not allow it."""

    status, code, title = 409, "invalid_transition", "Its state does not allow this"

    def __init__(self, what: str, state: str, wanted: str) -> None:
        super().__init__(f"{what} is {state}: it cannot be {wanted}")


class NameTakenError(MonitorError):
    """A watch of that name exists."""

    status, code, title = 409, "name_taken", "The name is taken"

    def __init__(self, application: str, name: str) -> None:
        super().__init__(f"application {application} has a watch {name} already")


class ForbiddenTargetError(MonitorError):
    """A webhook's address lies inside a private network."""

    status, code, title = 422, "forbidden_target", "The address may not be called"

    def __init__(self, host: str, address: str) -> None:
        super().__init__(
            f"{host} leads to {address}, which is no public address; "
            "MONITOR_WEBHOOK_ALLOW_PRIVATE=true allows it"
        )


class ServingError(MonitorError):
    """Serving's admin API refused a change or gave no answer."""

    status, code, title = 502, "serving_failed", "Serving did not do it"


class RevisionMovedError(ServingError):
    """The route changed between decision and act."""

    code = "revision_moved"


class ServingRefusedError(ServingError):
    """It will not do it, however often it is asked."""

    code = "serving_refused"


class ServingUnavailableError(ServingError):
    """It may do it later."""

    code = "serving_unavailable"


class InvalidRowsError(MonitorError):
    """A file to replay cannot be read as rows."""

    status, code, title = 422, "invalid_rows", "The rows cannot be read"

    def __init__(self, where: str, expected: str, received: object) -> None:
        super().__init__(f"{where}: expected {expected}, received {received!r}")


class InvalidWatchFileError(MonitorError):
    """A file of watches cannot be used."""

    status, code, title = 422, "invalid_watch_file", "The watches cannot be used"

    def __init__(self, path: Path, line: int, field: str, said: str) -> None:
        super().__init__(f"{path}, line {line}: {field + ': ' if field else ''}{said}")
        self.line, self.field = line, field


class AutomationOffError(MonitorError):
    """Nothing acts while the switch is off."""

    status, code, title = 409, "automation_off", "Automation is off"


class ChangeInFlightError(MonitorError):
    """Another change of the application's route is being carried out."""

    status, code, title = 409, "change_in_flight", "Another change is in flight"

    def __init__(self, remedy: int, kind: str) -> None:
        super().__init__(f"remedy {remedy} ({kind}) is being carried out; one change at a time")


class LeaseLostError(MonitorError):
    """Another monitor has taken the shard."""

    status, code, title = 409, "lease_lost", "Another monitor reads this"

    def __init__(self, shard: str, mine: int, newest: int | None) -> None:
        super().__init__(f"shard {shard} was taken with token {newest}; this one is {mine}")


class ShardsDifferError(MonitorError):
    """The record is read in another number of shards."""

    status, code, title = 409, "shards_differ", "The number of shards differs"

    def __init__(self, there: int, wanted: int) -> None:
        super().__init__(
            f"the record is read in {there} shards and MONITOR_SHARDS asks for {wanted}; "
            f"stop all monitors and run `leadsman monitor --reshard {wanted}`"
        )


class ShardsInUseError(MonitorError):
    """A monitor runs while the shards are to change."""

    status, code, title = 409, "shards_in_use", "A monitor runs"

    def __init__(self, living: int) -> None:
        super().__init__(f"{living} monitors run: stop them before the shards can change")
