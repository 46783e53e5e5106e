"""What the detectors are to reach, and whether they do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from optimum import Optimum, of_errors

from race.contest import Delay
from race.from_zero import PAIRS, rows_to_alarm, shadow

MOST_OF_OPTIMUM = {1e5: 1.40, 1e7: 1.25}
"""Mean delay over the exact optimum, by run length."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure and what it may be at most; infinite where it is information."""

    identifier: str
    what: str
    figure: float
    most: float

    @property
    def met(self) -> bool:
        """Whether the figure is within its bound."""
        return self.figure <= self.most


def targets(
    *,
    pool_delays: Mapping[str, Delay],
    pool_optima: Mapping[str, Optimum],
    feature_delays: Mapping[str, Mapping[str, Delay]],
    feature_optima: Mapping[str, Optimum],
    scale: float,
    rng: np.random.Generator,
) -> list[Target]:
    """Hold what was measured against the targets, and measure those that begin from zero."""
    return [
        *_known_limit(max(round(4_000 * scale), 100), rng),
        *_pool(pool_delays, pool_optima),
        *_features(feature_delays, feature_optima),
        *_release(max(round(4_000 * scale), 100), rng),
        *_shadow(max(round(400 * scale), 20), rng),
    ]


def _known_limit(streams: int, rng: np.random.Generator) -> Iterator[Target]:
    for run_length, most in MOST_OF_OPTIMUM.items():
        for before, after in PAIRS:
            mean = rows_to_alarm(before, after, grant=1 / run_length, streams=streams, rng=rng)
            best = of_errors(before, after, run_length).mean_delay
            what = f"known limit, {before:g} to {after:g}, A = {run_length:.0e}: mean over optimum"
            yield Target("T2", what, float(mean.mean()) / best, most)


def _pool(found: Mapping[str, Delay], best: Mapping[str, Optimum]) -> Iterator[Target]:
    for change, delay in found.items():
        what = f"unknown rate, {change}: median over the optimum's"
        yield Target("T3", what, delay.median / best[change].median_delay, 1.45)


def _features(
    found: Mapping[str, Mapping[str, Delay]], best: Mapping[str, Optimum]
) -> Iterator[Target]:
    ranks = next(delays for name, delays in found.items() if name.startswith("conformal"))
    windows = next(delays for name, delays in found.items() if name.startswith("KS"))
    for change, optimum in best.items():
        most = 1.3 if change.startswith("mean") else 1.7
        what = f"features, {change}: mean over optimum"
        yield Target("T4", what, ranks[change].mean / optimum.mean_delay, most)
        what = f"features, {change}: median over that of KS windows"
        yield Target("T4", what, ranks[change].median / windows[change].median, 1 / 1.7)


def _release(streams: int, rng: np.random.Generator) -> Iterator[Target]:
    fresh = rows_to_alarm(0.1, 0.2, grant=1e-7, head_start=0.01, streams=streams, rng=rng)
    yield Target("T5", "bad from its first row, .10 to .20: mean rows", float(fresh.mean()), 130.0)
    yearly = rows_to_alarm(0.1, 0.2, grant=0.05 / 1e7, streams=streams, rng=rng)
    what = ".05 false alarms a year at 1e7 labels, .10 to .20: mean rows"
    yield Target("T7", what, float(yearly.mean()), 400.0)


def _shadow(runs: int, rng: np.random.Generator) -> Iterator[Target]:
    # Two versions of one model mostly fail on the same rows, and the targets are for these: errors
    # that have nothing in common are shown beside them.
    kinds = ((0.6, "errors in common"), (0.5, "half in common"), (0.0, "independent errors"))
    for hard, kind in kinds:
        for rate, bound in ((0.2, 250.0), (0.15, 850.0)):
            most = bound if hard == 0.6 else np.inf
            rows = shadow(rate, hard=hard, runs=runs, rows=8_000, rng=rng)
            what = f"shadow, {kind}, .10 against {rate:g}: median rows"
            yield Target("T6", what, float(np.median(rows)), most)
    false = np.isfinite(shadow(0.11, hard=0.0, runs=4 * runs, rows=20_000, rng=rng)).mean()
    # The bound is on the probability: what chance adds one time in a hundred is allowed.
    most = 0.01 + 2.33 * (0.01 / (4 * runs)) ** 0.5
    yield Target("T6", "shadow at the margin: share rolled back (alpha .01)", float(false), most)
