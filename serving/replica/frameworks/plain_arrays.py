"""Spares numpy's arrays scikit-learn's question whether they are data frames.

From 1.9 on scikit-learn asks narwhals that of each input, twice. Narwhals looks through the classes
of the input with `inspect` for every library of data frames that it knows: 50 of the 100
microseconds that a linear model takes for one row. An array is none of them, and is what nearly all
replicas give to their models.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

MODULE = "narwhals.stable.v2.dependencies"
QUESTIONS = ("is_into_dataframe", "is_into_series")


def spare() -> None:
    """Answer for arrays at once from now on; everything else is asked as before."""
    try:
        asked: Any = importlib.import_module(MODULE)
    except ImportError:
        # An older scikit-learn, which asks nobody.
        return
    for name in QUESTIONS:
        ask = getattr(asked, name, None)
        if ask is not None and not hasattr(ask, "__wrapped__"):
            setattr(asked, name, _sparing(ask))


def _sparing(ask: Callable[[Any], bool]) -> Callable[[Any], bool]:
    @functools.wraps(ask)
    def sparing(value: Any) -> bool:
        # A class made of an array may be anything.
        return type(value) is not np.ndarray and ask(value)

    return sparing
