"""What every detector takes and gives."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError

Values = NDArray[np.float64]
"""Observations in the order in which they are consumed."""

Settings = dict[str, object]
"""Plain numbers, strings and lists: what JSON can carry."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A test rejects its null hypothesis."""

    step: int
    """Index into the arrays of this call, from 0: the step that alarmed."""
    tier: int
    """Column of the grants whose budget pays for this alarm."""
    statistic: float
    """Value that crossed the threshold, before the restart; no unit."""
    threshold: float
    """What the statistic had to reach; 0 where the detector has no fixed threshold."""
    stake: int
    """Stake that contributed most, from 0; -1 where there is none."""
    onset: int
    """Estimated change: steps before the alarm at which the evidence began to grow, at least 0.
    An estimate: no coverage is promised."""
    fresh: int = 0
    """Steps, this one included, that confirm what another detector suspected before them; 0 where
    none did."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a detector concludes from the steps of one call."""

    statistic: NDArray[np.float64]
    """Shape (n, tiers): the statistic after each step, before a restart."""
    alarms: tuple[Alarm, ...]
    """In order of step, then of tier."""


class Detector(Protocol):
    """Watches one stream."""

    guaranteed: ClassVar[bool]
    """Whether the expected number of false alarms is bounded by what was granted."""
    assumption: ClassVar[str]
    """One sentence: under which the error rate holds."""

    @property
    def steps(self) -> int:
        """Observations consumed so far."""

    @property
    def settings(self) -> Settings:
        """What the detector was built with; a checkpoint fits no other settings."""

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume observations; all of them, or none if one is refused.

        Parameters
        ----------
        values : shape (n,)
            Observations in order of consumption, in the detector's unit.
        grants : shape (n, tiers)
            False alarms granted to each step and tier, in expected numbers, at least 0. For a
            budget of b a year: b times the years since the step before. A grant may depend on
            anything known before its step's value, never on the value.

        Raises
        ------
        InvalidObservationError
            If a value or a grant is not finite, is out of range or has the wrong shape.
        InsufficientDataError
            If there is no step at all.
        """

    def to_bytes(self) -> bytes:
        """Save the state, with a schema version and a hash of the settings."""

    def restore(self, data: bytes) -> None:
        """Take over a saved state; the detector goes on to the bit as if never interrupted.

        Raises
        ------
        CheckpointError
            If the state is damaged, of another version, or of other settings.
        """


@dataclass(frozen=True, slots=True)
class Harmless:
    """Values that are good news, and what one of them may do at most all the same.

    A step of such a value takes a statistic S, granted w, to no more than ``factor * (S + w)``. So
    as long as that stays below the threshold, nobody need look.
    """

    most: float
    """The largest of them, in the detector's unit."""
    factor: float
    """At least 1; more than that where a draw decides beside the value."""


def checked_values(values: Values, *, lower: float, upper: float) -> Values:
    """Refuse what is empty, not one-dimensional, not finite or out of [lower, upper]."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise InvalidObservationError("values", "shape (n,)", f"shape {values.shape}")
    if not len(values):
        raise InsufficientDataError("values", 1, 0)
    # A NaN fails both comparisons, so this one test finds every bad value.
    good = (values >= lower) & (values <= upper) & np.isfinite(values)
    if not good.all():
        index = int(np.argmin(good))
        raise InvalidObservationError(
            "value", f"a number in [{lower:g}, {upper:g}]", float(values[index]), index
        )
    return values


def checked_grants(grants: NDArray[np.float64], steps: int, tiers: int) -> NDArray[np.float64]:
    """Refuse grants of another shape, negative or not finite."""
    grants = np.asarray(grants, dtype=np.float64)
    if grants.shape != (steps, tiers):
        raise InvalidObservationError("grants", f"shape {(steps, tiers)}", f"shape {grants.shape}")
    good = (grants >= 0.0) & (grants <= MAX_GRANT)
    if not good.all():
        index = int(np.argmin(good.all(axis=1)))
        raise InvalidObservationError(
            "grant", f"a number in [0, {MAX_GRANT:g}]", grants[index].tolist(), index
        )
    return grants


MAX_GRANT = 1e6
"""Largest grant to one step: beyond it the product forms would leave the range of doubles.
A grant of 1 already pays for an alarm at that very step."""


def checked_number(
    name: str, value: object, *, above: float, below: float, inclusive: bool = False
) -> float:
    """Refuse a setting that is not a number inside (above, below), or [above, below]."""
    expected = (
        f"a number in {'[' if inclusive else '('}{above:g}, {below:g}{']' if inclusive else ')'}"
    )
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InvalidSettingError(name, expected, value)
    number = float(value)
    inside = above <= number <= below if inclusive else above < number < below
    if not inside:
        raise InvalidSettingError(name, expected, value)
    return number


def checked_count(name: str, value: object, *, least: int) -> int:
    """Refuse a setting that is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidSettingError(name, f"a whole number of at least {least}", value)
    return int(value)
