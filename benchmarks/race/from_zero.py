"""Detectors that begin on a stream that is bad from its first row."""

import numpy as np
from numpy.typing import NDArray

from drift.canary.paired import PairedExcess
from drift.means.stakes import mean_stakes
from drift.streams import Streams

PAIRS = ((0.1, 0.15), (0.1, 0.2), (0.1, 0.3), (0.05, 0.1), (0.02, 0.04), (0.01, 0.02))
"""Rates before and after."""


def rows_to_alarm(
    before: float,
    after: float,
    *,
    grant: float,
    head_start: float = 0.0,
    streams: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Rows to the first alarm of many streams, each with rate `after` and limit `before`."""
    stakes = mean_stakes(before)[:, None]
    many = Streams(streams, stakes=len(stakes), head_start=head_start)
    base, grants = 1.0 - stakes * before, np.array([grant])
    rows, delay = 0, np.zeros(streams)
    while (delay == 0.0).any():
        rows += 1
        _, alarms = many.step(base + stakes * (rng.random(streams) < after), grants)
        delay[alarms[0] & (delay == 0.0)] = rows
    return delay


def shadow(
    rate: float, *, hard: float, runs: int, rows: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rows to the rollback of a challenger with this error rate; infinite for none.

    Parameters
    ----------
    hard
        Share of rows on which one draw decides for both versions.
    """

    def differences() -> NDArray[np.float64]:
        challenger = rng.random(rows)
        champion = np.where(rng.random(rows) < hard, challenger, rng.random(rows))
        return (challenger < rate).astype(np.float64) - (champion < 0.1)

    none = np.zeros((rows, 1))
    delays = []
    for _ in range(runs):
        alarms = PairedExcess(0.01, head_start=0.01).update(differences(), none).alarms
        delays.append(alarms[0].step + 1.0 if alarms else np.inf)
    return np.array(delays)
