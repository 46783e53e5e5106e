"""What every two-sample test gives, and what it refuses."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from drift.base import Values, checked_number
from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError

MIN_SIZE = 20
"""Smallest window compared; a smaller one could miss almost any drift."""

NO_UNIT = "1"
"""Unit of a plain number, as the International System of Units writes it."""

Rows = NDArray[np.float64]
"""Shape (rows, columns): several features of the same predictions."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far a current window is from the reference, at one look."""

    guaranteed: ClassVar[bool] = False
    """Nothing is promised about looking again: it may inform people, never act by itself."""
    assumption: ClassVar[str] = (
        "Rows are independent, the reference was fixed before the window, and nobody looks twice."
    )

    test: str
    """Name in the literature, such as `kolmogorov-smirnov`."""
    statistic: float
    """The test statistic or distance: how much it differs, whether or not that is significant."""
    unit: str
    """Unit of the statistic; `1` where it has none."""
    pvalue: float | None
    """Chance of a statistic at least this large if nothing changed; None for a bare distance."""
    n: int
    """Rows of the reference that were compared."""
    m: int
    """Rows of the current window that were compared."""
    bounds: tuple[float, float] | None = None
    """Where the statistic of the raw values lies for certain, if it was computed from bins."""
    noise: float | None = None
    """What sampling alone makes of the statistic on average, in its unit, where that is known."""

    def rejects(self, alpha: float) -> bool:
        """Whether H0, both windows come from the same distribution, falls at this level.

        Parameters
        ----------
        alpha
            Probability of a false alarm at this one look, in (0, 1).

        Raises
        ------
        InvalidSettingError
            If alpha is out of range, or this is a distance without a null distribution.
        """
        alpha = checked_number("alpha", alpha, above=0.0, below=1.0)
        if self.pvalue is None:
            raise InvalidSettingError("test", "a test with a p-value", self.test)
        return self.pvalue <= alpha


def checked_window(name: str, values: Values, *, least: int = MIN_SIZE) -> Values:
    """Refuse a window of one feature that is not shape (n,), holds NaN or an infinity, or is short.

    Raises
    ------
    InvalidObservationError
        With the place of the first bad value.
    InsufficientDataError
        If it holds fewer than `least` values.
    """
    values = as_numbers(name, values)
    if values.ndim != 1:
        raise InvalidObservationError(name, "shape (n,)", f"shape {values.shape}")
    if len(values) < least:
        raise InsufficientDataError(name, least, len(values))
    _refuse_not_finite(name, values)
    return values


def checked_rows(
    reference: Rows, current: Rows, *, least: int = MIN_SIZE, missing: bool = False
) -> tuple[Rows, Rows]:
    """Two windows of the same columns; a one-dimensional one is taken as a single column.

    Parameters
    ----------
    missing
        Whether NaN is allowed and means a missing value; an infinity never is.

    Raises
    ------
    InvalidObservationError
        If a window is not a table, the columns differ in number, or a value is not finite.
    InsufficientDataError
        If a window holds fewer than `least` rows.
    """
    windows = []
    for name, window in (("reference", reference), ("current", current)):
        rows = as_numbers(name, window)
        rows = rows[:, np.newaxis] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise InvalidObservationError(name, "shape (n, columns)", f"shape {rows.shape}")
        if len(rows) < least:
            raise InsufficientDataError(name, least, len(rows))
        _refuse_not_finite(
            name, np.nan_to_num(rows, posinf=np.inf, neginf=-np.inf, nan=0.0) if missing else rows
        )
        windows.append(rows)
    if windows[0].shape[1] != windows[1].shape[1]:
        raise InvalidObservationError(
            "current", f"{windows[0].shape[1]} columns as in the reference", windows[1].shape[1]
        )
    return windows[0], windows[1]


def as_numbers(name: str, values: object) -> NDArray[np.float64]:
    """Take an array of numbers as doubles.

    Raises
    ------
    InvalidObservationError
        If it holds text or other things that are not numbers.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidObservationError(name, "an array of numbers", str(error)) from error


def standardised(reference: Rows, current: Rows) -> tuple[Rows, Rows]:
    """Both windows with each column in pooled standard deviations, so that no unit matters.

    The scale comes from both windows together: it does not know which row is from which, so a
    permutation test stays exact. A constant column becomes zeros and weighs nothing.
    """
    pooled = np.concatenate([reference, current])
    # Centred and scaled by the range first: squares of the raw values may overflow.
    centre = np.median(pooled, axis=0)
    half = pooled / 2 - centre / 2
    reach = np.abs(half).max(axis=0)
    half = np.divide(half, reach, out=np.zeros_like(half), where=reach > 0)
    scale = half.std(axis=0)
    half = np.divide(half, scale, out=np.zeros_like(half), where=scale > 0)
    return half[: len(reference)], half[len(reference) :]


def _refuse_not_finite(name: str, values: NDArray[np.float64]) -> None:
    good = np.isfinite(values)
    if good.all():
        return
    index = int(np.argmin(good.reshape(len(values), -1).all(axis=1)))
    raise InvalidObservationError(name, "finite numbers", values[index].tolist(), index)
