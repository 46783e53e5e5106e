"""Requests that cannot be read, may not be made, or are wrong in themselves."""

from collections.abc import Sequence

from serving.errors.base import ConflictError, FieldError, NotFoundError, ServingError, shown


class InvalidError(ServingError):
    """The request can be read, but some of its fields are wrong."""

    status = 422

    def __init__(self, errors: Sequence[FieldError]) -> None:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        where = first.path or "the body"
        super().__init__(
            f"{where}: expected {first.expected}, received {first.received}{more}.", errors=errors
        )


class InvalidRequestError(InvalidError):
    """A body, path or query parameter is not of the documented form."""

    code = "invalid_request"
    title = "The request is not of the documented form"


class InvalidInputError(InvalidError):
    """An input does not fit the application's schema."""

    code = "invalid_input"
    title = "The input does not fit the application's schema"


class InvalidSchemaError(InvalidError):
    """An input schema is no JSON Schema or not of a kind that rows can be encoded by."""

    code = "invalid_schema"
    title = "The input schema cannot be used"


class InvalidPolicyError(InvalidError):
    """A route's policy is not of a known form."""

    code = "invalid_policy"
    title = "The route's policy cannot be used"


class InvalidManifestError(InvalidError):
    """A version's manifest is not of the documented form."""

    code = "invalid_manifest"
    title = "The version's manifest cannot be used"


class InvalidReferenceError(InvalidError):
    """Reference rows do not fit together or do not fit the schema."""

    code = "invalid_reference"
    title = "The reference rows cannot be used"


class InvalidFeedbackError(InvalidError):
    """One report of a label cannot be taken."""

    code = "invalid_feedback"
    title = "The feedback cannot be taken"


class MalformedBodyError(ServingError):
    """The body cannot be read at all."""

    status = 400
    code = "malformed_body"
    title = "The body cannot be read"

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(f"Expected {expected}, received {received}.")


class BodyTooLargeError(ServingError):
    """The body is longer than the route takes."""

    status = 413
    code = "body_too_large"
    title = "The body is too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Expected at most {limit} bytes, received more.")


class TooManyRowsError(ServingError):
    """One request holds more inputs or labels than it may."""

    status = 413
    code = "too_many_rows"
    title = "The request holds too many rows"

    def __init__(self, limit: int, received: int) -> None:
        super().__init__(f"Expected at most {limit} in one request, received {received}.")


class HeadTooLargeError(ServingError):
    """The request's line and headers are longer than any request needs."""

    status = 431
    code = "head_too_large"
    title = "The request's head is too large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"Expected at most {limit} bytes of line and headers, received more.")


class UnauthenticatedError(ServingError):
    """No key came, or none that is known."""

    status = 401
    code = "unauthenticated"
    title = "A valid API key is needed"

    def __init__(self, received: str) -> None:
        super().__init__(
            f"Expected `Authorization: Bearer <key>` with a valid key, received {received}.",
            headers={"WWW-Authenticate": "Bearer"},
        )


class ScopeMissingError(ServingError):
    """The key is known and may not do this."""

    status = 403
    code = "scope_missing"
    title = "The API key may not do this"

    def __init__(self, key: str, scope: str, held: Sequence[str]) -> None:
        super().__init__(
            f"Expected a key with scope {scope}, received key {key!r} with {', '.join(held)}."
        )


class PathNotFoundError(NotFoundError):
    """No route has this path."""

    code = "path_not_found"
    title = "No such path"

    def __init__(self, path: str) -> None:
        super().__init__(f"Nothing is served at {shown(path)}; /openapi.json lists what is.")


class MethodNotAllowedError(ServingError):
    """The path exists with other methods."""

    status = 405
    code = "method_not_allowed"
    title = "The path does not take this method"

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"Expected {allowed}, received {method}.", headers={"Allow": allowed})


class IdempotencyKeyReusedError(ConflictError):
    """One Idempotency-Key came with two different requests."""

    code = "idempotency_key_reused"
    title = "The idempotency key was used for another request"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key {shown(key)} was used with another method, path or body."
        )
