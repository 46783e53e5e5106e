"""Zip archives: skops, Keras, PyTorch."""

import json
import re
import zipfile
from pathlib import Path

from serving.replica.inspection.description import (
    DamagedArtefactError,
    Description,
    ForeignArtefactError,
)

_SKLEARN = re.compile(r'"_sklearn_version"[^}]*?"content":\s*"\\?"?(\d+\.\d+[0-9a-z.]*)')
"""How skops writes the release of scikit-learn."""


def describe(artefact: Path) -> Description | None:
    """Say what an archive holds; none if that is not known.

    Raises
    ------
    DamagedArtefactError, ForeignArtefactError
        If it is cut off, or of PyTorch and no program.
    """
    try:
        with zipfile.ZipFile(artefact) as archive:
            return _describe(archive)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DamagedArtefactError(
            f"the archive (skops, .keras or PyTorch) is not whole: {error}"
        ) from error


def _describe(archive: zipfile.ZipFile) -> Description | None:
    names = set(archive.namelist())
    if "schema.json" in names:
        text = archive.read("schema.json").decode()
        found = _SKLEARN.search(text)
        made_with = {"scikit-learn": found[1]} if found else {}
        return Description("sklearn", "a skops file", runs_code=False, made_with=made_with)
    if {"config.json", "metadata.json"} <= names:
        release = json.loads(archive.read("metadata.json")).get("keras_version")
        made_with = {"keras": release} if isinstance(release, str) else {}
        return Description("tensorflow", "a .keras file", made_with=made_with)
    inner = {name.partition("/")[2] for name in names}
    if any(name.startswith("code/") for name in inner):
        return Description("pytorch", "a TorchScript program")
    if "archive_format" in inner or "serialized_exported_program.json" in names:
        return Description("pytorch", "an exported program")
    if "data.pkl" in inner:
        raise ForeignArtefactError(
            "expected a program of PyTorch (torch.export.save, torch.jit.save), found the weights "
            "or the pickled module of torch.save, which do not say how they are computed with"
        )
    return None
