"""Names that are not there, and changes that do not fit what is there."""

from collections.abc import Sequence

from serving.errors.base import ConflictError, NotFoundError, shown

REFS_TOLD = 10
"""Missing versions told at most by name."""


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
        told = ", ".join(shown(ref) for ref in refs[:REFS_TOLD])
        more = f" and {len(refs) - REFS_TOLD} more" if len(refs) > REFS_TOLD else ""
        super().__init__(f"No such version: {told}{more}.")


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
