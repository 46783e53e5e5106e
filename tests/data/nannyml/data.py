"""The data on which our estimates and NannyML's are compared; uniform random numbers only.

Uniform doubles of a seeded PCG64 are the same on every machine and numpy version; nothing that is
derived from them goes through a method whose stream may change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS = 20_000
CHUNK = 5_000

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Binary:
    """Scores of a model that is over-confident, so that calibration has work to do."""

    scores: Numbers
    predicted: Numbers
    labels: Numbers


@dataclass(frozen=True, slots=True)
class Multiclass:
    """Scores of three classes that sum to 1."""

    scores: Numbers
    predicted: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Regression:
    """Five features, the third a category; noise grows with the first."""

    features: Numbers
    predicted: Numbers
    labels: Numbers


def _sigmoid(values: Numbers) -> Numbers:
    return 1.0 / (1.0 + np.exp(-values))


def binary(seed: int, *, shift: float) -> Binary:
    """`shift` moves the inputs: the share of clear cases changes, what a score means does not."""
    rng = np.random.Generator(np.random.PCG64(seed))
    depth = 6.0 * (rng.random(ROWS) - 0.5) * (1.0 - shift) + shift
    labels = (rng.random(ROWS) < _sigmoid(depth)).astype(np.float64)
    # Rounded: a score is compared and sorted, so its last digits must not depend on the machine.
    scores = np.round(_sigmoid(1.8 * depth - 0.4), 6)
    return Binary(scores, (scores >= 0.5).astype(np.float64), labels)


def multiclass(seed: int, *, shift: float) -> Multiclass:
    """As `binary`, for three classes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    depth = 4.0 * (rng.random((ROWS, 3)) - 0.5) * (1.0 - shift) + np.array([0.4, 0.0, -0.3])
    chance = np.exp(depth) / np.exp(depth).sum(axis=1, keepdims=True)
    labels = (rng.random((ROWS, 1)) > np.cumsum(chance, axis=1)).sum(axis=1).clip(0, 2)
    scores = np.exp(1.6 * depth)
    scores = np.round(scores / scores.sum(axis=1, keepdims=True), 6)
    return Multiclass(scores, np.argmax(scores, axis=1), labels)


def regression(seed: int, *, shift: float) -> Regression:
    """`shift` moves the first feature towards where labels are noisy."""
    rng = np.random.Generator(np.random.PCG64(seed))
    features = np.round(rng.random((ROWS, 5)), 6)
    features[:, 0] = np.round(features[:, 0] * (1.0 - shift) + shift, 6)
    features[:, 2] = np.floor(features[:, 2] * 6.0)
    mean = 3.0 * features[:, 0] + features[:, 1] * features[:, 2] + 2.0 * features[:, 3]
    noise = (rng.random(ROWS) - 0.5) * (0.5 + 3.0 * features[:, 0] + 0.4 * features[:, 2])
    predicted = np.round(3.0 * features[:, 0] + 2.2 * features[:, 1] + 2.0 * features[:, 3], 6)
    return Regression(features, predicted, mean + noise)


REFERENCE_SEED, CURRENT_SEED = 20261101, 20261102
SHIFTS = {"quiet": 0.0, "shifted": 0.35}
