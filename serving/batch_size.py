"""How many rows a batch takes: by the learned cost, or by Clipper's search.

References
----------
D. Crankshaw et al., Clipper: A Low-Latency Online Prediction Serving System, NSDI 2017, section
4.3.1: additive increase, and a back-off by a tenth once a batch took longer than the objective.
"""

from enum import StrEnum
from typing import Protocol

from serving.batch_cost import BatchCost

ADDED = 2
"""Rows by which the search grows a batch that was full and in time."""
BACK_OFF = 0.9
"""Factor by which it shrinks one that was late."""


class Controller(StrEnum):
    """The ways to size a batch."""

    LEARNED = "learned"
    AIMD = "aimd"


class BatchSize(Protocol):
    """Says how large the next batch may be."""

    def rows_within(self, seconds: float, limit: int) -> int:
        """Most rows of a batch that has so many seconds: at least 1, at most `limit`."""

    def observe(self, rows: int, seconds: float, objective: float) -> None:
        """Take in a batch that was answered.

        Parameters
        ----------
        seconds
            What it took by the replica's clock.
        objective
            The tightest of its rows' latency objectives.
        """


class LearnedSize:
    """As many rows as their tightest deadline allows, by the learned cost."""

    def __init__(self, cost: BatchCost) -> None:
        self._cost = cost
        self._largest = 8

    def rows_within(self, seconds: float, limit: int) -> int:
        """See `BatchSize`. Nothing is known far beyond the largest so far: sizes grow by steps."""
        return self._cost.rows_within(seconds, min(limit, 2 * self._largest))

    def observe(self, rows: int, seconds: float, objective: float) -> None:
        """See `BatchSize`; the cost itself is learned by the queue."""
        self._largest = max(self._largest, rows)


class AimdSize:
    """A size that grows while full batches are in time and shrinks when one is not."""

    def __init__(self) -> None:
        self.size = 1.0
        """Rows; a fraction is carried on."""

    def rows_within(self, seconds: float, limit: int) -> int:
        """See `BatchSize`; what is left until the deadline does not count here."""
        return max(1, min(limit, int(self.size)))

    def observe(self, rows: int, seconds: float, objective: float) -> None:
        """See `BatchSize`."""
        if seconds > objective:
            self.size = max(1.0, self.size * BACK_OFF)
        elif rows >= int(self.size):
            # A batch that was not full says nothing about a larger one.
            self.size += ADDED


def make_size(controller: Controller, cost: BatchCost) -> BatchSize:
    """The controller of a queue."""
    return AimdSize() if controller is Controller.AIMD else LearnedSize(cost)
