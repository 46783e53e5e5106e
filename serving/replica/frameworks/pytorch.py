"""PyTorch: an exported program (`torch.export.save`) or TorchScript (`torch.jit.save`).

Both say how they compute without the class that they were made from. Export with an open first
dimension, else the program takes batches of one length alone.
"""

import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block
from serving.replica.frameworks.rows import answers_of, numbers


class PytorchModel:
    """A module of one matrix of rows by features, of the type of its first parameter."""

    wants_values = False
    features: int | None = None
    libraries: tuple[str, ...] = ("torch", "numpy")

    def __init__(self, module: Any, dtype: Any, artefact: Artefact) -> None:
        self._module = module
        self._dtype = dtype
        self.classes = None if artefact.classes is None else list(artefact.classes)

    def predict(self, rows: Block | Sequence[Any]) -> Answers:
        """Answer a batch."""
        with torch.inference_mode():
            # A copy: the block is read-only, which tensors are never.
            tensor = torch.from_numpy(np.array(numbers(rows))).to(self._dtype)
            result = self._module(tensor)
        if isinstance(result, list | tuple):
            result = result[0]
        return answers_of(result.numpy(), self.classes)


def load(artefact: Artefact) -> PytorchModel:
    """Load a program; its own first bytes tell which of the two it is."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if not artefact.path.is_file() or not zipfile.is_zipfile(artefact.path):
        raise ArtefactError("expected a file of torch.export.save or torch.jit.save")
    with zipfile.ZipFile(artefact.path) as archive:
        script = any("/code/" in name for name in archive.namelist())
    if script:
        module = torch.jit.load(str(artefact.path), map_location="cpu").eval()
    else:
        with artefact.path.open("rb") as file:
            module = torch.export.load(file).module()
    parameters = (one for one in module.parameters() if one.is_floating_point())
    return PytorchModel(module, next((one.dtype for one in parameters), torch.float32), artefact)
