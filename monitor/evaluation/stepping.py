"""From the rows of a turn to the steps of a detector: prepared, thinned, brought into blocks."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from drift.means.auc import AucPairs
from drift.means.units import Units
from monitor.evaluation.detector_state import Subject, codes_for
from monitor.feed.columns import id_at
from monitor.feed.rows import Rows, Steps
from monitor.watches.watch import OF_A_LIMIT

Floats = NDArray[np.float64]


def prepared(subject: Subject, values: Floats) -> Floats:
    """Values in the detector's unit."""
    if "pairs" in subject.parameters:
        # Scores: only their order counts.
        return values
    if subject.kind in RANKS:
        return codes_for(subject.parameters, values) if "codes" in subject.parameters else values
    # A loss lies in [0, 1] after this, a difference of two in [-1, 1].
    scaled = np.clip(values / subject.scale, -1.0, 1.0)
    if subject.kind in OF_A_LIMIT:
        # What is watched from below is watched by what it lacks to 1.
        scaled = 1.0 - scaled if subject.parameters.get("inverted") else np.maximum(scaled, 0.0)
    return scaled


RANKS = ("ranks", "numeric-ranks", "categorical-ranks", "tolerant-ranks")
"""Detectors that take any number, or codes; the first while it is not known which."""


def fed(subject: Subject, steps: Steps) -> Floats:
    if not subject.kind.startswith("randomised"):
        return steps.values
    assert steps.dealt is not None
    # The detector asks for no smaller share than it was told of.
    dealt = steps.dealt.copy()
    floor = float(subject.parameters["floor"])
    dealt[:, 1] = np.clip(dealt[:, 1], floor, 1.0 - floor)
    return np.column_stack([steps.values, dealt])


def thinned(subject: Subject, rows: Rows) -> Rows:
    """One row of each block; the grants of the others go with it."""
    every = int(subject.parameters["thin"])
    place = subject.skipped + np.arange(len(rows.values))
    taken = np.flatnonzero(place % every == 0)
    subject.skipped = int((subject.skipped + len(rows.values)) % every)
    total = np.concatenate(([0.0], np.cumsum(rows.grants)))
    if not len(taken):
        subject.pending_grant += float(total[-1])
        return rows.take(taken)
    grants = np.diff(total[taken + 1], prepend=0.0)
    grants[0] += subject.pending_grant
    subject.pending_grant = float(total[-1] - total[taken[-1] + 1])
    return replace(rows.take(taken), grants=grants, place=taken)


def steps_of(subject: Subject, rows: Rows) -> Steps:
    values = prepared(subject, rows.values)
    if subject.blocks is None:
        every = np.arange(len(values))
        return Steps(values, rows.grants, every, rows.ids, rows.at, rows.dealt)
    if isinstance(subject.blocks, Units):
        assert rows.unit is not None
        finished = subject.blocks.push(values, rows.unit.tolist())
        means, last = finished.means, finished.at
    elif isinstance(subject.blocks, AucPairs):
        assert rows.dealt is not None
        means, last = subject.blocks.push(values, rows.dealt[:, 0])
    else:
        means, last = subject.blocks.push(values)
    last = np.asarray(last, np.int64)
    begins = np.concatenate(([0], last + 1))
    granted = np.concatenate(([0.0], np.cumsum(rows.grants)))
    grants = np.diff(granted[begins])
    first_ids, first_at = rows.ids[begins[:-1]], rows.at[begins[:-1]]
    if len(last):
        grants[0] += subject.pending_grant
        if subject.partial is not None:
            first_ids[0], first_at[0] = subject.partial[0].bytes, subject.partial[1]
        subject.pending_grant, subject.partial = 0.0, None
    rest = int(begins[-1])
    if rest < len(values):
        subject.pending_grant += float(granted[-1] - granted[rest])
        subject.partial = subject.partial or (id_at(rows.ids, rest), int(rows.at[rest]))
    return Steps(np.asarray(means, np.float64), grants, last, first_ids, first_at)
