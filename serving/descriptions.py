"""What an artefact says of itself, set against what its manifest says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.errors import (
    ArtefactUnusableError,
    FieldError,
    InvalidManifestError,
    InvalidSchemaError,
    shown,
)
from serving.inputs import compile_schema
from serving.replica.inspection import (
    DamagedArtefactError,
    Description,
    ForeignArtefactError,
    expect,
    inspect,
)


@dataclass(frozen=True, slots=True)
class Described:
    """What is kept of it."""

    manifest: dict[str, Any]
    """Fields of the version's manifest: `framework`, and if known `made_with`, `input_schema`."""
    example: list[dict[str, Any]]
    """Input rows that the artefact carries."""


def describe(artefact: Path, framework: str | None, entry: str | None) -> Described:
    """Look at an artefact without running any of it.

    Parameters
    ----------
    framework
        What the manifest says; none to read it off the artefact.

    Raises
    ------
    ArtefactUnusableError
        If it is not whole, of another framework, or of none that is known.
    InvalidManifestError
        If the artefact needs an entry and the manifest has none.
    """
    try:
        found = inspect(artefact) if framework is None else expect(artefact, framework)
    except (DamagedArtefactError, ForeignArtefactError) as error:
        raise ArtefactUnusableError(_sentence(error)) from error
    known = framework or (found.framework if found is not None else None)
    if known is None:
        raise ArtefactUnusableError(
            "The artefact does not say what it is; state its framework in the manifest."
        )
    if _needs_entry(known, found) and ":" not in (entry or ""):
        raise InvalidManifestError(
            [FieldError("/entry", 'an entry "module:callable"', shown(entry))]
        )
    manifest: dict[str, Any] = {"framework": known}
    if found is None:
        return Described(manifest, [])
    if found.made_with:
        manifest["made_with"] = found.made_with
    if found.input_schema is not None and _is_usable(found.input_schema):
        manifest["input_schema"] = found.input_schema
    return Described(manifest, list(found.example))


def _needs_entry(framework: str, found: Description | None) -> bool:
    return framework == "python" and (found is None or "pickle" not in found.form)


def _is_usable(schema: dict[str, Any]) -> bool:
    """Whether inputs can be read by it: a model may name a feature as no request can."""
    try:
        compile_schema(schema)
    except InvalidSchemaError:
        return False
    return True


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
