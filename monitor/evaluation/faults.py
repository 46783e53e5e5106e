"""One fault is one alarm: what a test of losses rejects again before the fault is over repeats it.

A test starts anew after each alarm, so a fault that lasts is rejected again and again, every fifty
rows or so. These are no further alarms: they say the same, and to count them would make the number
of alarms depend on how long a fault was left alone. So with each alarm a test of the reverse null
begins, "as bad as before", on the steps that follow; until it rejects, the fault lasts.

Notes
-----
Repeats are a part of all rejections, whose expected number is at most what was granted. So the
expected number of false *alarms* is at most that too, whatever ends a fault; grants made while a
fault lasts are counted as spent all the same, so the ledger errs on the side of caution. A fault
that is not over is called over, and would then be counted again, with a probability of at most
`ALPHA`, however long it lasts. Where no reverse null can be stated a fault lasts `REST` steps from
its last rejection.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from drift.catalog import create
from monitor.records import Json

ALPHA = 0.01
"""Probability that a fault is called over although it is not."""
REST = 1000
"""Steps after which a rejection is no repeat where no test can tell."""
ROOM = 1e-3
"""A limit closer to 0 or 1 than this leaves the test no room."""

Floats = NDArray[np.float64]


class _Saved(msgspec.Struct, array_like=True):
    limit: float | None
    signed: bool
    averaged: bool
    steps: int
    state: bytes
    last: int


@dataclass(slots=True)
class Fault:
    """What an alarm said, until it is over."""

    limit: float | None
    """Mean step in [0, 1] at and above which the fault lasts; none where no test can be made."""
    signed: bool
    """Whether steps are differences, in [-1, 1]."""
    averaged: bool
    """Whether steps are means of several rows."""
    last: int
    """Step of the last rejection."""
    steps: int = 0
    state: bytes = b""

    @classmethod
    def of(cls, parameters: Json, evidence: Json, *, scale: float, step: int) -> "Fault":
        """What an alarm begins.

        Parameters
        ----------
        parameters
            Of the test that alarmed.
        evidence
            Of the alarm.
        scale
            Loss that counts as 1.
        step
            The deciding one.
        """
        averaged = int(parameters.get("block", 1)) > 1 or "unit_key" in parameters
        signed = "margin" in parameters
        if "floor" in parameters or "pairs" in parameters:
            # Dealt by lot, or pairs of scores: a step alone is no measure of how bad it is.
            limit = None
        elif signed:
            limit = (float(parameters["margin"]) + 1) / 2
        elif "limit" in parameters:
            limit = float(parameters["limit"])
        else:
            means = [evidence[name].get("mean") for name in ("before", "after")]
            limit = None if None in means else sum(means) / 2 / scale
        if limit is not None and not ROOM <= limit <= 1 - ROOM:
            limit = None
        return cls(limit, signed, averaged, step)

    @classmethod
    def from_bytes(cls, saved: bytes) -> "Fault":
        """Read what `to_bytes` wrote."""
        one = msgspec.msgpack.decode(saved, type=_Saved)
        return cls(one.limit, one.signed, one.averaged, one.last, one.steps, one.state)

    def to_bytes(self) -> bytes:
        """For the next turn."""
        return msgspec.msgpack.encode(
            _Saved(self.limit, self.signed, self.averaged, self.steps, self.state, self.last)
        )

    def is_over(self, values: Floats, step: int) -> bool:
        """Whether the steps that followed show it, the last of which has the number `step`."""
        if self.limit is None:
            return step - self.last >= REST
        if not len(values):
            return False
        good = 1.0 - np.clip((values + 1) / 2 if self.signed else values, 0.0, 1.0)
        test = create(
            "bounded-mean",
            {"limit": 1 - self.limit, "head_start": 0.0, "averaged": self.averaged},
        )
        if self.state:
            test.restore(self.state)
        place = self.steps + 1 + np.arange(len(values))
        update = test.update(good, (ALPHA / (place * (place + 1)))[:, None])
        self.steps += len(values)
        self.state = test.to_bytes()
        return bool(update.alarms)
