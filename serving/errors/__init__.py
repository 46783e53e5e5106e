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

from serving.errors.base import (
    ConflictError,
    FieldError,
    InternalError,
    NotFoundError,
    ServingError,
    every_error,
    shown,
)
from serving.errors.registry import (
    ApplicationExistsError,
    ApplicationNotFoundError,
    KeyNotFoundError,
    LastAdminKeyError,
    ModelAmbiguousError,
    ModelNotFoundError,
    NothingToRollBackToError,
    PredictionNotFoundError,
    ReferenceNotFoundError,
    RevisionMovedError,
    RevisionNotFoundError,
    RouteNotFoundError,
    SchemaMissingError,
    VersionExistsError,
    VersionInUseError,
    VersionNotFoundError,
)
from serving.errors.requests import (
    BodyTooLargeError,
    HeadTooLargeError,
    IdempotencyKeyReusedError,
    InvalidError,
    InvalidFeedbackError,
    InvalidInputError,
    InvalidManifestError,
    InvalidPolicyError,
    InvalidReferenceError,
    InvalidRequestError,
    InvalidSchemaError,
    MalformedBodyError,
    MethodNotAllowedError,
    PathNotFoundError,
    ScopeMissingError,
    TooManyRowsError,
    UnauthenticatedError,
)
from serving.errors.unavailable import (
    DatabaseUnavailableError,
    JournalFailedError,
    JournalFullError,
    NotDurableError,
    OverloadedError,
    StartingError,
    StoppingError,
    UnavailableError,
)
from serving.errors.versions import (
    ArtefactUnusableError,
    ProbeFailedError,
    VersionFailedToStartError,
)

__all__ = [
    "ApplicationExistsError",
    "ApplicationNotFoundError",
    "ArtefactUnusableError",
    "BodyTooLargeError",
    "ConflictError",
    "DatabaseUnavailableError",
    "FieldError",
    "HeadTooLargeError",
    "IdempotencyKeyReusedError",
    "InternalError",
    "InvalidError",
    "InvalidFeedbackError",
    "InvalidInputError",
    "InvalidManifestError",
    "InvalidPolicyError",
    "InvalidReferenceError",
    "InvalidRequestError",
    "InvalidSchemaError",
    "JournalFailedError",
    "JournalFullError",
    "KeyNotFoundError",
    "LastAdminKeyError",
    "MalformedBodyError",
    "MethodNotAllowedError",
    "ModelAmbiguousError",
    "ModelNotFoundError",
    "NotDurableError",
    "NotFoundError",
    "NothingToRollBackToError",
    "OverloadedError",
    "PathNotFoundError",
    "PredictionNotFoundError",
    "ProbeFailedError",
    "ReferenceNotFoundError",
    "RevisionMovedError",
    "RevisionNotFoundError",
    "RouteNotFoundError",
    "SchemaMissingError",
    "ScopeMissingError",
    "ServingError",
    "StartingError",
    "StoppingError",
    "TooManyRowsError",
    "UnauthenticatedError",
    "UnavailableError",
    "VersionExistsError",
    "VersionFailedToStartError",
    "VersionInUseError",
    "VersionNotFoundError",
    "every_error",
    "shown",
]
