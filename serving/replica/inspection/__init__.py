"""What an artefact says of itself, read without running any of it.

Both sides look: the service when an artefact is registered, so that a broken or foreign one is
refused before anything is started, and the replica before it loads one. Only the standard library
is needed, and PyYAML for what MLflow saved.
"""

from serving.replica.inspection.description import (
    DamagedArtefactError,
    Description,
    ForeignArtefactError,
)
from serving.replica.inspection.recognition import expect, inspect
from serving.replica.inspection.releases import mismatch
from serving.replica.inspection.requirements import unmet

__all__ = [
    "DamagedArtefactError",
    "Description",
    "ForeignArtefactError",
    "expect",
    "inspect",
    "mismatch",
    "unmet",
]
