"""Ratios and AUC as means, small drift that is tolerated, and another's suspicions confirmed."""

import numpy as np

from drift.means.auc import AucPairs
from drift.means.bounded import BoundedMean
from drift.means.ratios import f1, ratio
from drift.means.signed import SignedMean, TwoSidedMean
from drift.ranks.tolerant import TolerantRanks, calibrated
from drift.streaming.confirm import ConfirmGate
from suite.feeding import errors, fed, long_streams
from suite.scenario import Count, Scenario

NEGATIVES = 9
"""Negatives that each positive is compared with: all of them, at a prevalence of .1."""

SEPARATION = 1.4657
"""Standard deviations between the scores of both classes for an AUC of .85."""


def auc(rng: np.random.Generator) -> Count:
    """Scores whose AUC is exactly the least accepted one."""
    rows, run_length = 100_000, 5e3
    labels = (rng.random(rows) < 0.1).astype(np.float64)
    scores = rng.standard_normal(rows) + SEPARATION * labels
    shares, last_rows = AucPairs(NEGATIVES).push(scores, labels)
    grants = np.diff(last_rows, prepend=-1)[:, None] / run_length
    alarms = len(BoundedMean(0.15, averaged=True).update(shares, grants).alarms)
    return Count(rows, float(grants.sum()), alarms)


def f1_at_its_least(rng: np.random.Generator) -> Count:
    """Answers whose F1 is exactly the least accepted one."""
    rows, run_length = 300_000, 3e4
    labels = (rng.random(rows) < 0.2).astype(np.float64)
    # Recall .8, and .05 of the negatives called positive: F1 = .32 / (.32 + .04 + .04) = .8.
    outputs = (rng.random(rows) < np.where(labels == 1.0, 0.8, 0.05)).astype(np.float64)
    reduced = f1(labels, outputs, 0.8)
    detector = SignedMean(0.0, lower=reduced.lower, upper=reduced.upper)
    grants = np.diff(reduced.rows, prepend=-1)[:, None] / run_length
    alarms = len(detector.update(reduced.values, grants).alarms)
    return Count(rows, float(grants.sum()), alarms)


def click_through(rng: np.random.Generator) -> Count:
    """Clicks for views, a number of views a row, at exactly the least accepted rate."""
    rows, run_length = 300_000, 3e4
    views = rng.integers(0, 6, rows)
    clicks = rng.binomial(views, 0.2)
    reduced = ratio(
        clicks.astype(np.float64),
        views.astype(np.float64),
        0.2,
        largest_numerator=5.0,
        largest_denominator=5.0,
    )
    detector = SignedMean(0.0, lower=reduced.lower, upper=reduced.upper)
    return Count(rows, rows / run_length, fed(detector, reduced.values, 1.0 / run_length))


def calibration(rng: np.random.Generator, n: int) -> np.ndarray:
    """Label less prediction, with predictions .02 too low on average: exactly the margin."""
    said = rng.beta(2.0, 8.0, n) * 0.9
    return (rng.random(n) < said + 0.02).astype(np.float64) - said


def tolerant(rng: np.random.Generator) -> Count:
    """A profile and a calibration sample of its own for each stream; no tolerance on top."""
    streams, rows, run_length = 10, 30_000, 3e3
    alarms = 0
    for _ in range(streams):
        quantiles, limits = calibrated(
            rng.lognormal(size=2_000), rng.lognormal(size=10_000), tolerance=0.0
        )
        detector = TolerantRanks(quantiles, limits)
        alarms += fed(detector, rng.lognormal(size=rows), 1.0 / run_length)
    return Count(streams * rows, streams * rows / run_length, alarms)


def gate(rng: np.random.Generator) -> Count:
    """River's EDDM, which suspects all the time, and trials that are paid for."""
    rows, run_length = 100_000, 1e4
    detector = ConfirmGate(0.1, opened_by="eddm", patience=2_000)
    return Count(rows, rows / run_length, fed(detector, errors(0.1)(rng, rows), 1.0 / run_length))


SCENARIOS = (
    Scenario(
        "AUC at its least",
        True,
        "AUC .85, prevalence .1, nine negatives to a positive; A = 5e3 rows",
        auc,
        51,
    ),
    Scenario("F1 at its least", True, "F1 .8, least .8; A = 3e4 rows", f1_at_its_least, 101),
    Scenario(
        "ratio at its least", True, "clicks a view .2, least .2; A = 3e4 rows", click_through, 100
    ),
    Scenario(
        "calibration at its margin",
        True,
        "probabilities .02 too low, margin .02; A = 3e4",
        long_streams(
            lambda _: TwoSidedMean(-0.02, 0.02), calibration, run_length=3e4, rows=300_000
        ),
        100,
    ),
    Scenario(
        "tolerant ranks",
        True,
        "lognormal values, a profile of 2,000 and limits from 10,000 rows for each stream of "
        "30,000, tolerance 0; A = 3e3",
        tolerant,
        10,
    ),
    Scenario(
        "confirm gate",
        True,
        "EDDM suspects all the time, errors at the limit .1; A = 1e4",
        gate,
        101,
    ),
)
