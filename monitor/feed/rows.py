"""What a turn brings one detector: rows, and the steps that it makes of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.feed.columns import Ids

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a turn brings one subject, in order of consumption."""

    values: Floats
    """Losses or differences of losses, in the loss's own unit."""
    at: NDArray[np.int64]
    """When the labels were received, microseconds since 1970."""
    ids: Ids
    grants: Floats
    unit: NDArray[np.object_] | None = None
    """Key of the unit that each belongs to."""
    dealt: Floats | None = None
    """Shape (n, 2), of a canary: 1 if the challenger answered, and its share."""
    made: NDArray[np.int64] | None = None
    """When the predictions were made, microseconds since 1970; known where a test needs it."""
    place: NDArray[np.int64] | None = None
    """Number of each among the rows of the turn, where thinning left some out."""

    @classmethod
    def none(cls) -> "Rows":
        """No row, of which all is known."""
        times = np.zeros(0, np.int64)
        return cls(np.zeros(0), times, np.zeros(0, "S16"), np.zeros(0), made=times)

    def take(self, rows: NDArray[np.int64] | slice) -> "Rows":
        """Some of them."""
        return Rows(
            self.values[rows],
            self.at[rows],
            self.ids[rows],
            self.grants[rows],
            None if self.unit is None else self.unit[rows],
            None if self.dealt is None else self.dealt[rows],
            None if self.made is None else self.made[rows],
        )

    def number_of(self, row: int) -> int:
        """Number of a row among all that the turn brought."""
        return row if self.place is None else int(self.place[row])

    def followed_by(self, others: "Rows") -> "Rows":
        """These, then others of which the same is known; without units and shares."""
        return Rows(
            np.concatenate((self.values, others.values)),
            np.concatenate((self.at, others.at)),
            np.concatenate((self.ids, others.ids)),
            np.concatenate((self.grants, others.grants)),
            made=None
            if self.made is None or others.made is None
            else np.concatenate((self.made, others.made)),
        )

    def cut(self, start: int) -> "Rows":
        """The rows from `start` on."""
        return self.take(slice(start, None)) if start else self

    def split(self, at: int) -> tuple["Rows", "Rows"]:
        """Those before a row, and those from it on."""
        if at >= len(self.values):
            return self, self.take(slice(0, 0))
        return self.take(slice(0, at)), self.cut(at)

    def with_values(self, values: Floats) -> "Rows":
        """The same rows with what another member of a family says of them."""
        return Rows(
            values,
            self.at,
            self.ids,
            self.grants,
            self.unit,
            self.dealt,
            self.made,
            self.place,
        )


@dataclass(frozen=True, slots=True)
class Steps:
    values: Floats
    grants: Floats
    deciding: NDArray[np.int64]
    """Index of the row that completes each step."""
    first_ids: Ids
    first_at: NDArray[np.int64]
    dealt: Floats | None = None

    def cut(self, start: int) -> "Steps":
        """The steps from `start` on."""
        return Steps(
            self.values[start:],
            self.grants[start:],
            self.deciding[start:],
            self.first_ids[start:],
            self.first_at[start:],
            None if self.dealt is None else self.dealt[start:],
        )
