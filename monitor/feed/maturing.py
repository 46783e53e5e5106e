"""Labels in the order of their predictions, each once its prediction is old enough.

How late a label comes then says nothing any more: what is tested at an age are all labels that came
by that age. Labels that come later are not tested; `label.coverage` watches how many those are.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from monitor.feed.columns import Ids, Ints
from monitor.feed.rows import Rows

Floats = NDArray[np.float64]

GRACE_US = timedelta(minutes=1) // timedelta(microseconds=1)
"""For labels that were received in time and shipped late."""


NO_TIMES: Ints = np.zeros(0, np.int64)
NO_VALUES: Floats = np.zeros(0)
NO_IDS: Ids = np.zeros(0, "S16")
"""Where nothing waits, which is nearly everywhere: every detector has a `Waiting`."""


@dataclass(slots=True)
class Waiting:
    """Labelled rows whose predictions are not old enough yet."""

    made: Ints = field(default_factory=lambda: NO_TIMES)
    """When each prediction was made, microseconds since 1970."""
    values: Floats = field(default_factory=lambda: NO_VALUES)
    grants: Floats = field(default_factory=lambda: NO_VALUES)
    ids: Ids = field(default_factory=lambda: NO_IDS)

    def __len__(self) -> int:
        return len(self.made)

    def due(self, *, age_us: int, now_us: int) -> bool:
        """Whether a row is old enough; the arguments are those of `release`."""
        return len(self) > 0 and int(self.made.min()) <= now_us - age_us - GRACE_US

    def release(self, rows: Rows, *, age_us: int, now_us: int, keeps_late: bool = False) -> Rows:
        """Add rows, and take out those that are old enough.

        Parameters
        ----------
        rows
            As their labels came.
        age_us
            Age at which a prediction is tested.
        now_us
            How far the record has gone.
        keeps_late
            Whether a row whose label comes later than that is released when it comes; else it is
            left out.

        Returns
        -------
        Rows
            In the order of their predictions, each at the moment at which it was old enough. A
            row's grant goes with it; that of a row whose label came too late is lost.
        """
        assert rows.made is not None
        timely = (rows.at - rows.made <= age_us) | keeps_late
        due = np.maximum(rows.made, rows.at - age_us)[timely]
        made = np.concatenate((self.made, due))
        values = np.concatenate((self.values, rows.values[timely]))
        grants = np.concatenate((self.grants, rows.grants[timely]))
        ids = np.concatenate((self.ids, rows.ids[timely]))
        order = np.lexsort((ids, made))
        made, values, grants, ids = made[order], values[order], grants[order], ids[order]
        old = int(np.searchsorted(made, now_us - age_us - GRACE_US, side="right"))
        self.made, self.values = made[old:], values[old:]
        self.grants, self.ids = grants[old:], ids[old:]
        return replace(
            rows,
            values=values[:old],
            at=made[:old] + age_us,
            ids=ids[:old],
            grants=grants[:old],
            made=made[:old],
            unit=None,
            dealt=None,
        )

    def to_parts(self) -> tuple[bytes, ...]:
        """As it is kept between turns; nothing where nothing waits."""
        if not len(self):
            return ()
        return tuple(one.tobytes() for one in (self.made, self.values, self.grants, self.ids))

    @classmethod
    def from_parts(cls, parts: tuple[bytes, ...]) -> "Waiting":
        """What was kept."""
        if not parts:
            return cls()
        made, values, grants, ids = parts
        return cls(
            np.frombuffer(made, np.int64),
            np.frombuffer(values, np.float64),
            np.frombuffer(grants, np.float64),
            np.frombuffer(ids, "S16"),
        )
