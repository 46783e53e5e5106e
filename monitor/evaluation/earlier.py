"""What a version without reference rows is held to: the level of the version before it.

A limit from a version's own first labels cannot find what was bad from the first one on. Where the
version before has a limit, be it of reference rows or learned, the usual watch of losses takes it,
and tests from the first label on.
"""

from collections.abc import Callable, Iterable

from monitor.evaluation.detector_state import Subject, new_subject
from monitor.evaluation.subjects import USUAL, References
from monitor.moments import to_micros
from monitor.records import Watch
from monitor.signals.base import LOSS
from monitor.watches.resolution import Resolved
from monitor.watches.watch import settings_of

SOURCES = (USUAL, "loss_rollback")
"""Default watches that hold the level of a version; the first that has one tells."""
OF_ITS_OWN = ("learn", "task", "categorical", "known_us", "head_start")
"""Parameters of a subject that are not taken over with its limit."""

Names = Callable[[str], str]
"""From a subject to what people call it."""


def turn_of(watch: Watch) -> int:
    """When a watch is fed among the others of its application, lowest first.

    A trial comes before the comparison that asks what it showed, and the watch that holds new
    versions to the level of earlier ones after those that learn such levels: so any split into
    turns gives the same.
    """
    if watch.detector == "paired-promotion":
        return 0
    return 2 if watch.name == USUAL else 1


def held_to_earlier(
    watch: Watch,
    subject: str,
    first_us: int,
    *,
    subjects: Iterable[Subject],
    references: References,
    name_of: Names,
) -> Subject | None:
    """Begin to hold a version to the level of the one before; none where that has no level.

    Parameters
    ----------
    subject
        What this watch meets for the first time.
    first_us
        When the first of its labels was consumed that the watch sees now.
    subjects
        All of the application, of this watch too.
    references
        Whether the version has reference rows of its own.
    """
    settings = settings_of(watch)
    plain = settings.limit is None and settings.segments is None and settings.unit is None
    usual = (watch.name, watch.signal, watch.detector) == (USUAL, LOSS, "bounded-mean")
    if not usual or not plain:
        return None
    own = references(LOSS, subject)
    if own is not None and len(own):
        return None
    known = [one for one in subjects if one.signal == LOSS and one.subject.isdigit()]
    # Only what was known at its first label counts, whichever turn that came in.
    began = [to_micros(o.started_at) for o in known if o.subject == subject and o.started_at]
    first_us = min([first_us, *began])
    levels = [
        one
        for one in known
        if one.watch.name in SOURCES
        and "limit" in one.parameters
        and int(one.subject) < int(subject)
        and _known_us(one) < first_us
    ]
    if not levels:
        return None
    level = max(levels, key=lambda one: (int(one.subject), one.watch.name == USUAL))
    taken = {name: value for name, value in level.parameters.items() if name not in OF_ITS_OWN}
    if "earlier" not in taken:
        taken |= {
            "earlier": int(level.subject),
            "reference": f"{name_of(level.subject)}, a version before it: no reference rows were "
            "uploaded with this one",
        }
    resolved = Resolved("armed", None, taken | {"head_start": settings.head_start})
    return new_subject(watch, LOSS, subject, resolved)


def _known_us(level: Subject) -> int:
    """When the limit was there: with the first label, or once it had been learned."""
    if "known_us" in level.parameters:
        return int(level.parameters["known_us"])
    return 2**63 if level.started_at is None else to_micros(level.started_at)
