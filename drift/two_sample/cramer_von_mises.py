"""Cramér-von Mises: the mean squared gap between two empirical distributions."""

from scipy import stats

from drift.base import Values
from drift.two_sample.base import NO_UNIT, Comparison, checked_window


def cramer_von_mises_test(reference: Values, current: Values) -> Comparison:
    """Test H0: both windows are drawn from the same distribution.

    Parameters
    ----------
    reference : shape (n,)
        One feature in the reference window, in the feature's unit.
    current : shape (m,)
        The same feature in the current window, in the same unit.

    Returns
    -------
    Comparison
        Statistic: Anderson's T, at least 0, about 1/6 when nothing changed, no unit. It grows with
        the windows: it measures evidence, not the size of the change.

    Raises
    ------
    InsufficientDataError
        If a window holds fewer than `MIN_SIZE` values.
    InvalidObservationError
        If a window holds NaN or an infinity.

    Notes
    -----
    Valid for one look; ties are averaged. The p-value is that of the limiting distribution.
    O((n + m) log(n + m)) time. Hears a shift of the whole better than Kolmogorov-Smirnov does; deaf
    to the tails.

    References
    ----------
    T. W. Anderson, Ann. Math. Statist. 33(3), 1962, 1148-1159.
    """
    reference = checked_window("reference", reference)
    current = checked_window("current", current)
    n, m = len(reference), len(current)
    if reference.min() == reference.max() == current.min() == current.max():
        # With all values tied the formula leaves a remainder; there is no gap at all.
        return Comparison("cramer-von-mises", 0.0, NO_UNIT, 1.0, n, m)
    result = stats.cramervonmises_2samp(reference, current, method="asymptotic")
    return Comparison(
        "cramer-von-mises",
        max(0.0, float(result.statistic)),
        NO_UNIT,
        min(1.0, max(0.0, float(result.pvalue))),
        n,
        m,
        noise=(1.0 + 1.0 / (n + m)) / 6.0,
    )
