"""What every estimate gives."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Estimate:
    """A performance figure that no label has confirmed."""

    guaranteed: ClassVar[bool] = False
    """Nothing is promised: it may inform people, never act."""

    metric: str
    """Such as `accuracy` or `mean-loss`."""
    value: float | None
    """The estimate, in the metric's unit; None where it does not exist, such as the precision of a
    model that predicted no positive."""
    standard_error: float | None
    """How far the figure of these very rows would scatter about the estimate if the assumption
    held, in the metric's unit; it knows nothing of a broken assumption. None where unknown."""
    n: int
    """Rows the estimate is made from."""
