"""What is watched, by name, and the form of its observations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from monitor.feed.columns import Ids, Ints

LOSS = "loss"
"""Loss of an answer that a client read. Subject: the version."""
LOSS_DIFFERENCE = "loss_difference"
"""Loss of the champion less that of an earlier champion in its shadow. Subject: "new,old"."""
CHALLENGER_DIFFERENCE = "challenger_difference"
"""Loss of a challenger that never was champion less the champion's. Subject: "new,old"."""
SHADOW_LOSS = "shadow_loss"
"""Loss of an answer that nobody read: drawn, not watched."""
OUTPUT = "output"
"""What was answered: the class, or the number."""
SCORE = "score"
"""How sure the version was: the score of the last of two classes, or of the likeliest of many."""
FEATURES = "feature.*"
QUALITY = "quality.*"
"""1 where a feature's value is missing, of a wrong type, out of range or never seen; else 0."""
SERVICE = "service.*"
"""latency: 1 where an answer took longer than the objective. default, error: 1 where it was one."""
TRAFFIC = "service.traffic"
"""Requests, watched for their absence."""
DELAY = "label.delay"
"""Seconds from prediction to label."""
COVERAGE = "label.coverage"
"""Share of the predictions of a stretch of time that had no label when they should have."""
METRICS = "metric.*"
AUC = "metric.auc"
"""Of each positive, the share of fresh negatives that were scored above it: its mean is 1 - AUC.
Of many classes `metric.auc.CLASS`: one against the rest, by its own score."""
QUANTILE = "metric.quantile"
"""Loss of a forecast of a quantile; `metric.quantile.NAME` where several are watched."""
CANARY_DIFFERENCE = "canary_difference"
"""Losses of a champion and a canary that answer different rows, dealt out by chance."""
SIGNALS = (LOSS, LOSS_DIFFERENCE, CHALLENGER_DIFFERENCE, CANARY_DIFFERENCE, OUTPUT, SCORE, DELAY)
"""What a watch may name, besides TRAFFIC, COVERAGE, the families and their members."""


def is_of(signal: str, metric: str) -> bool:
    """Whether a signal is a metric or one of its members, which a further name tells apart."""
    return signal == metric or signal.startswith(f"{metric}.")


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
    """Shape (n,), or (n, columns) of a family; NaN where a member says nothing."""
    revision: Ints
    columns: tuple[str, ...] = ()
    """Of a family, whose signal ends with `.*`: the last part of each member's own signal."""
    row: Ints | None = None
    """Row in the stretch's answers."""
    texts: Mapping[int, str] = field(default_factory=dict)
    """Categories behind codes."""
    categorical: frozenset[str] = frozenset()
    """Columns whose values are codes of categories."""
    unit: NDArray[np.object_] | None = None
    """Key of the unit that each belongs to, where rows come in units."""
    dealt: NDArray[np.float64] | None = None
    """Shape (n, 2), of a canary's losses: 1 if the challenger answered, and its share. Of AUC: 1
    for a positive."""
    made: Ints | None = None
    """When each prediction was made, microseconds since 1970; where a watch asks for it."""

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
            row=None if self.row is None else self.row[rows],
            unit=None if self.unit is None else self.unit[rows],
            dealt=None if self.dealt is None else self.dealt[rows],
            made=None if self.made is None else self.made[rows],
        )

    def with_columns(self, places: Sequence[int]) -> "Observations":
        """Some members of a family."""
        columns = tuple(self.columns[place] for place in places)
        return replace(self, value=self.value[:, list(places)], columns=columns)

    def member(self, name: str) -> "Observations":
        """One member of a family, of the rows that say something about it."""
        column = self.value[:, self.columns.index(name)]
        known = ~np.isnan(column)
        return replace(self.take(known), value=column[known], columns=())


Extracted = dict[tuple[int, str], Observations]
"""Observations by application and signal; a family of signals that step together is one."""


def observed(extracted: Extracted, application: int, signal: str) -> Observations | None:
    """Observations of one signal, a member of a family too; none where there are none."""
    found = extracted.get((application, signal))
    if found is not None:
        return found
    family, _, name = signal.partition(".")
    members = extracted.get((application, f"{family}.*"))
    if members is None or name not in members.columns:
        return None
    one = members.member(name)
    return one if len(one) else None


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
