"""The root of the tree, and what an error says of one field."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

RECEIVED_LIMIT = 120
"""Characters of a wrong value that are told back: enough to find it, no echo of a whole body."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request."""

    path: str
    """JSON Pointer from the root of the body (`/input/age`); `?name` for a query parameter."""
    expected: str
    received: str


def shown(value: object) -> str:
    """A wrong value as a client wrote it, cut to `RECEIVED_LIMIT` characters.

    Parameters
    ----------
    value
        What came; JSON where it can be, else its Python form.
    """
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    except RecursionError:
        text = "a value nested too deep to be told"
    # A lone surrogate is legal in JSON text and impossible in UTF-8.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= RECEIVED_LIMIT else text[: RECEIVED_LIMIT - 1] + "…"


class ServingError(Exception):
    """Root: what a client is told, as data."""

    status: ClassVar[int] = 500
    code: ClassVar[str]
    """Stable name for programs."""
    title: ClassVar[str]
    """What happened, in general."""

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        """What happened this time."""
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        """Headers that the answer carries."""


class InternalError(ServingError):
    """A defect of ours. The log has it; the client gets no more than its existence."""

    code = "internal_error"
    title = "Something failed that should not"

    def __init__(self) -> None:
        super().__init__("An unexpected error; the service's log has the details.")


class NotFoundError(ServingError):
    """What the request names does not exist."""

    status = 404


class ConflictError(ServingError):
    """The request is right in itself and does not fit the present state."""

    status = 409


def every_error(root: type[ServingError] = ServingError) -> Iterator[type[ServingError]]:
    """Every error of the tree that has a code."""
    for child in root.__subclasses__():
        if "code" in child.__dict__:
            yield child
        yield from every_error(child)
