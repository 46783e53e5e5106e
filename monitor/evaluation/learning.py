"""First live rows become the reference that nobody uploaded."""

from collections.abc import Mapping

import numpy as np

from monitor.evaluation.delays import ORDERED
from monitor.evaluation.detector_state import Subject
from monitor.feed.rows import Rows
from monitor.signals.base import LOSS
from monitor.watches.normal import learning, resolve_normal


def learn_normal(subject: Subject, rows: Rows, texts: Mapping[int, str]) -> int:
    """Take first live rows for the reference that nobody uploaded."""
    wanted = int(subject.parameters["learn"])
    taken = min(wanted - len(subject.learned_values), len(rows.values))
    subject.learned_values = np.concatenate((subject.learned_values, rows.values[:taken]))
    learned = len(subject.learned_values)
    known: dict[int, str] = {}
    if subject.parameters.get("categorical"):
        known = {int(code): name for code, name in subject.parameters.get("texts", [])}
        known |= texts
        seen = np.unique(subject.learned_values.astype(np.int64)).tolist()
        kept = [[code, known[code]] for code in seen if code in known]
        subject.parameters = subject.parameters | {"texts": kept}
    if learned < wanted:
        subject.reason = learning(wanted, subject.subject, learned)
        return taken
    resolved, pool = resolve_normal(
        subject.watch,
        subject.signal,
        task=str(subject.parameters.get("task", "")),
        categorical=bool(subject.parameters.get("categorical")),
        reference=subject.learned_values,
        texts=known,
        least_block=int(subject.parameters.get("least_block", 1)),
    )
    subject.learned_values = np.zeros(0)
    subject.status, subject.reason = resolved.status, resolved.reason
    order = {name: subject.parameters[name] for name in ORDERED if name in subject.parameters}
    subject.parameters = (
        resolved.parameters
        | order
        | {"reference": f"the first {learned} live rows: none were uploaded with the version"}
    )
    if subject.signal == LOSS:
        subject.parameters |= {
            "known_us": int(rows.at[taken - 1]),
            "reference": f"{subject.parameters['reference']}; {BAD_FROM_THE_START}",
        }
    if resolved.status == "armed":
        subject.begin(pool)
    return taken


BAD_FROM_THE_START = (
    "a version that was bad from the start is found by comparison with the one before, not by this "
    "watch"
)
"""What a limit cannot tell that comes from a version's own first labels."""


def learn_centre(subject: Subject, rows: Rows) -> int:
    """Take first labels for the rate around which bets are laid."""
    wanted = int(subject.parameters["learn"])
    taken = min(wanted - subject.learned, len(rows.values))
    subject.learned += taken
    subject.learned_sum += float(rows.values[:taken].sum())
    if subject.learned < wanted:
        subject.reason = f"{wanted - subject.learned} more labels are needed for the centre."
        return taken
    share = (subject.learned_sum + 0.5) / (wanted + 1)
    subject.parameters = subject.parameters | {
        "centre": min(max(share, LEAST_CENTRE), LARGEST_CENTRE),
        "unit": "row",
        "unit_reason": f"Ranked against all rows after the first {wanted}, which gave the centre "
        f"alone.",
    }
    subject.status, subject.reason = "armed", None
    subject.begin(None)
    return taken


LEAST_CENTRE, LARGEST_CENTRE = 0.005, 0.5
"""Bounds of a centre learned from live labels: far enough from the ends to bet on."""
