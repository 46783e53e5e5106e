"""Canaries, shadows, promotions, many streams on one budget, and detectors that start again."""

import numpy as np
from scipy.special import ndtr

from drift.base import Values
from drift.canary.paired import PairedExcess, PairedPromotion
from drift.canary.randomised import RandomisedExcess, RandomisedPromotion
from drift.means.bounded import BoundedMean
from suite.feeding import Draw, errors, fed, long_streams
from suite.scenario import Count, Scenario

FLOOR = 0.05
"""Least share of either version."""

YEAR = 30_000
"""Ticks of a year in the family of streams."""

FAMILY = 60
"""Streams of one model."""

LABELS_A_YEAR = np.geomspace(300, YEAR, FAMILY)
"""Labels each stream receives a year."""


def shadowed(rate: float) -> Draw:
    """Differences of loss; hard rows are hard for both: on six in ten one draw decides."""

    def draw(rng: np.random.Generator, n: int) -> Values:
        challenger = rng.random(n)
        champion = np.where(rng.random(n) < 0.6, challenger, rng.random(n))
        return (challenger < rate).astype(np.float64) - (champion < 0.1)

    return draw


def routed(rng: np.random.Generator, streams: int, rows: int, rate: float) -> Values:
    """Rows routed by Thompson's share, learned anew every 100 rows, never below the floor.

    Returns
    -------
    shape (streams, rows, 3)
        As `drift.canary.randomised.RandomisedExcess` takes them.
    """
    values = np.empty((streams, rows, 3))
    rates = np.array([0.1, rate])
    wrong, seen = np.ones((streams, 2)), np.full((streams, 2), 2.0)
    for start in range(0, rows, 100):
        means = wrong / seen
        error = np.sqrt((means * (1.0 - means) / (seen + 1.0)).sum(axis=1))
        share = np.clip(ndtr((means[:, 0] - means[:, 1]) / error), FLOOR, 1.0 - FLOOR)
        part = values[:, start : start + 100]
        answered = (rng.random(part.shape[:2]) < share[:, None]).astype(np.int64)
        losses = rng.random(part.shape[:2]) < rates[answered]
        part[:, :, 0], part[:, :, 1], part[:, :, 2] = losses, answered, share[:, None]
        for arm in (0, 1):
            wrong[:, arm] += (losses & (answered == arm)).sum(axis=1)
            seen[:, arm] += (answered == arm).sum(axis=1)
    return values


def canary(rng: np.random.Generator) -> Count:
    """A challenger worse by exactly the margin, watched on and on."""
    streams, rows, run_length = 20, 25_000, 5e4
    alarms = 0
    for values in routed(rng, streams, rows, 0.11):
        detector = RandomisedExcess(0.01, floor=FLOOR, head_start=0.0)
        alarms += fed(detector, values, 1.0 / run_length)
    return Count(streams * rows, streams * rows / run_length, alarms)


def canary_release(rng: np.random.Generator) -> Count:
    """The same from its release, with all of its budget at once."""
    streams, rows, head = 50, 5_000, 0.2
    alarms = 0
    for values in routed(rng, streams, rows, 0.11):
        detector = RandomisedExcess(0.01, floor=FLOOR, head_start=head)
        alarms += fed(detector, values, 0.0)
    return Count(streams * rows, streams * head, alarms)


def canary_promotion(rng: np.random.Generator) -> Count:
    """A challenger that is worse by exactly what would be too much."""
    streams, rows, alpha = 50, 5_000, 0.2
    alarms = 0
    for values in routed(rng, streams, rows, 0.12):
        alarms += fed(RandomisedPromotion(0.02, alpha, floor=FLOOR), values, 0.0)
    return Count(streams * rows, streams * alpha, alarms)


def shadow_promotion(rng: np.random.Generator) -> Count:
    """The same in the shadow, where both answer each row."""
    streams, rows, alpha = 50, 8_000, 0.2
    draw = shadowed(0.12)
    alarms = sum(fed(PairedPromotion(0.02, alpha), draw(rng, rows), 0.0) for _ in range(streams))
    return Count(streams * rows, streams * alpha, alarms)


def family(rng: np.random.Generator) -> Count:
    """60 streams of one model whose errors come together, on one calendar budget."""
    years, budget = 5, 4.0
    ticks = years * YEAR
    common = rng.random(ticks)
    rows, alarms, allowed = 0, 0, 0.0
    for labels in LABELS_A_YEAR:
        at = np.flatnonzero(rng.random(ticks) < labels / YEAR)
        # Nine in ten rows share their fate with whatever else is labelled at that tick.
        fate = np.where(rng.random(len(at)) < 0.9, common[at], rng.random(len(at)))
        grants = np.diff(at, prepend=0)[:, None] * (budget / FAMILY / YEAR)
        update = BoundedMean(0.1).update((fate < 0.1).astype(np.float64), grants)
        rows += len(at)
        allowed += float(grants.sum())
        alarms += len(update.alarms)
    return Count(rows, allowed, alarms)


def interrupted(rng: np.random.Generator) -> Count:
    """A monitor that dies every now and then, and reads again from its last checkpoint."""
    rows, run_length = 100_000, 1e4
    values = errors(0.1)(rng, rows)
    grants = np.full((rows, 1), 1.0 / run_length)
    saved, detector, at, alarms = BoundedMean(0.1).to_bytes(), BoundedMean(0.1), 0, 0
    while at < rows:
        stop = min(at + int(rng.integers(1, 2_000)), rows)
        found = detector.update(values[at:stop], grants[at:stop]).alarms
        if rng.random() < 0.2:
            # Died before the commit: neither the state nor its alarms were kept.
            detector = BoundedMean(0.1)
            detector.restore(saved)
            continue
        saved, at, alarms = detector.to_bytes(), stop, alarms + len(found)
    return Count(rows, rows / run_length, alarms)


def restarted_at_head(rng: np.random.Generator) -> Count:
    """After each alarm the model is replaced, and the next one starts with a head start."""
    rows, run_length, head = 100_000, 1e4, 0.05
    values = errors(0.1)(rng, rows)
    at, alarms = 0, 0
    while at < rows:
        detector = BoundedMean(0.1, head_start=head)
        stop = rows
        # Looked at in parts: what follows an alarm is fed to the next detector.
        for start in range(at, rows, 5_000):
            part = values[start : start + 5_000]
            found = detector.update(part, np.full((len(part), 1), 1.0 / run_length)).alarms
            if found:
                alarms += 1
                stop = start + found[0].step + 1
                break
        at = stop
    return Count(rows, (head + rows / run_length) / (1.0 - head), alarms)


SCENARIOS = (
    Scenario(
        "shadow at the margin",
        True,
        "paired differences of errors at .11 and .10, margin .01; A = 1e5",
        long_streams(
            lambda _: PairedExcess(0.01, head_start=0.0),
            shadowed(0.11),
            run_length=1e5,
            rows=1_000_000,
        ),
        100,
    ),
    Scenario(
        "shadow promotion",
        True,
        "paired differences at eps = .02, promoted with alpha = .2 within 8,000 rows",
        shadow_promotion,
        100,
    ),
    Scenario(
        "canary, adaptive routing",
        True,
        "Thompson's share with a floor of .05, excess risk at the margin .01; A = 5e4",
        canary,
        102,
    ),
    Scenario(
        "canary from release",
        True,
        "the same, a head start of .2 and no grants, 5,000 rows",
        canary_release,
        102,
    ),
    Scenario(
        "canary promotion",
        True,
        "the same at eps = .02, promoted with alpha = .2 within 5,000 rows",
        canary_promotion,
        102,
    ),
    Scenario(
        "60 streams, one calendar budget",
        True,
        "300 to 30,000 labels a year each, errors in common, limit .1; 4 a model-year",
        family,
        51,
    ),
    Scenario(
        "restarts: crashes and checkpoints",
        True,
        "0/1 errors at .1, a checkpoint every 1,000 rows, one crash in five; A = 1e4",
        interrupted,
        105,
    ),
    Scenario(
        "restarts: deployments with head start",
        True,
        "0/1 errors at .1, a new detector with head start .05 every 5,000 rows; A = 1e5",
        long_streams(
            lambda _: BoundedMean(0.1, head_start=0.05),
            errors(0.1),
            run_length=1e5,
            rows=5_000,
            streams=100,
            head_start=0.05,
        ),
        105,
    ),
    Scenario(
        "restarts: head start after each alarm",
        True,
        "0/1 errors at .1, a new detector with head start .05 after each alarm; A = 1e4",
        restarted_at_head,
        105,
    ),
)
