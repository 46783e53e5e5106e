"""Arming of rollback watches by what delays and hours tell of the loss."""

from collections.abc import Iterable

import numpy as np

from monitor.evaluation.detector_state import Subject, looks_at_delay
from monitor.evaluation.stepping import prepared
from monitor.feed.rows import Rows
from monitor.records import Watch
from monitor.settings import Tier
from monitor.signals.base import LOSS
from monitor.watches.timing_check import FIRST, Timing
from monitor.watches.watch import OF_A_LIMIT


def needs_timing(watch: Watch) -> bool:
    """Whether a watch may roll back on labels: only then must nothing else raise their mean."""
    of_labels = watch.signal == LOSS or watch.signal.startswith("metric.")
    means = watch.detector in (*OF_A_LIMIT, "growing-pool")
    return watch.tier is Tier.ROLLBACK and of_labels and means


def ask_for_timing(subject: Subject, others: Iterable[Subject], first_us: int) -> None:
    """Let a new subject wait for the first look, unless another version's labels told already.

    Parameters
    ----------
    others
        The watch's other subjects.
    first_us
        When the subject's first row was consumed: what came later cannot have told.
    """
    if not needs_timing(subject.watch) or subject.status == "refused":
        return
    subject.timing = Timing(looks_at_delay(subject.watch))
    segment = subject.subject.partition("|")[2]
    alike = [
        other.timing
        for other in others
        if other.timing is not None and other.subject.partition("|")[2] == segment
    ]
    passed = [one.passed_us for one in alike if one.passed_us is not None]
    if any(at < first_us for at in passed):
        subject.timing.passed_us = min(passed)
    elif subject.status == "armed":
        subject.status, subject.reason = "learning", _waiting(0)


def waits_for_timing(subject: Subject) -> bool:
    """Whether a subject that could be tested waits for the first look."""
    return subject.timing is not None and subject.status == "learning" and subject.is_made


def room_until_look(subject: Subject) -> int | None:
    """Rows until the next look; none where no look is to come."""
    if subject.timing is None or subject.status == "refused":
        return None
    return subject.timing.room


def note_times(subject: Subject, rows: Rows) -> None:
    """Take the delays and hours of rows into account."""
    if subject.timing is None or subject.status == "refused" or not len(rows.values):
        return
    assert rows.made is not None
    losses = np.clip(prepared(subject, rows.values), 0.0, 1.0)
    subject.timing.add(losses, rows.at, rows.made)


def look_at_times(subject: Subject, rows: Rows) -> None:
    """Look, where it is time to; a watch that may not be armed stops here."""
    timing = subject.timing
    if timing is None or subject.status == "refused":
        return
    if timing.room == 0:
        limit = subject.parameters.get("limit")
        waited = waits_for_timing(subject)
        sentence = timing.look(int(rows.at[-1]), limit=limit, block=subject.block)
        if sentence is not None:
            subject.status, subject.reason, subject.statistic = "refused", sentence, 0.0
        elif waited:
            subject.status, subject.reason = "armed", None
    elif waits_for_timing(subject):
        subject.reason = _waiting(timing.seen)


def _waiting(seen: int) -> str:
    return (
        f"It does not test yet: the delays of {seen} of {FIRST} labels are known, which must tell "
        f"nothing about the loss before an alarm may roll back."
    )
