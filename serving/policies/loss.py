"""How wrong an answer was, in [0, 1]: what policies learn from."""

import json
import math
from typing import Any


def loss_of(output: bytes, label: bytes, *, numeric: bool, scale: float | None) -> float | None:
    """Loss of an answer, None where the two cannot be compared.

    Parameters
    ----------
    output, label
        JSON texts.
    numeric
        Whether they are numbers with a distance, as in regression, or classes.
    scale
        Absolute error that counts as a whole loss; without one the error is set against the sum
        of both magnitudes, which needs no unit.
    """
    said, true = json.loads(output), json.loads(label)
    if not numeric:
        # True is not 1 here, and 1.0 is.
        return float(isinstance(said, bool) != isinstance(true, bool) or said != true)
    if not (_is_number(said) and _is_number(true)):
        return None
    error, size = abs(said - true), abs(said) + abs(true) if scale is None else scale
    return 0.0 if error == 0.0 else min(1.0, error / size)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
