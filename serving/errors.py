"""Everything that serving refuses or fails at, as one tree.

::

    ServingError                                   500
    ├── InternalError                              500 internal_error
    ├── InvalidError                               422 (carries a list of field errors)
    │   ├── InvalidRequestError                        invalid_request
    │   ├── InvalidInputError                          invalid_input
    │   ├── InvalidSchemaError                         invalid_schema
    │   ├── InvalidPolicyError                         invalid_policy
    │   ├── InvalidManifestError                       invalid_manifest
    │   ├── InvalidReferenceError                      invalid_reference
    │   └── InvalidFeedbackError                       invalid_feedback
    ├── MalformedBodyError                         400 malformed_body
    ├── BodyTooLargeError                          413 body_too_large
    ├── TooManyRowsError                           413 too_many_rows
    ├── HeadTooLargeError                          431 head_too_large
    ├── UnauthenticatedError                       401 unauthenticated
    ├── ScopeMissingError                          403 scope_missing
    ├── NotFoundError                              404
    │   ├── PathNotFoundError                          path_not_found
    │   ├── ApplicationNotFoundError                   application_not_found
    │   ├── ModelNotFoundError                         model_not_found
    │   ├── VersionNotFoundError                       version_not_found
    │   ├── ReferenceNotFoundError                     reference_not_found
    │   ├── RevisionNotFoundError                      revision_not_found
    │   ├── RouteNotFoundError                         route_not_found
    │   ├── PredictionNotFoundError                    prediction_not_found
    │   └── KeyNotFoundError                           key_not_found
    ├── MethodNotAllowedError                      405 method_not_allowed
    ├── ConflictError                              409
    │   ├── ApplicationExistsError                     application_exists
    │   ├── SchemaMissingError                         schema_missing
    │   ├── VersionExistsError                         version_exists
    │   ├── VersionInUseError                          version_in_use
    │   ├── RevisionMovedError                         revision_moved
    │   ├── NothingToRollBackToError                   nothing_to_roll_back_to
    │   ├── LastAdminKeyError                          last_admin_key
    │   ├── ModelAmbiguousError                        model_ambiguous
    │   └── IdempotencyKeyReusedError                  idempotency_key_reused
    ├── ArtefactUnusableError                      422 artefact_unusable
    ├── VersionFailedToStartError                  422 version_failed_to_start
    ├── ProbeFailedError                           422 probe_failed
    └── UnavailableError                           503 (carries Retry-After)
        ├── JournalFullError                           journal_full
        ├── JournalFailedError                         journal_failed
        ├── DatabaseUnavailableError                   database_unavailable
        ├── NotDurableError                            not_durable
        ├── OverloadedError                            overloaded
        ├── StartingError                              starting
        └── StoppingError                              stopping
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
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


class NotFoundError(ServingError):
    """What the request names does not exist."""

    status = 404


class PathNotFoundError(NotFoundError):
    """No route has this path."""

    code = "path_not_found"
    title = "No such path"

    def __init__(self, path: str) -> None:
        super().__init__(f"Nothing is served at {shown(path)}; /openapi.json lists what is.")


class ApplicationNotFoundError(NotFoundError):
    """No application has this name."""

    code = "application_not_found"
    title = "No such application"

    def __init__(self, name: str) -> None:
        super().__init__(f"No application is named {shown(name)}.")


class ModelNotFoundError(NotFoundError):
    """No model has this name."""

    code = "model_not_found"
    title = "No such model"

    def __init__(self, name: str) -> None:
        super().__init__(f"No model is named {shown(name)}.")


class VersionNotFoundError(NotFoundError):
    """The model has no such version."""

    code = "version_not_found"
    title = "No such version"

    def __init__(self, *refs: str) -> None:
        super().__init__(f"No such version: {', '.join(shown(ref) for ref in refs)}.")


class ReferenceNotFoundError(NotFoundError):
    """The version has no reference rows."""

    code = "reference_not_found"
    title = "The version has no reference rows"

    def __init__(self, ref: str) -> None:
        super().__init__(f"No reference rows were given for {shown(ref)}.")


class RevisionNotFoundError(NotFoundError):
    """The application has no such revision."""

    code = "revision_not_found"
    title = "No such revision"

    def __init__(self, application: str, revision: int) -> None:
        super().__init__(f"Application {shown(application)} has no revision {revision}.")


class RouteNotFoundError(NotFoundError):
    """The application exists, but nothing has been routed to it."""

    code = "route_not_found"
    title = "The application has no route"

    def __init__(self, application: str) -> None:
        super().__init__(
            f"No version answers for {shown(application)} yet; "
            f"PUT /v1/applications/{application}/route sets one."
        )


class PredictionNotFoundError(NotFoundError):
    """No prediction has this id."""

    code = "prediction_not_found"
    title = "No such prediction"

    def __init__(self, prediction_id: str) -> None:
        super().__init__(f"No prediction has the id {shown(prediction_id)}.")


class KeyNotFoundError(NotFoundError):
    """No API key has this id."""

    code = "key_not_found"
    title = "No such API key"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"No API key has the id {shown(key_id)}.")


class MethodNotAllowedError(ServingError):
    """The path exists with other methods."""

    status = 405
    code = "method_not_allowed"
    title = "The path does not take this method"

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"Expected {allowed}, received {method}.", headers={"Allow": allowed})


class ConflictError(ServingError):
    """The request is right in itself and does not fit the present state."""

    status = 409


class ApplicationExistsError(ConflictError):
    """The name is taken."""

    code = "application_exists"
    title = "The application exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"An application named {shown(name)} exists or has existed.")


class SchemaMissingError(ConflictError):
    """The application has no input schema yet."""

    code = "schema_missing"
    title = "The application has no input schema"

    def __init__(self, application: str) -> None:
        super().__init__(
            f"Application {shown(application)} needs an input schema: state one, or give reference "
            "rows with the version."
        )


class VersionExistsError(ConflictError):
    """A version is immutable: the same name with other bytes is refused."""

    code = "version_exists"
    title = "The version exists with another artefact"

    def __init__(self, ref: str, expected: str, received: str) -> None:
        super().__init__(
            f"{ref} exists with sha256 {expected}; received an artefact or manifest with "
            f"{received}. Register it under another version."
        )


class VersionInUseError(ConflictError):
    """A route, or the revision it would roll back to, needs the version."""

    code = "version_in_use"
    title = "The version is in use"

    def __init__(self, ref: str, applications: Sequence[str]) -> None:
        super().__init__(
            f"{ref} is needed by the route, or the last good one, of {', '.join(applications)}."
        )


class RevisionMovedError(ConflictError):
    """The route changed since the client looked."""

    code = "revision_moved"
    title = "The route has changed meanwhile"

    def __init__(self, expected: int, current: int) -> None:
        super().__init__(f"Expected revision {expected} in force, found revision {current}.")


class NothingToRollBackToError(ConflictError):
    """No earlier revision had another champion."""

    code = "nothing_to_roll_back_to"
    title = "There is nothing to roll back to"

    def __init__(self, application: str) -> None:
        super().__init__(
            f"Application {shown(application)} has no earlier revision with another champion; "
            "name one with to_revision."
        )


class ModelAmbiguousError(ConflictError):
    """Several applications answer with versions of the model."""

    code = "model_ambiguous"
    title = "Several applications use the model"

    def __init__(self, name: str, applications: Sequence[str]) -> None:
        super().__init__(
            f"Expected a name that one application answers for, received {shown(name)}: it is used "
            f"by {', '.join(applications)}. Name the application in place of the model."
        )


class LastAdminKeyError(ConflictError):
    """Revoking this key would lock everybody out."""

    code = "last_admin_key"
    title = "The last admin key cannot be revoked"

    def __init__(self) -> None:
        super().__init__("This is the last key with scope admin; create another one first.")


class IdempotencyKeyReusedError(ConflictError):
    """One Idempotency-Key came with two different requests."""

    code = "idempotency_key_reused"
    title = "The idempotency key was used for another request"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key {shown(key)} was used with another method, path or body."
        )


class ArtefactUnusableError(ServingError):
    """The artefact cannot be stored: absent, unsafe or broken."""

    status = 422
    code = "artefact_unusable"
    title = "The artefact cannot be used"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class VersionFailedToStartError(ServingError):
    """A version did not come up in time; the route before stands."""

    status = 422
    code = "version_failed_to_start"
    title = "The version did not start"

    def __init__(self, ref: str, reason: str, last_words: str) -> None:
        words = f" Its last words:\n{last_words}" if last_words.strip() else ""
        super().__init__(f"{ref}: {reason}.{words}")
        self.ref = ref
        self.reason = reason
        self.last_words = last_words


class ProbeFailedError(ServingError):
    """A version came up and did not answer a row; the route before stands."""

    status = 422
    code = "probe_failed"
    title = "The version started but does not answer"

    def __init__(self, ref: str, reason: str, last_words: str = "") -> None:
        words = f" Its last words:\n{last_words}" if last_words.strip() else ""
        super().__init__(f"{ref} did not answer the probe: {reason}.{words}")
        self.ref = ref
        self.reason = reason
        self.last_words = last_words


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


def every_error(root: type[ServingError] = ServingError) -> Iterator[type[ServingError]]:
    """Every error of the tree that has a code."""
    for child in root.__subclasses__():
        if "code" in child.__dict__:
            yield child
        yield from every_error(child)
