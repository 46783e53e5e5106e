"""The exact optimum: how soon a change can be found at a given run length between false alarms.

The CUSUM that is told both distributions is the fastest of all procedures of its run length
(G. Moustakides, Ann. Statist. 14(4), 1986, 1379-1387). Its run lengths follow from a Markov chain
on its statistic (D. Brook, D. Evans, Biometrika 59(3), 1972, 539-549).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import splu

Distribution = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Distribution function of one increment of the CUSUM."""

LATTICE = 2_000
"""Steps of the lattice in a unit of the log likelihood ratio."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """The tuned CUSUM."""

    threshold: float
    """In the unit of its increments."""
    run_length: float
    """Mean rows to a false alarm, from zero."""
    mean_delay: float
    """Mean rows to the alarm, from zero, with the change before the first row."""
    median_delay: float
    """Median of the same; NaN where it was not computed."""


@dataclass(frozen=True, slots=True)
class ErrorCusum:
    """The CUSUM of 0/1 errors, its two increments rounded to a lattice.

    Rounding makes the chain exact. A CUSUM with increments that are off by a few thousandths is
    slower than the best one by their square.
    """

    up: int
    """Increment at an error, in steps of the lattice."""
    down: int
    """Decrement at a correct answer, in steps."""
    step: float
    """Size of a step, in nats."""

    @classmethod
    def between(cls, before: float, after: float) -> "ErrorCusum":
        """Return the CUSUM that is told that the rate rises from `before` to `after`."""
        gain = np.log(after / before)
        loss = np.log((1.0 - before) / (1.0 - after))
        down = max(round(LATTICE * loss), 8)
        step = float(loss / down)
        return cls(round(gain / step), down, step)

    def run_length(self, threshold: int, rate: float) -> float:
        """Mean rows until the statistic, from zero, is at least `threshold` steps."""
        transitions = self._transitions(threshold, rate)
        solver = splu((eye_array(threshold, format="csc") - transitions).tocsc())
        return float(solver.solve(np.ones(threshold))[0])

    def median(self, threshold: int, rate: float) -> float:
        """Median of the same."""
        transitions = self._transitions(threshold, rate).T.tocsr()
        mass: NDArray[np.float64] = np.zeros(threshold)
        mass[0] = 1.0
        rows = 0
        while mass.sum() > 0.5:
            mass = np.asarray(transitions @ mass)
            rows += 1
        return float(rows)

    def _transitions(self, threshold: int, rate: float) -> csc_array:
        states = np.arange(threshold)
        after_error, after_correct = states + self.up, np.maximum(states - self.down, 0)
        stays = after_error < threshold
        rows = np.concatenate([states[stays], states])
        columns = np.concatenate([after_error[stays], after_correct])
        values = np.concatenate([np.full(int(stays.sum()), rate), np.full(threshold, 1.0 - rate)])
        return csc_array((values, (rows, columns)), shape=(threshold, threshold))


def of_errors(before: float, after: float, run_length: float) -> Optimum:
    """Return the optimum for 0/1 errors whose rate rises."""
    cusum = ErrorCusum.between(before, after)
    # Wald: the run length is about e to the threshold, times something above 1.
    low, high = 1, int(np.log(run_length * 50.0) / cusum.step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if cusum.run_length(middle, before) >= run_length else (middle, high)
        )
    return Optimum(
        high * cusum.step,
        cusum.run_length(high, before),
        cusum.run_length(high, after),
        cusum.median(high, after),
    )


def chain_run_length(increment: Distribution, threshold: float, cells: int) -> float:
    """Mean rows until a CUSUM of continuous increments, from zero, reaches the threshold.

    The first state is zero itself; `cells` cells divide the rest, each standing at its middle.
    """
    width = threshold / cells
    middles = np.concatenate([[0.0], (np.arange(cells) + 0.5) * width])
    edges = np.arange(cells + 1) * width
    reached = increment(edges[None, :] - middles[:, None])
    transitions = np.concatenate([reached[:, :1], np.diff(reached, axis=1)], axis=1)
    return float(np.linalg.solve(np.eye(cells + 1) - transitions, np.ones(cells + 1))[0])


def precise_run_length(increment: Distribution, threshold: float, cells: int = 250) -> float:
    """Return the limit of finer cells by Richardson's rule: the error falls with their square."""
    coarse = chain_run_length(increment, threshold, cells)
    fine = chain_run_length(increment, threshold, 2 * cells)
    return (4.0 * fine - coarse) / 3.0


def _tuned(before: Distribution, after: Distribution, run_length: float, highest: float) -> Optimum:
    def excess(threshold: float) -> float:
        return float(np.log(precise_run_length(before, threshold) / run_length))

    threshold = float(optimize.brentq(excess, 0.5, highest, xtol=1e-4))
    return Optimum(
        threshold,
        precise_run_length(before, threshold),
        precise_run_length(after, threshold),
        float("nan"),
    )


def of_mean(shift: float, run_length: float) -> Optimum:
    """Return the optimum for a normal mean that rises by `shift` standard deviations."""

    def before(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(stats.norm.cdf(x + shift / 2.0))

    def after(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(stats.norm.cdf(x - shift / 2.0))

    return _tuned(before, after, run_length, (np.log(run_length) + 2.0) / shift)


def of_variance(ratio: float, run_length: float) -> Optimum:
    """Return the optimum for a normal variance that rises to `ratio` times."""
    slope, constant = 0.5 * (1.0 - 1.0 / ratio), -0.5 * np.log(ratio)

    def with_variance(variance: float) -> Distribution:
        def distribution(x: NDArray[np.float64]) -> NDArray[np.float64]:
            square = np.maximum((x - constant) / (slope * variance), 0.0)
            return np.asarray(stats.chi2.cdf(square, 1))

        return distribution

    return _tuned(with_variance(1.0), with_variance(ratio), run_length, np.log(run_length) + 2.0)
