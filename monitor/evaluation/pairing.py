"""By what unit two versions are compared on the same rows: what their own differences show.

How a version's own losses depend on each other is no guide: what is hard for both cancels, and what
is left may last for hours or not at all. So the differences themselves are asked.

- A version that was on trial beside the one it is now compared with: the differences of the trial.
- Without a trial nothing is known at the release. Each row is one step then, under the null about
  each difference given all before it (docs/decisions/0004), until the first differences tell.
- Where they depend on each other the mean of a block is one step; where they do and too few are
  known to find a block, nothing is tested until more are, and in the end a rollback watch refuses.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from drift.diagnostics import MIN_ROWS, design_effect, recommend_block
from drift.errors import InsufficientDataError
from monitor.evaluation.detector_state import Subject
from monitor.evaluation.stepping import prepared
from monitor.evidence import Sums, Trace
from monitor.feed.rows import Rows
from monitor.watches.resolution import FIRST_LOOK

Floats = NDArray[np.float64]

TRIAL_ROWS = 2_000
"""First differences of a trial that are kept for the watch that comes after it."""
MOST = 8_000
"""Differences after which a watch that found no block refuses."""
LOOK = "look_at"
"""Parameter: differences at which the unit is looked for; absent once it is known."""


def keep_trial(subject: Subject, rows: Rows) -> None:
    """Keep the first differences of a trial, with when they were consumed."""
    if subject.watch.detector != "paired-promotion" or "|" in subject.subject:
        return
    room = TRIAL_ROWS - len(subject.learned_values)
    if room > 0:
        values = prepared(subject, rows.values[:room])
        subject.learned_values = np.concatenate((subject.learned_values, values))
        subject.learned_at = np.concatenate((subject.learned_at, rows.at[:room]))


def trial_of(subjects: Iterable[Subject], name: str, before_us: int) -> Floats:
    """Differences of two versions' trial that were consumed before a moment; none without one."""
    for one in subjects:
        if one.watch.detector == "paired-promotion" and one.subject == name:
            return one.learned_values[: int(np.searchsorted(one.learned_at, before_us))]
    return np.zeros(0)


def ask_for_unit(subject: Subject, subjects: Iterable[Subject], first_us: int) -> None:
    """Let a new comparison begin with what a trial showed, or by rows until it is known.

    Parameters
    ----------
    subjects
        Of the application, among them those on trial.
    first_us
        When the comparison's first row was consumed: what came later cannot have told.
    """
    if LOOK not in subject.parameters:
        return
    subject.learned_values = trial_of(subjects, subject.subject, first_us)
    if len(subject.learned_values) >= MIN_ROWS:
        subject.parameters[LOOK] = len(subject.learned_values)
        look_for_unit(subject, begun=False)


def room_until_unit(subject: Subject) -> int | None:
    """Rows until the unit is looked for; none where it is known."""
    if LOOK not in subject.parameters or subject.status == "refused":
        return None
    return int(subject.parameters[LOOK]) - len(subject.learned_values)


def note_differences(subject: Subject, rows: Rows) -> None:
    """Take rows into account, of a comparison whose unit is not known yet."""
    if room_until_unit(subject) is not None:
        values = prepared(subject, rows.values)
        subject.learned_values = np.concatenate((subject.learned_values, values))


def look_for_unit(subject: Subject, *, begun: bool = True) -> None:
    """Choose the unit, where enough differences are known.

    Parameters
    ----------
    begun
        Whether the test is at work by rows already.
    """
    if room_until_unit(subject) != 0:
        return
    known = subject.learned_values
    try:
        effect = design_effect(known)
        block = recommend_block(known) or 1
    except InsufficientDataError as error:
        _wait_for_more(subject, len(known), error)
        return
    said = f"{len(known)} differences of the two versions "
    if block == 1:
        said += (
            f"have a design effect of at most {effect.upper:.2f}: rows hardly depend on each other."
        )
    else:
        said += (
            f"depend on their neighbours (design effect {effect.value:.1f}, at most "
            f"{effect.upper:.1f}): the mean of {block} rows is one observation."
        )
    changes = block != subject.block or subject.status != "armed"
    subject.parameters |= {
        "block": block,
        "unit": f"block of {block} rows" if block > 1 else "row",
        "unit_reason": said,
        "design_effect": effect.value,
        "design_effect_upper": effect.upper,
    }
    del subject.parameters[LOOK]
    subject.learned_values = np.zeros(0)
    subject.status, subject.reason = "armed", None
    if changes:
        _begin_anew(subject, begun=begun)


def _wait_for_more(subject: Subject, known: int, error: InsufficientDataError) -> None:
    wanted = max(2 * known, FIRST_LOOK)
    subject.statistic = 0.0
    if wanted > MOST:
        subject.status = "refused"
        subject.reason = (
            f"{known} differences of the two versions depend on each other and show no block that "
            f"does not ({error}): the promise would not hold. Set block."
        )
        return
    subject.parameters[LOOK] = wanted
    subject.status = "learning"
    subject.reason = (
        f"It does not test yet: the differences of the two versions depend on each other, and "
        f"{known} do not show in which blocks they do not; {wanted} are looked at next."
    )


def _begin_anew(subject: Subject, *, begun: bool) -> None:
    # What was bet by rows is no evidence in blocks; the head start is granted once.
    if begun:
        subject.parameters["begun"] = True
    subject.blocks, subject.pending_grant, subject.partial = None, 0.0, None
    subject.arm()
    subject.sums, subject.trace = Sums(), Trace(most=subject.trace.most)
    subject.values, subject.at = np.zeros(0), np.zeros(0, np.int64)
    subject.ids, subject.fault = np.zeros(0, "S16"), None
    subject.told_at, subject.statistic = 0, 0.0
