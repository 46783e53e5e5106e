"""Right and wrong by row, as the record tells it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadsman.demo.record import Answer

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Ledger:
    """Errors of every version on every row, and of the answers that clients got.

    Parameters
    ----------
    first, last
        Rows that are played.
    row_of
        Row of a prediction, as the client knows it; grows while it sends.
    """

    first: int
    last: int
    row_of: dict[str, int]
    answers: dict[str, dict[int, Any]] = field(default_factory=dict)
    """Output by version and row; a default output belongs to no version."""
    served: dict[int, Answer] = field(default_factory=dict)
    """The answer that the client got, by row."""
    labels: dict[int, Any] = field(default_factory=dict)
    _later: list[Answer] = field(default_factory=list)
    _later_labels: list[tuple[str, Any]] = field(default_factory=list)

    def add(self, answers: list[Answer], labels: list[tuple[str, Any, int]]) -> None:
        """Take in what was recorded since the last time.

        A record may be in the database before the client has read its answer: it is kept for later.
        """
        waiting, self._later = [*self._later, *answers], []
        for answer in waiting:
            row = self.row_of.get(answer.prediction_id)
            if row is None:
                self._later.append(answer)
                continue
            if not answer.is_shadow:
                self.served[row] = answer
            if not answer.is_default and answer.version is not None:
                self.answers.setdefault(answer.version, {})[row] = answer.output
        named = [*self._later_labels, *((one, label) for one, label, _ in labels)]
        self._later_labels = []
        for prediction_id, label in named:
            row = self.row_of.get(prediction_id)
            if row is None:
                self._later_labels.append((prediction_id, label))
            else:
                self.labels[row] = label

    def errors(self, version: str) -> Floats:
        """0 or 1 by row from `first`; NaN without an answer of the version or without a label."""
        return self._compared(self.answers.get(version, {}))

    def served_errors(self) -> Floats:
        """The same for the answers that clients got, default outputs among them."""
        return self._compared({row: answer.output for row, answer in self.served.items()})

    def rows_served_by(self, version: str) -> list[int]:
        """Rows whose client got this version's answer."""
        return sorted(row for row, one in self.served.items() if one.version == version)

    def mean(self, errors: Floats, start: int, stop: int) -> float | None:
        """Share of errors among the rows `start` to `stop` - 1; none where there is no label."""
        part = errors[max(start - self.first, 0) : max(stop - self.first, 0)]
        known = part[~np.isnan(part)]
        return float(known.mean()) if len(known) else None

    def _compared(self, outputs: dict[int, Any]) -> Floats:
        errors = np.full(self.last - self.first, np.nan)
        for row, output in outputs.items():
            label = self.labels.get(row)
            if label is not None:
                errors[row - self.first] = float(output != label)
        return errors
