"""How many segments of one version a watch tests by themselves, and what becomes of the others."""

from collections.abc import Iterable

from monitor.records import Watch
from monitor.settings import Tier
from monitor.signals.segments import OTHER
from monitor.watches.watch import settings_of

USUAL_SEGMENTS = {Tier.ROLLBACK: 5, Tier.PAGE: 50, Tier.INFO: 50}
"""Segments of one version where nothing is said: few coarse ones where the budget is small."""
MOST_SEGMENTS = {Tier.ROLLBACK: 24, Tier.PAGE: 1000, Tier.INFO: 1000}
"""Segments of one version that may be asked for. S of them divide the watch's budget, which costs
each about log(S) / KL more rows; 24 still allow for the hours of a day."""


def segments_allowed(watch: Watch) -> int:
    """Segments of one version that a watch tests by themselves."""
    settings = settings_of(watch)
    if settings.most_segments is not None:
        return settings.most_segments
    named = 0 if settings.segments is None else settings.segments.named
    return max(USUAL_SEGMENTS[watch.tier], named)


def merged_note(watch: Watch, subject: str, subjects: Iterable[str]) -> str | None:
    """That rows of several segments are tested together, in words; none where they are not.

    Parameters
    ----------
    subject
        The one that is told of: "3|region=OTHER".
    subjects
        All that the watch has.
    """
    if not subject.endswith(f"={OTHER}"):
        return None
    version = subject.partition("|")[0] + "|"
    by_themselves = sum(one.startswith(version) and one != subject for one in set(subjects))
    allowed = segments_allowed(watch)
    if by_themselves < allowed:
        return "Tested together here: rows of no segment, or of none that is named."
    return (
        f"Tested together here: every segment after the first {allowed} of this version, as many "
        f"as this {watch.tier.value} watch tests by themselves (most_segments, at most "
        f"{MOST_SEGMENTS[watch.tier]} at this tier)."
    )
