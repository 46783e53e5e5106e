"""The confirm gate: how a detector without a guarantee may act all the same."""

from collections.abc import Mapping
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
    checked_number,
    checked_values,
)
from drift.checkpoint import pack, unpack
from drift.errors import InvalidSettingError
from drift.means.bounded import BoundedMean
from drift.streaming.river_adapter import Streaming

_NOTHING = -1
"""In place of the row at which the trial opened, while there is none."""


class ConfirmGate:
    """Lets another detector suspect, and alarms when fresh rows prove it right.

    Each suspicion opens a trial of `drift.means.bounded.BoundedMean` on the rows after it, which
    starts with `alpha` as its head start and gets no grants: it is wrong with probability at most
    `alpha`. A trial is opened only when `alpha` has been saved up from the grants, and closed
    without an alarm after `patience` rows. So the number of false alarms is bounded by the grants,
    however often the other detector errs.

    Parameters
    ----------
    limit
        Largest mean loss that is accepted, in (0, 1).
    trigger
        Name of one of river's detectors.
    trigger_settings
        Its parameters.
    alpha
        Price of a trial, in expected false alarms, in (0, 1).
    patience
        Rows after which a trial is given up.
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
        trigger: str = "adwin",
        trigger_settings: Mapping[str, object] | None = None,
        alpha: float = 0.01,
        patience: int = 2_000,
        tiers: int = 1,
    ) -> None:
        if tiers != 1:
            raise InvalidSettingError("tiers", "1: a gate serves one budget", tiers)
        self.limit = limit
        self.alpha = checked_number("alpha", alpha, above=0.0, below=1.0)
        self.patience = checked_count("patience", patience, least=1)
        self._trigger = Streaming(trigger, **(trigger_settings or {}))
        self._trial = self._opened()
        self._since = _NOTHING
        self._saved = 0.0
        self._settings: Settings = {
            "limit": self._trial.limit,
            "trigger": self._trigger.settings,
            "alpha": self.alpha,
            "patience": self.patience,
        }

    @property
    def steps(self) -> int:
        """Observations consumed so far."""
        return self._trigger.steps

    @property
    def settings(self) -> Settings:
        """What the detector was built with."""
        return dict(self._settings)

    @property
    def saved(self) -> float:
        """Expected false alarms granted and not spent on a trial."""
        return self._saved

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume losses in [0, 1]; see `drift.base.Detector.update`.

        The statistic is the trial's while one is open, else 0. An alarm's onset is the suspicion.
        """
        values = checked_values(values, lower=0.0, upper=1.0)
        grants = checked_grants(grants, len(values), 1)
        # The trigger checks the values for itself before it takes any in, so it goes first.
        suspicions = {alarm.step for alarm in self._trigger.update(values, grants).alarms}
        first = self.steps - len(values)
        statistic = np.zeros((len(values), 1))
        alarms = []
        step = 0
        while step < len(values):
            if self._since == _NOTHING:
                self._saved += float(grants[step, 0])
                if step in suspicions and self._saved >= self.alpha:
                    self._saved -= self.alpha
                    self._since = first + step
                # Rows up to and with the suspicion made it: only later ones may confirm it.
                step += 1
                continue
            stop = min(len(values), self._since + self.patience - first + 1)
            update = self._trial.update(values[step:stop], np.zeros((stop - step, 1)))
            if update.alarms:
                alarm = update.alarms[0]
                stop = step + alarm.step + 1
                waited = first + stop - 1 - self._since
                alarms.append(
                    Alarm(stop - 1, 0, alarm.statistic, alarm.threshold, alarm.stake, waited)
                )
            statistic[step:stop] = update.statistic[: stop - step]
            for grant in grants[step:stop, 0].tolist():
                self._saved += grant
            if update.alarms or first + stop > self._since + self.patience:
                self._since, self._trial = _NOTHING, self._opened()
            step = stop
        return Update(statistic, tuple(alarms))

    def to_bytes(self) -> bytes:
        """Save the state."""
        return pack(
            self.name,
            self._settings,
            [
                np.array([self._since], dtype=np.int64),
                np.array([self._saved]),
                np.frombuffer(self._trigger.to_bytes(), dtype=np.uint8),
                np.frombuffer(self._trial.to_bytes(), dtype=np.uint8),
            ],
        )

    def restore(self, data: bytes) -> None:
        """Take over a saved state; raises `CheckpointError` if it is not one of this detector."""
        since, saved, trigger, trial = unpack(self.name, self._settings, data)
        self._trigger.restore(trigger.tobytes())
        self._trial.restore(trial.tobytes())
        self._since, self._saved = int(since[0]), float(saved[0])

    def _opened(self) -> BoundedMean:
        return BoundedMean(self.limit, head_start=self.alpha)
