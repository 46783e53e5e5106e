"""The same network as TorchScript."""

import sys
from pathlib import Path

import torch
from pytorch_exported import network


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    model, rows = network()
    path = folder / "fraud.pt"
    torch.jit.trace(model, rows[:2]).save(path)
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
