"""Labels for some rows only, each drawn with a known probability."""

import numpy as np

from drift.base import Values
from drift.means.sampled import SampledMean
from suite.feeding import Draw, long_streams
from suite.scenario import Scenario

FLOOR = 0.02
"""Smallest probability of a label."""


def sampled(*, active: bool, trust: float) -> Draw:
    """Errors at .1 whose risk is partly known.

    Parameters
    ----------
    active
        Whether rows of high risk are labelled more often: 1 in 50 to 1 in 5, instead of 1 in 20.
    trust
        What the forecast is of the true risk; 0 for none.
    """

    def draw(rng: np.random.Generator, n: int) -> Values:
        # Risks .04, .1 and .28 with mean .1.
        risk = np.array([0.04, 0.1, 0.28])[np.searchsorted([0.45, 0.85], rng.random(n))]
        risk *= 0.1 / (0.45 * 0.04 + 0.4 * 0.1 + 0.15 * 0.28)
        loss = (rng.random(n) < risk).astype(np.float64)
        probability = np.clip(risk * 0.5 if active else np.full(n, 0.05), FLOOR, 1.0)
        labelled = (rng.random(n) < probability).astype(np.float64)
        return np.column_stack([loss, labelled, probability, trust * risk])

    return draw


def _scenario(name: str, story: str, draw: Draw) -> Scenario:
    batch = long_streams(
        lambda _: SampledMean(0.1, floor=FLOOR), draw, run_length=3e4, rows=300_000
    )
    return Scenario(name, True, f"{story}, mean loss .1, limit .1; A = 3e4 rows", batch, 100)


SCENARIOS = (
    _scenario(
        "sampled labels: one in twenty",
        "labels by lot, inverse propensity, no forecast",
        sampled(active=False, trust=0.0),
    ),
    _scenario(
        "sampled labels: by risk, assisted",
        "doubtful rows labelled more often, inverse propensity, true forecast",
        sampled(active=True, trust=1.0),
    ),
    _scenario(
        "sampled labels: forecast 40 % too low",
        "the same with a wrong forecast",
        sampled(active=True, trust=0.6),
    ),
)
