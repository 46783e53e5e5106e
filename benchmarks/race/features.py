"""Twenty features, one of which changes."""

from collections.abc import Callable
from functools import partial

import numpy as np
from river import drift as river_drift
from scipy import stats

from drift.base import Values
from drift.ranks.numeric import NumericRanks, edges_from
from drift.two_sample.psi import psi
from race.contest import (
    Contestant,
    Delay,
    FalseAlarms,
    Start,
    Watching,
    delays,
    false_alarms,
    first_after,
    guaranteed,
    river,
    seed_of,
)

FEATURES = 20
RUN_LENGTH = 1e5
"""A of the family; each feature has A times the number of features."""

REFERENCE = 5_000
WINDOW = 500
WARM, REST = 2_000, 4_000
"""Rows before the change, at least, and after it."""

CHANGES = {"mean +.25 sd": (0.25, 1.0), "mean +.5 sd": (0.5, 1.0), "variance x1.5": (0.0, 1.5)}
"""Shift and variance after the change, of a standard normal feature."""

STREAMS = 60
"""Families without a change; eight times as many streams with one."""

Distance = Callable[[Values, Values], bool]
"""Whether a window differs from the reference."""


def windows(differs: Distance) -> Start:
    """Compare each 500 rows with 5,000 reference rows."""

    def start(rng: np.random.Generator) -> Watching:
        reference = np.sort(rng.standard_normal(REFERENCE))

        def watching(values: Values, _: int) -> list[int]:
            ends = range(WINDOW, len(values) + 1, WINDOW)
            return [end - 1 for end in ends if differs(reference, values[end - WINDOW : end])]

        return watching

    return start


def ks_below(alpha: float, reference: Values, window: Values) -> bool:
    """Scipy's two-sample test at one look."""
    return bool(stats.ks_2samp(reference, window, method="asymp").pvalue < alpha)


def psi_above(threshold: float, reference: Values, window: Values) -> bool:
    """The customary rule of thumb."""
    return psi(reference, window).statistic > threshold


def begun_with_reference(rng: np.random.Generator) -> NumericRanks:
    """Edges from a tenth of the reference; the rest is in the pool before the stream begins."""
    reference = rng.standard_normal(REFERENCE)
    edges, pool = np.split(reference, [REFERENCE // 10])
    detector = NumericRanks(edges_from(edges), seed=seed_of(rng))
    detector.update(pool, np.zeros((len(pool), 1)))
    return detector


def begun_with_nothing(rng: np.random.Generator) -> NumericRanks:
    """Edges from the reference; the pool starts empty."""
    return NumericRanks(edges_from(rng.standard_normal(REFERENCE)), seed=seed_of(rng))


CONTESTANTS = (
    Contestant(
        "conformal ranks, pool begun with the reference",
        guaranteed(begun_with_reference, RUN_LENGTH * FEATURES),
        allowed=RUN_LENGTH,
    ),
    Contestant(
        "conformal ranks, pool begun with nothing",
        guaranteed(begun_with_nothing, RUN_LENGTH * FEATURES),
        allowed=RUN_LENGTH,
    ),
    Contestant(
        "KS each 500 rows, level for A = 1e+05",
        windows(partial(ks_below, WINDOW / RUN_LENGTH / FEATURES)),
        0.35,
    ),
    Contestant(
        "KS each 500 rows, Bonferroni .05", windows(partial(ks_below, 0.05 / FEATURES)), 0.35
    ),
    Contestant("PSI each 500 rows, above .1", windows(partial(psi_above, 0.1)), 0.2),
    Contestant("PSI each 500 rows, above .2", windows(partial(psi_above, 0.2)), 0.2),
    Contestant("river ADWIN", river(river_drift.ADWIN)),
    Contestant("river PageHinkley", river(river_drift.PageHinkley), 0.05),
    Contestant("river KSWIN", river(river_drift.KSWIN, seed=1), 0.01),
)


def null(contestant: Contestant, scale: float, rng: np.random.Generator) -> FalseAlarms:
    """Count the alarms of a whole family while nothing changes."""
    rows = 50_000 if contestant.share > 0.05 else 1_000 if contestant.share < 0.05 else 10_000
    families = max(STREAMS * contestant.share * scale, 1.0)
    each = false_alarms(
        contestant.start,
        lambda: rng.standard_normal(rows),
        rng,
        streams=max(round(families * FEATURES), FEATURES),
        rows=rows,
    )
    return FalseAlarms(
        per_50k=each.per_50k * FEATURES,
        any_in_50k=1.0 - (1.0 - each.any_in_50k) ** FEATURES,
        alarms=each.alarms,
        rows=each.rows // FEATURES,
        microseconds=each.microseconds,
    )


def found(contestant: Contestant, change: str, scale: float, rng: np.random.Generator) -> Delay:
    """Measure how soon the change of one feature is found, by that feature's detector."""
    shift, variance = CHANGES[change]
    share = max(contestant.share, 0.02)
    # The slowest gets short streams, too.
    warm, rest = (WARM, REST) if contestant.share > 0.02 else (500, 1_000)

    def one() -> float:
        at = warm + int(rng.integers(WINDOW))
        values = rng.standard_normal(at + rest)
        values[at:] = shift + np.sqrt(variance) * values[at:]
        return first_after(contestant.start(rng)(values, at), at)

    return delays(one() for _ in range(max(round(8 * STREAMS * share * scale), 4)))
