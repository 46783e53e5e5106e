"""Whether labels still came, over past rows: what `monitor.coverage` reads from the record's sums
is counted here in memory."""

from dataclasses import dataclass, field

import numpy as np

from monitor.coverage import GRACE
from monitor.feed.columns import Ints
from monitor.moments import to_micros
from monitor.records import Watch
from monitor.signals.base import DELAY, OUTPUT, Extracted, Observations
from monitor.watches.watch import settings_of


@dataclass(slots=True)
class Coverage:
    """Predictions of stretches of time that are not judged yet, and their labels that came."""

    step_us: int
    names: list[str] = field(default_factory=list)
    _cells: Ints = field(default_factory=lambda: np.zeros((0, 4), np.int64))
    """Stretch, subject, predictions, labels in time."""

    def judge(self, watch: Watch, extracted: Extracted) -> Observations | None:
        """Observations of the stretches that can be judged now; none where there are none."""
        horizon = int(settings_of(watch).horizon * 1e6)
        outputs = extracted.get((watch.application_id, OUTPUT))
        delays = extracted.get((watch.application_id, DELAY))
        if delays is not None:
            delay = (delays.value * 1e6).round().astype(np.int64)
            mine = delay <= horizon
            self._add(delays, (delays.at - delay)[mine], delays.code[mine], column=3)
        if outputs is None:
            return None
        self._add(outputs, outputs.at, outputs.code, column=2)
        now = int(outputs.at.max())
        grace = int(GRACE.total_seconds() * 1e6)
        closed = (now - horizon - grace) // self.step_us * self.step_us
        after = 0 if watch.clock is None else to_micros(watch.clock)
        if closed <= after:
            return None
        begins = self._cells[:, 0] * self.step_us
        ripe = self._cells[begins < closed]
        self._cells = self._cells[begins >= closed]
        ripe = ripe[(ripe[:, 0] * self.step_us >= after) & (ripe[:, 2] > 0)]
        if not len(ripe):
            return None
        names = tuple(sorted({self.names[code] for code in ripe[:, 1].tolist()}))
        place = [names.index(name) if name in names else -1 for name in self.names]
        at = (ripe[:, 0] + 1) * self.step_us
        # The request at whose time the stretch could first be judged.
        order = np.argsort(outputs.at, kind="stable")
        deciding = order[np.searchsorted(outputs.at[order], at + horizon + grace)]
        return Observations(
            at,
            at,
            outputs.prediction[deciding],
            np.array(place, np.int64)[ripe[:, 1]],
            names,
            1.0 - np.minimum(ripe[:, 3], ripe[:, 2]) / ripe[:, 2],
            outputs.revision[deciding],
        )

    def _add(self, seen: Observations, at: Ints, code: Ints, *, column: int) -> None:
        self.names += [name for name in seen.names if name not in self.names]
        mine = np.array([self.names.index(name) for name in seen.names], np.int64)
        fresh = np.zeros((len(at), 4), np.int64)
        fresh[:, 0], fresh[:, 1], fresh[:, column] = at // self.step_us, mine[code], 1
        together = np.concatenate((self._cells, fresh))
        # In order of time, then of name, as the record's sums are read.
        rank = np.argsort(np.argsort(np.array(self.names), kind="stable"), kind="stable")
        order = np.lexsort((rank[together[:, 1]], together[:, 0]))
        together = together[order]
        begins = np.ones(len(together), np.bool_)
        begins[1:] = (together[1:, :2] != together[:-1, :2]).any(axis=1)
        starts = np.flatnonzero(begins)
        if not len(starts):
            return
        summed = np.add.reduceat(together[:, 2:], starts, axis=0)
        self._cells = np.concatenate((together[starts, :2], summed), axis=1)
