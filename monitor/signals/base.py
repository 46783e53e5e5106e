"""What is watched, by name, and the form of its observations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monitor.columns import Ids, Ints

LOSS = "loss"
"""Loss of an answer that a client read. Subject: the version."""
LOSS_DIFFERENCE = "loss_difference"
"""Loss of the champion less that of an earlier champion in its shadow. Subject: "new,old"."""
CHALLENGER_DIFFERENCE = "challenger_difference"
"""Loss of a challenger that never was champion less the champion's. Subject: "new,old"."""
SHADOW_LOSS = "shadow_loss"
"""Loss of an answer that nobody read: drawn, not watched."""
SIGNALS = (LOSS, LOSS_DIFFERENCE, CHALLENGER_DIFFERENCE)
"""What a watch may name."""


@dataclass(frozen=True, slots=True)
class Observations:
    """The observations of one signal of one application, in order of consumption."""

    event: Ints
    """Number of the event within the turn: observations of one event happened at one moment."""
    at: Ints
    """When what was observed came to be known, microseconds since 1970: time in the record."""
    prediction: Ids
    code: Ints
    """Which of `names` each is about."""
    names: tuple[str, ...]
    """Subjects: version ids joined by a comma, and "|key=value" for a segment."""
    value: NDArray[np.float64]
    revision: Ints

    def __len__(self) -> int:
        return len(self.value)

    @property
    def subject(self) -> list[str]:
        """Subject of each observation."""
        return [self.names[code] for code in self.code.tolist()]

    def by_subject(self) -> Mapping[str, NDArray[np.int64]]:
        """Indices of each subject, in the order in which the subjects first appear."""
        if not len(self.code):
            return {}
        if len(self.names) == 1:
            return {self.names[0]: np.arange(len(self.code))}
        codes, first = np.unique(self.code, return_index=True)
        return {
            self.names[code]: np.flatnonzero(self.code == code)
            for code in codes[np.argsort(first)].tolist()
        }

    def take(self, rows: Ints | NDArray[np.bool_]) -> "Observations":
        """Some of them."""
        return replace(
            self,
            event=self.event[rows],
            at=self.at[rows],
            prediction=self.prediction[rows],
            code=self.code[rows],
            value=self.value[rows],
            revision=self.revision[rows],
        )


Extracted = dict[tuple[int, str], Observations]
"""Observations by application and signal."""


def coded(numbers: Ints) -> tuple[Ints, tuple[str, ...]]:
    """Numbers of versions as codes and subjects."""
    distinct, code = np.unique(numbers, return_inverse=True)
    return code.astype(np.int64), tuple(str(number) for number in distinct.tolist())


def coded_pairs(new: Ints, old: Ints) -> tuple[Ints, tuple[str, ...]]:
    """Pairs of versions as codes and subjects "new,old"."""
    pairs, code = np.unique(np.stack([new, old], axis=1), axis=0, return_inverse=True)
    names = tuple(f"{one},{other}" for one, other in pairs.tolist())
    return code.reshape(-1).astype(np.int64), names


def applications_in(numbers: Sequence[Ints]) -> list[int]:
    """Applications that any of the columns names, in order."""
    found: list[int] = np.unique(np.concatenate([*numbers, np.zeros(0, np.int64)])).tolist()
    return [int(number) for number in found]
