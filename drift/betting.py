"""What all detectors on the engine share: checks, checkpoints, all or nothing."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from drift.base import Harmless, Settings, Update, Values
from drift.checkpoint import State, pack, unpack
from drift.engine import Engine, Factors


class BettingDetector(ABC):
    """A detector whose factors feed the engine.

    A subclass checks its values and says what each stake's factor is; the engine does the rest.
    """

    guaranteed: ClassVar[bool] = True
    assumption: ClassVar[str]
    name: ClassVar[str]
    """Name in the catalog, and in the hash of a checkpoint."""

    def __init__(
        self,
        settings: Settings,
        *,
        stakes: int,
        tiers: int,
        head_start: float | Sequence[float],
        smallest: float,
        largest: float,
    ) -> None:
        self._settings = settings
        self._engine = Engine(
            stakes=stakes, tiers=tiers, head_start=head_start, smallest=smallest, largest=largest
        )

    @property
    def steps(self) -> int:
        """Observations consumed so far."""
        return self._engine.steps

    @property
    def settings(self) -> Settings:
        """What the detector was built with."""
        return dict(self._settings)

    @property
    def statistic(self) -> NDArray[np.float64]:
        """Shape (tiers,): the statistic now, after any restart."""
        level: NDArray[np.float64] = np.add.reduce(self._engine.wealth, axis=1)
        return level / self._engine.stakes

    @property
    def harmless(self) -> Harmless | None:
        """Values that nobody need look at while the statistic is low; none where any may matter."""
        return None

    def update(self, values: Values, grants: NDArray[np.float64]) -> Update:
        """Consume observations; see `drift.base.Detector.update`."""
        values = self._checked(values)
        return self._engine.advance(
            len(values), lambda start, stop: self._factors(values[start:stop]), grants
        )

    def forfeit(self) -> None:
        """Give up what was granted so far and all that was won with it; an onset is still told."""
        self._engine.forfeit()

    def to_bytes(self) -> bytes:
        """Save the state."""
        return pack(self.name, self._settings, self._state())

    def restore(self, data: bytes) -> None:
        """Take over a saved state; raises `CheckpointError` if it is not one of this detector."""
        self._load(unpack(self.name, self._settings, data))

    @abstractmethod
    def _checked(self, values: Values) -> Values:
        """Refuse what the detector promises nothing about."""

    @abstractmethod
    def _factors(self, values: Values) -> Factors:
        """Shape (stakes, n): the factor of each stake at each value."""

    def _state(self) -> State:
        return self._engine.state()

    def _load(self, state: Sequence[NDArray[np.generic]]) -> None:
        self._engine.load(state)


def plain_head_start(head_start: float | Sequence[float]) -> float | list[float]:
    """Return a head start as JSON carries it, so that equal settings hash alike."""
    if isinstance(head_start, Sequence):
        return [float(head) for head in head_start]
    return float(head_start)
