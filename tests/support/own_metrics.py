"""Metrics as an operator writes them, and some that fail."""

import sys

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def cost(output: Floats, label: Floats) -> Floats:
    """A miss costs ten times what a false call costs."""
    missed: Floats = 10.0 * ((label == 1) & (output == 0)) + 1.0 * ((label == 0) & (output == 1))
    return missed


def only_positives(output: Floats, label: Floats) -> Floats:
    """Says nothing about negatives."""
    return np.where(label == 1, (output != label).astype(np.float64), np.nan)


def one_number(output: Floats, label: Floats) -> Floats:
    """Not a value a row."""
    return np.array([float((output != label).mean())])


def broken(output: Floats, label: Floats) -> Floats:
    """Fails."""
    raise ZeroDivisionError("no rows of weight")


class Unspeakable(Exception):
    """An exception that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def unspeakable(output: Floats, label: Floats) -> Floats:
    """Fails with what fails itself."""
    raise Unspeakable


def nothing_to_store(output: Floats, label: Floats) -> Floats:
    """Fails with a text that Postgres does not take."""
    raise ValueError("a\0b \ud800")


def ends_the_process(output: Floats, label: Floats) -> Floats:
    """Would end the monitor."""
    sys.exit(3)


def fails_on_nines(output: Floats, label: Floats) -> Floats:
    """Fails where a label of 9 came."""
    if (label == 9).any():
        raise ValueError("a label of 9")
    wrong: Floats = (output != label).astype(np.float64)
    return wrong


constant = 3
