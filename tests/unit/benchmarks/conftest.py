"""Lets these tests import the benchmarks' modules as the benchmarks do."""

import sys
from pathlib import Path

# Last, so that no file there can hide a package of the project.
sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
