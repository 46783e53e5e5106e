"""Delays of labels, in the order of their predictions.

In the order in which labels arrive, what comes first are the quick ones of a new version, and what
comes last the slow ones of a version that answers no more: each release would look like a change
of the delays, and so would every rise and fall of the traffic. So each prediction has its turn once
it is old enough for nearly every label to have come; what comes later still has its turn then.

The age is learned. At age T no delay above T can have been seen, so the slowest of the delays so
far tells how slow labels are only once the version has answered for a good while longer.
"""

import math

import numpy as np
from numpy.typing import NDArray

from monitor.evaluation.detector_state import Subject
from monitor.feed.rows import Rows
from monitor.records import Json
from monitor.signals.base import DELAY

FIRST = 200
"""Labels that must have come before the slowest of them is asked."""
ROOM = 1.5
"""Times the slowest delay so far that a version must have answered, and that a prediction waits."""
MOST_WAITING = 1_000
"""Predictions that wait at a time, about: of more, one in so many is taken."""
AGE, SINCE, EVERY = "age_us", "ordered_from_us", "one_in"
"""Parameters: the age at which a prediction has its turn, the first moment of whose predictions all
labels are seen, and of how many predictions one is taken."""
_BEGUN, _SLOWEST, _SEEN, _CARRIED = "first_made_us", "slowest_us", "labels_seen", "carried_grant"
ORDERED = (AGE, SINCE, EVERY, _CARRIED)
"""What stays when a reference has been learned."""


def ask_for_order(parameters: Json) -> Json:
    """Parameters of a subject whose delays are to be taken in the order of predictions."""
    return parameters | {AGE: 0}


def ordered(subject: Subject, rows: Rows, now_us: int) -> Rows:
    """Take rows as their labels came, and give those whose turn it is.

    Parameters
    ----------
    now_us
        How far the record has gone.
    """
    made = rows.at - np.rint(rows.values * 1e6).astype(np.int64)
    if not subject.parameters[AGE]:
        known = _learn_age(subject, rows, made)
        subject.observations += known
        rows, made = rows.cut(known), made[known:]
    if not subject.parameters[AGE]:
        return rows
    kept = _taken(subject, rows, made)
    subject.observations += len(rows.values) - len(kept.values)
    return subject.waiting.release(
        kept, age_us=int(subject.parameters[AGE]), now_us=now_us, keeps_late=True
    )


def _learn_age(subject: Subject, rows: Rows, made: NDArray[np.int64]) -> int:
    """Look at rows until the age is known; how many were looked at."""
    parameters = subject.parameters
    seen = int(parameters.get(_SEEN, 0)) + 1 + np.arange(len(made))
    begun = np.minimum.accumulate(np.append(int(parameters.get(_BEGUN, made[0])), made))[1:]
    delay = rows.at - made
    slowest = np.maximum.accumulate(np.append(int(parameters.get(_SLOWEST, 0)), delay))[1:]
    told = (seen >= FIRST) & (rows.at - begun >= ROOM * slowest)
    last = int(np.argmax(told)) if told.any() else len(made) - 1
    known: Json = {
        _SEEN: int(seen[last]),
        _BEGUN: int(begun[last]),
        _SLOWEST: int(slowest[last]),
    }
    if not told.any():
        subject.parameters = parameters | known
        subject.reason = (
            f"learning: how long labels take is not known yet: {int(seen[last])} came, the slowest "
            f"after {slowest[last] / 1e6:.0f} s; known once {FIRST} came and the version has "
            f"answered {ROOM:g} times as long as the slowest took"
        )
        return len(made)
    age = max(int(ROOM * slowest[last]), 1)
    answered = max(int(rows.at[last] - begun[last]), 1)
    waiting = int(seen[last]) / answered * age
    subject.parameters = {name: one for name, one in parameters.items() if name not in known} | {
        AGE: age,
        SINCE: int(rows.at[last]),
        EVERY: max(1, math.ceil(waiting / MOST_WAITING)),
        _CARRIED: 0.0,
    }
    subject.reason = f"learning: 0 of {parameters['learn']} rows"
    return last + 1


def _taken(subject: Subject, rows: Rows, made: NDArray[np.int64]) -> Rows:
    """Rows that are to have their turn; the grants of the others go with the next of them."""
    parameters = subject.parameters
    number = np.frombuffer(rows.ids.astype("S16").tobytes(), ">u8")[1::2]
    # Which one of many is drawn by the end of its id, which nobody chose.
    mine = (made >= parameters[SINCE]) & (number % int(parameters[EVERY]) == 0)
    total = np.append(0.0, np.cumsum(rows.grants)) + float(parameters[_CARRIED])
    taken = np.flatnonzero(mine)
    upto = total[taken + 1]
    subject.parameters = parameters | {
        _CARRIED: float(total[-1] - (upto[-1] if len(upto) else 0.0))
    }
    grants = np.diff(upto, prepend=0.0)
    return Rows(rows.values[taken], rows.at[taken], rows.ids[taken], grants, made=made[taken])


def age_of(subject: Subject) -> int:
    """How old the predictions were that a watch of delays tests, in microseconds; else 0."""
    return int(subject.parameters.get(AGE, 0)) if subject.watch.signal == DELAY else 0
