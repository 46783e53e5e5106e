"""Forms of models, versions and their reference rows, as they travel."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from serving.api.bodies import Body, Name, View
from serving.records import Version

Requirement = Annotated[
    str,
    Field(max_length=500, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]+\])?[^\r\n]*$"),
]
"""A line of a requirements file that begins with a distribution: no option, no file to include."""


class ReferenceRequest(Body):
    """Training or validation rows, in time order."""

    rows: list[dict[str, Any]] = Field(min_length=1)
    """Inputs by feature name, all with the same features."""
    labels: list[Any] | None = None
    """True values of the rows, in the same order."""
    outputs: list[Any] | None = None
    """The version's out-of-sample answers; made by the version itself at its start where absent."""


class Manifest(Body):
    """What a version is."""

    version: Name
    framework: str | None = None
    """One of those in docs/frameworks.md; read off the artefact where absent."""
    entry: str | None = None
    """For python `module:callable`, for tensorflow a signature, else a file in the folder."""
    classes: list[str | int | float | bool] | None = Field(None, min_length=2)
    """Classes in the order of the scores, for models that know no names: networks, boosters."""
    python: str | None = None
    """Python of the environment: a release as `3.12`, or the path of an interpreter; the service's
    own where absent."""
    requirements: list[Requirement] | None = None
    """What an environment of its own is made from, as pip reads it; the service's own without."""
    learn_every: float | None = Field(None, ge=1, le=30 * 86_400)
    """For river: seconds after which the labels that came become a version of their own."""
    uri: str | None = None
    """In place of an upload: absolute path or file: URI on the server's own disk."""
    reference: ReferenceRequest | None = None


class VersionView(View):
    """A version."""

    model: str
    version: str
    framework: str
    manifest: dict[str, Any]
    digest: str
    """sha256 of the artefact, in hex."""
    size_bytes: int
    created_at: datetime
    progress: str | None = None
    """What this process is doing to start it just now, as building its environment."""


class VersionsView(View):
    """Versions of a model, the oldest first."""

    versions: list[VersionView]


class ModelView(View):
    """A model."""

    model: str
    versions: int
    """How many versions it has."""


class ModelsView(View):
    """Models, by name."""

    models: list[ModelView]


class ReferenceView(View):
    """What is kept of a version's reference."""

    rows: int
    features: list[str]
    labels: bool
    """Whether labels were given."""
    outputs: bool
    """Whether outputs were given or made."""


def view(version: Version) -> dict[str, Any]:
    """A version as it travels."""
    fields = VersionView.model_fields.keys() - {"progress"}
    return VersionView.model_validate({name: getattr(version, name) for name in fields}).model_dump(
        mode="json"
    )
