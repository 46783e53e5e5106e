"""The weekly digest: which of many streams to look at, with a bound on the share of false ones."""

import numpy as np
from numpy.typing import NDArray

from drift.base import Values, checked_number, checked_values

_LARGEST = float(np.finfo(np.float64).max)


def evidence(statistics: Values, granted: Values) -> Values:
    """E-values of streams over a period that began with no evidence.

    Parameters
    ----------
    statistics : shape (n,)
        The engine's statistic of each stream at the end of the period, without a restart in it.
    granted : shape (n,)
        Sum of each stream's grants over the period, above 0.

    Returns
    -------
    shape (n,)
        Expectation at most 1 where nothing changed, as the statistic's is at most what was granted.
    """
    statistics = checked_values(statistics, lower=0.0, upper=_LARGEST)
    granted = checked_values(granted, lower=float(np.finfo(np.float64).tiny), upper=_LARGEST)
    ratio: Values = statistics / granted
    return ratio


def discoveries(evalues: Values, alpha: float) -> NDArray[np.int64]:
    """Choose streams so that at most a share `alpha` of them is expected to be false (e-BH).

    Valid at one report time fixed in advance, under any dependence between the streams. Not for
    live alarms: no rule bounds that share at every moment.

    Parameters
    ----------
    evalues : shape (n,)
        One e-value a stream, at least 0.
    alpha
        Expected share of false discoveries, in (0, 1).

    Returns
    -------
    shape (k,)
        Indices of the chosen streams, strongest evidence first.

    References
    ----------
    R. Wang, A. Ramdas, "False discovery rate control with e-values", JRSS B 84(3), 2022, 822-852.
    """
    evalues = checked_values(evalues, lower=0.0, upper=_LARGEST)
    checked_number("alpha", alpha, above=0.0, below=1.0)
    order = np.argsort(-evalues, kind="stable")
    needed = len(evalues) / (alpha * np.arange(1, len(evalues) + 1))
    enough = np.flatnonzero(evalues[order] >= needed)
    return order[: enough[-1] + 1] if len(enough) else order[:0]
