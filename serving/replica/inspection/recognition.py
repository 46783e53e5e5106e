"""From an artefact to what it is."""

from pathlib import Path

from serving.replica.inspection import boosters, folders, onnx, pickles, zips
from serving.replica.inspection.description import (
    DamagedArtefactError,
    Description,
    ForeignArtefactError,
)

HEAD = 4096
"""Bytes at the beginning that tell the form of a file."""

LOADS_BY_PICKLE = frozenset({"sklearn", "python", "river"})
"""Frameworks whose artefacts may be pickles, of which the first class does not always tell which:
what the manifest says counts."""


def inspect(artefact: Path) -> Description | None:
    """Find out what an artefact is; none if its form is not known.

    Raises
    ------
    DamagedArtefactError
        If it begins like a known form and is not whole.
    ForeignArtefactError
        If it is of a form that is known and cannot be served.
    """
    try:
        return _inspect(artefact)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # An artefact is anybody's bytes: what has the form of one and not its fields is damaged.
        raise DamagedArtefactError(
            f"it begins like a known form, and its fields are not those of it: {error!r}"
        ) from error


def _inspect(artefact: Path) -> Description | None:
    if artefact.is_dir():
        return folders.describe(artefact)
    with artefact.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"PK\x03\x04"):
        return zips.describe(artefact)
    for read in (pickles.describe, boosters.describe, onnx.describe):
        if (found := read(artefact, head)) is not None:
            return found
    if _is_source(head):
        return Description("python", "a Python file")
    return None


def expect(artefact: Path, framework: str) -> Description | None:
    """As `inspect`, of an artefact that is said to be of a framework.

    Raises
    ------
    DamagedArtefactError, ForeignArtefactError
        As `inspect`; also where it is of another framework, or of no form that this one loads.
    """
    found = inspect(artefact)
    if found is None:
        if framework in LOADS_BY_PICKLE:
            return None
        raise ForeignArtefactError(
            f"expected an artefact of {framework}, found nothing of it: the file is damaged, or of "
            "a form that is not known"
        )
    if found.framework == framework:
        return found
    both = {found.framework, framework}
    if both <= LOADS_BY_PICKLE and found.form in (pickles.FORM, pickles.COMPRESSED):
        return found
    if artefact.is_dir() and framework in LOADS_BY_PICKLE:
        # A folder of any content may hold the file or the module that the entry names.
        return None
    raise ForeignArtefactError(
        f"expected an artefact of {framework}, found {found.form}, which is of {found.framework}"
    )


def _is_source(head: bytes) -> bool:
    """Whether it can be Python's source: text without control characters, beginning like a line."""
    text = head.rsplit(b"\n", 1)[0]
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    words = (b"import ", b"from ", b"def ", b"class ", b"#", b'"""')
    lines = [line for line in text.split(b"\n") if line.strip()]
    return (
        bool(lines) and any(line.lstrip().startswith(words) for line in lines) and b"\0" not in text
    )
