"""A network of PyTorch as an exported program with an open number of rows."""

import sys
from pathlib import Path

import torch
from payments import payments


def network() -> tuple[torch.nn.Module, torch.Tensor]:
    """Fit one; give it with some rows."""
    torch.manual_seed(1)
    found, labels = payments(2_000)
    rows = torch.tensor(found, dtype=torch.float32)
    truth = torch.tensor(labels, dtype=torch.float32)
    scale = torch.nn.BatchNorm1d(3, affine=False)
    model = torch.nn.Sequential(
        scale, torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1), torch.nn.Sigmoid()
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy(model(rows)[:, 0], truth).backward()
        optimizer.step()
    return model.eval(), rows


def train(folder: Path) -> Path:
    """Fit it, and store it in a folder."""
    model, rows = network()
    exported = torch.export.export(
        model, (rows[:2],), dynamic_shapes=({0: torch.export.Dim("rows")},)
    )
    path = folder / "fraud.pt2"
    torch.export.save(exported, path)
    return path


if __name__ == "__main__":
    print(train(Path(sys.argv[1])))
