"""What was found out about an artefact."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class DamagedArtefactError(Exception):
    """The artefact begins like one of a known form, and is not whole."""


class ForeignArtefactError(Exception):
    """The artefact is whole, and of another form than was said or than can be served."""


@dataclass(frozen=True, slots=True)
class Description:
    """What an artefact says of itself."""

    framework: str
    """By which it can be loaded."""
    form: str
    """The form in words, as `a skops file`."""
    runs_code: bool = True
    """Whether loading it may run code that it brings."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Releases of the distributions that wrote it, where it tells."""
    input_schema: dict[str, Any] | None = None
    """JSON Schema of one input, where it tells its inputs."""
    example: tuple[dict[str, Any], ...] = ()
    """Input rows that it carries."""
    classes: tuple[Any, ...] | None = None
    """Classes that it names, where it tells."""


def schema_of(features: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Write a JSON Schema of named features.

    Parameters
    ----------
    features
        Name and type (`number`, `integer`, `boolean` or `string`), in order.
    """
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in features},
        "required": [name for name, _ in features],
        "additionalProperties": False,
    }
