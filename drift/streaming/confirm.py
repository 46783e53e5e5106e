"""The confirm gate: how a detector without a guarantee may act all the same."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from drift.base import (
    Alarm,
    Settings,
    Update,
    Values,
    checked_count,
    checked_grants,
    checked_values,
)
from drift.checkpoint import pack, unpack
from drift.errors import InvalidSettingError
from drift.means.bounded import BoundedMean
from drift.streaming.river_adapter import NAMES, Streaming

LEAST_STAKE, MOST_STAKE = 1e-12, 0.05
"""Below the first nothing was granted that is worth a trial; above the second a trial would believe
evidence of less than twenty to one, whatever had been saved up."""


_CLOSED = -1
"""In place of the fresh rows of a trial, while none is open."""


class ConfirmGate:
    """Lets another detector suspect, and alarms when fresh rows prove it right.

    A suspicion opens a trial on the rows after it: the e-process of `BoundedMean` from wealth 1,
    which is granted nothing more and alarms when the wealth reaches 1 / alpha. The stake alpha is
    half of what has been granted so far and not staked yet, so it is fixed before the first fresh
    row. A trial that has not alarmed after `patience` rows is closed, and its stake is spent. What
    is suspected while a trial runs opens the next one, should this one be closed without an alarm.

    Parameters
    ----------
    limit
        Largest mean loss that is accepted, in (0, 1).
    opened_by
        Name of one of river's detectors.
    opener
        Its parameters.
    patience
        Rows after which a trial is closed.
    averaged
        Whether the values are means of blocks or units; see `BoundedMean`.

    Notes
    -----
    A trial is wrong with probability at most alpha (Ville), given all that came before it. So the
    expected number of false alarms is at most the sum of all stakes, which never exceeds the sum of
    the grants, however often the other detector errs. Because a stake costs a trial no more than
    log(1 / alpha) of evidence, no head start is needed.

    References
    ----------
    J. Ville, "Étude critique de la notion de collectif", 1939.
    """

    name = "confirm-gate"
    guaranteed: ClassVar[bool] = True
    assumption: ClassVar[str] = (
        "The expected loss of each step, given everything consumed before it, is at most the limit."
    )

    def __init__(
        self,
        limit: float,
        *,
        opened_by: str = "adwin",
        opener: Mapping[str, object] | None = None,
        patience: int = 2_000,
        averaged: bool = False,
        tiers: int = 1,
    ) -> None:
        if tiers != 1:
            raise InvalidSettingError("tiers", "1: a gate serves one budget", tiers)
        if opened_by not in NAMES:
            raise InvalidSettingError("opened_by", f"one of {', '.join(NAMES)}", opened_by)
        self.patience = checked_count("patience", patience, least=1)
        self._opener = Streaming(opened_by, **(opener or {}))
        self._test = BoundedMean(limit, averaged=averaged)
        self._fresh = _CLOSED
        self._suspected = False
        self._stake = self._saved = self._staked = 0.0
        self._settings: Settings = {
            "test": self._test.settings,
            "opener": self._opener.settings,
            "patience": self.patience,
        }

    @property
    def steps(self) -> int:
        """Observations consumed so far."""
        return self._opener.steps

    @property
    def settings(self) -> Settings:
        """What the detector was built with."""
        return dict(self._settings)

    @property
    def saved(self) -> float:
        """Expected false alarms granted and not staked on a trial."""
        return self._saved

    @property
    def staked(self) -> float:
        """Sum of the stakes of all trials so far: at most so many false alarms are expected."""
        return self._staked

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume losses in [0, 1]; see `drift.base.Detector.update`.

        The statistic is alpha times the wealth of the trial while one is open, else 0. Rows that
        are granted nothing, while nothing was granted before, teach the opener what is usual and
        open nothing.
        """
        values = checked_values(values, lower=0.0, upper=1.0)
        grants = checked_grants(grants, len(values), 1)
        # The opener checks the values for itself before it takes any in, so it goes first.
        suspicions = deque(alarm.step for alarm in self._opener.update(values, grants).alarms)
        statistic = np.empty((len(values), 1))
        alarms: list[Alarm] = []
        step = 0
        while step < len(values):
            # Rows up to and with a suspicion made it: only later ones may confirm it.
            stop = suspicions[0] + 1 if suspicions else len(values)
            if self._fresh != _CLOSED:
                stop = min(stop, step + self.patience - self._fresh)
            alarm = self._tried(values, statistic, step, stop)
            for grant in grants[step:stop, 0].tolist():
                self._saved += grant
            if alarm is not None:
                alarms.append(alarm)
                # What was suspected on the way to the alarm is what it says.
                self._suspected = False
            if suspicions and suspicions[0] == stop - 1:
                suspicions.popleft()
                self._suspected |= alarm is None or alarm.step < stop - 1
            if self._fresh == self.patience:
                self._test.forfeit()
                self._fresh = _CLOSED
            if self._suspected and self._fresh == _CLOSED:
                self._open()
            step = stop
        return Update(statistic, tuple(alarms))

    def to_bytes(self) -> bytes:
        """Save the state."""
        return pack(
            self.name,
            self._settings,
            [
                np.array([self._fresh, self._suspected], dtype=np.int64),
                np.array([self._stake, self._saved, self._staked]),
                np.frombuffer(self._opener.to_bytes(), dtype=np.uint8),
                np.frombuffer(self._test.to_bytes(), dtype=np.uint8),
            ],
        )

    def restore(self, data: bytes) -> None:
        """Take over a saved state; raises `CheckpointError` if it is not one of this detector."""
        counts, amounts, opener, test = unpack(self.name, self._settings, data)
        self._opener.restore(opener.tobytes())
        self._test.restore(test.tobytes())
        self._fresh, self._suspected = int(counts[0]), bool(counts[1])
        self._stake, self._saved, self._staked = (float(amount) for amount in amounts)

    def _tried(
        self, values: Values, statistic: NDArray[np.float64], step: int, stop: int
    ) -> Alarm | None:
        """Feed rows to the test, which has nothing to win with unless a trial is open."""
        bets = np.zeros((stop - step, 1))
        if self._fresh == 0:
            bets[0] = self._stake
        update = self._test.update(values[step:stop], bets)
        statistic[step:stop] = update.statistic
        if not update.alarms:
            if self._fresh != _CLOSED:
                self._fresh += stop - step
            return None
        # Without bets after the first there is one alarm at most.
        (alarm,) = update.alarms
        fresh, self._fresh = self._fresh + alarm.step + 1, _CLOSED
        return replace(alarm, step=step + alarm.step, fresh=fresh)

    def _open(self) -> None:
        """Begin a trial, if anything was granted that it could be paid from."""
        stake = min(self._saved / 2, MOST_STAKE)
        self._suspected = False
        if stake < LEAST_STAKE:
            return
        self._stake, self._fresh = stake, 0
        self._saved -= stake
        self._staked += stake
