"""Do the rows depend on each other so much that a promise about single rows would be broken?"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from drift.base import Values, checked_count, checked_values
from drift.errors import InsufficientDataError, InvalidObservationError

MAX_DESIGN_EFFECT = 1.05
"""Largest upper limit of the design effect at which single rows may be watched for a rollback."""

MIN_ROWS = 200
"""Fewer rows say nothing about their dependence."""

_Z = 1.6448536269514722
"""One-sided 95 % point of the normal distribution."""

_Z_SURE = 3.0
"""Standard errors at which a sum of autocorrelations is taken as real."""

_PRECISE = 0.025
"""A window of lags whose half-width is at most this is looked at, significant or not."""

_MIN_BLOCKS = 20
"""Fewer blocks than this cannot show that they are independent."""

_BURSTS_A_BLOCK = 5.0
"""Blocks this many times the mean burst left no more false alarms than allowed."""


@dataclass(frozen=True, slots=True)
class DesignEffect:
    """How many times as many rows as independent ones are needed to know the mean as well."""

    value: float
    """Estimate, 1 for independent rows; no unit."""
    lower: float
    """95 % one-sided lower limit."""
    upper: float
    """95 % one-sided upper limit."""
    lag1: float
    """Correlation of neighbouring rows, or of rows of one unit where units are given."""
    window: int
    """Lags summed, or the mean size of a unit weighted by its rows."""
    rows: int
    """Rows looked at."""


def design_effect(losses: Values, units: Sequence[Hashable] | None = None) -> DesignEffect:
    """Measure the dependence of rows on reference data.

    Without units: 1 + 2 times the sum of autocorrelations, over as many lags as the rows can tell
    apart from noise, and over more where they are clearly there. With units: 1 + (size - 1) times
    the correlation within a unit.

    Parameters
    ----------
    losses : shape (n,)
        Losses of a period without change, in order of consumption. Any finite unit.
    units : length n, optional
        Key of the unit (session, user, job) that each row belongs to.

    Raises
    ------
    InsufficientDataError
        If there are fewer than `MIN_ROWS` rows.
    InvalidObservationError
        If a loss is not finite, or there are not as many units as losses.
    """
    losses = _checked(losses)
    if units is not None:
        return _within_units(losses, units)
    correlations = autocorrelations(losses, len(losses) // _MIN_BLOCKS)
    sums = 1.0 + 2.0 * np.cumsum(correlations)
    windows = 2 ** np.arange(int(math.log2(len(correlations))) + 1)
    values = sums[windows - 1]
    # Bartlett: the error of the sum grows with the sum itself.
    errors = 2.0 * np.sqrt(windows / len(losses)) * np.maximum(values, 1.0)
    use = (_Z * errors <= _PRECISE) | (
        values - 1.0 > _Z_SURE * 2.0 * np.sqrt(windows / len(losses))
    )
    use[0] = True
    highest = int(np.argmax(np.where(use, values, -np.inf)))
    # A longer window that adds less than its own noise adds nothing but noise.
    chosen = int(np.argmax(use & (values >= values[highest] - errors[highest])))
    value, error = float(values[chosen]), float(errors[chosen])
    return DesignEffect(
        value=value,
        lower=value - _Z * error,
        upper=value + _Z * error,
        lag1=float(correlations[0]),
        window=int(windows[chosen]),
        rows=len(losses),
    )


def recommend_block(losses: Values) -> int | None:
    """Return how many rows a block should have, or None if single rows may be watched.

    Five times the mean length of a burst, doubled until neighbouring blocks do not visibly depend
    on each other.

    Raises
    ------
    InsufficientDataError
        If no block passes that leaves at least 20 of them: there are too few rows, or the mean
        itself wanders.
    """
    losses = _checked(losses)
    if design_effect(losses).upper <= MAX_DESIGN_EFFECT:
        return None
    size = math.ceil(_BURSTS_A_BLOCK * burst_length(losses))
    while len(losses) // size >= _MIN_BLOCKS:
        if not _depend(_block_means(losses, size)):
            return size
        size *= 2
    raise InsufficientDataError("rows to find a block size", size * _MIN_BLOCKS, len(losses))


def refusal(
    losses: Values, *, unit: Sequence[Hashable] | None = None, block: int | None = None
) -> str | None:
    """Return why a rollback watch may not be armed, or None if it may.

    Parameters
    ----------
    losses : shape (n,)
        Reference losses, in order of consumption.
    unit : length n, optional
        Key of each row's unit, if the watch tests the means of units.
    block
        Rows a block, if the watch tests the means of blocks.
    """
    losses = _checked(losses)
    if unit is None and block is None:
        effect = design_effect(losses)
        if effect.upper <= MAX_DESIGN_EFFECT:
            return None
        return (
            f"{effect.rows} reference rows have a design effect of {effect.value:.2f} (at most "
            f"{effect.upper:.2f}, over {effect.window} rows; {MAX_DESIGN_EFFECT} is allowed): rows "
            f"that come in bursts raise more false alarms than promised. Configure a unit or a "
            f"block{_suggestion(losses)}, or give more reference rows if they are independent."
        )
    means = _unit_means(losses, unit) if unit is not None else _block_means(losses, block or 1)
    what = "units" if unit is not None else f"blocks of {block}"
    if len(means) < _MIN_BLOCKS:
        return (
            f"the reference holds only {len(means)} {what}; {_MIN_BLOCKS} are needed to see "
            f"whether they depend on each other. Give more reference rows."
        )
    if _depend(means):
        return (
            f"{what} still depend on each other: neighbouring means correlate by "
            f"{autocorrelations(means, 1)[0]:.2f}. Configure a larger block{_suggestion(losses)}."
        )
    return None


def autocorrelations(values: Values, lags: int) -> Values:
    """Autocorrelations at lags 1 to `lags`; 0 for a constant series."""
    centred = values - values.mean()
    size = 2 ** math.ceil(math.log2(2 * len(values)))
    spectrum = np.fft.rfft(centred, size)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2, size)[: lags + 1]
    if covariances[0] <= 1e-12 * max(1.0, float(np.square(values).sum())):
        return np.zeros(lags)
    correlations: Values = covariances[1:] / covariances[0]
    return correlations


def burst_length(losses: Values) -> float:
    """Mean number of rows in a row that share their fate, at least 1.

    The sum of the autocorrelations up to the first that could be noise, in units of the first:
    exact for sessions of geometric length. Weak bursts drown early in noise; for them a quarter of
    the lags that the design effect needs is longer.
    """
    correlations = autocorrelations(losses, len(losses) // _MIN_BLOCKS)
    noise = 2.0 / math.sqrt(len(losses))
    visible = correlations > noise
    end = len(visible) if visible.all() else int(np.argmin(visible))
    seen = float(correlations[:end].sum() / correlations[0]) if end else 1.0
    return max(1.0, seen, design_effect(losses).window / 4.0)


def _checked(losses: Values) -> Values:
    largest = math.sqrt(float(np.finfo(np.float64).max)) / 1e6
    losses = checked_values(losses, lower=-largest, upper=largest)
    if len(losses) < MIN_ROWS:
        raise InsufficientDataError("reference rows", MIN_ROWS, len(losses))
    return losses


def _within_units(losses: Values, units: Sequence[Hashable]) -> DesignEffect:
    """One-way analysis of variance; its F distribution gives the limits."""
    if len(units) != len(losses):
        raise InvalidObservationError("units", f"{len(losses)} keys", f"{len(units)}")
    keys: dict[Hashable, int] = {}
    index = np.array([keys.setdefault(unit, len(keys)) for unit in units])
    n, count = len(losses), len(keys)
    if count < _MIN_BLOCKS:
        raise InsufficientDataError("units", _MIN_BLOCKS, count)
    sizes = np.bincount(index).astype(np.float64)
    size = float((sizes**2).sum() / n)
    if count == n:
        return DesignEffect(1.0, 1.0, 1.0, 0.0, 1, n)
    means = np.bincount(index, losses) / sizes
    between = float((sizes * (means - losses.mean()) ** 2).sum()) / (count - 1)
    within = float(((losses - means[index]) ** 2).sum()) / (n - count)
    adjusted = (n - size) / (count - 1)
    total = between + (adjusted - 1.0) * within
    correlation = (between - within) / total if total > 0.0 else 0.0
    # Delta method on the analysis of variance; adequate for twenty units and more.
    error = (
        math.sqrt(2.0 / (count - 1))
        * (1.0 - correlation)
        * (1.0 + (adjusted - 1.0) * correlation)
        / max(adjusted, 1.0 + 1e-9)
    )
    value = 1.0 + (size - 1.0) * correlation
    margin = _Z * (size - 1.0) * error
    return DesignEffect(value, value - margin, value + margin, correlation, round(size), n)


def _unit_means(losses: Values, units: Sequence[Hashable]) -> Values:
    """Means of the units, in the order in which they began."""
    if len(units) != len(losses):
        raise InvalidObservationError("units", f"{len(losses)} keys", f"{len(units)}")
    keys: dict[Hashable, int] = {}
    index = np.array([keys.setdefault(unit, len(keys)) for unit in units])
    means: Values = np.bincount(index, losses) / np.bincount(index)
    return means


def _block_means(losses: Values, size: int) -> Values:
    size = checked_count("block", size, least=1)
    blocks = len(losses) // size
    means: Values = losses[: blocks * size].reshape(blocks, size).mean(axis=1)
    return means


def _depend(means: Values) -> bool:
    """Whether neighbours correlate beyond chance, at one in 740 for independent means."""
    return float(autocorrelations(means, 1)[0]) > _Z_SURE / math.sqrt(len(means))


def _suggestion(losses: Values) -> str:
    try:
        size = recommend_block(losses)
    except InsufficientDataError:
        return " (no block size passes on these rows: they are too few, or their mean wanders)"
    return f" of {size} rows" if size else ""
