"""From a detector's rejection to an alarm with what a person needs to believe it."""

import numpy as np
from numpy.typing import NDArray

from drift.base import Alarm as Rejection
from drift.means.signed import rose
from drift.ranks.numeric import meaning
from drift.ranks.tolerant import form
from monitor.coverage import judged_after
from monitor.evaluation.delays import age_of
from monitor.evaluation.detector_state import Subject
from monitor.evidence import Sums
from monitor.feed.columns import id_at
from monitor.feed.rows import Rows, Steps
from monitor.moments import from_micros
from monitor.records import Alarm, Json
from monitor.watches.resolution import reference_sums
from monitor.watches.watch import promise, settings_of

Floats = NDArray[np.float64]
FEWEST = 20
"""Steps before the onset below which they tell nothing; the reference does, if it holds more."""


def alarm_of(
    subject: Subject,
    rejection: Rejection,
    steps: Steps,
    rows: Rows,
    *,
    row: int,
    observation: int,
    granted: float,
    budget_per_year: float,
    first: int,
) -> Alarm:
    assert subject.detector is not None
    values = np.concatenate((subject.values, steps.values[: rejection.step + 1]))
    ids = np.concatenate((subject.ids, steps.first_ids[: rejection.step + 1]))
    at = np.concatenate((subject.at, steps.first_at[: rejection.step + 1]))
    onset = max(0, len(values) - 1 - rejection.onset)
    told = np.array(values)
    block, scale, parameters = subject.block, subject.scale, subject.parameters
    after = Sums.of(told[onset:])
    before = subject.sums.plus(Sums.of(steps.values[: rejection.step + 1])).minus(after)
    if "codes" in parameters:
        before, after = _shares(parameters, rejection.stake, told[:onset], told[onset:])
    was = before.interval(rows_per_step=block, scale=scale, signed=subject.signed)
    normal = reference_sums(parameters)
    if before.n < min(FEWEST, normal.n):
        # Bad from its first rows on: what it should be like is known from its reference alone.
        was = normal.interval(rows_per_step=block, scale=scale) | {"of": "reference"}
    evidence: Json = {
        "statistic": rejection.statistic,
        "threshold": rejection.threshold,
        "promise": promise(subject.watch, parameters, budget_per_year, subject.detector.assumption),
        "guaranteed": subject.detector.guaranteed,
        "tier": subject.watch.tier.value,
        "budget_per_year": budget_per_year,
        "granted": granted,
        "assumption": subject.detector.assumption,
        "signal": subject.signal,
        "segment": subject.subject.partition("|")[2] or None,
        "detector": subject.kind,
        "change": _change(subject, rejection.stake),
        "parameters": parameters,
        "unit": parameters.get("unit", "row"),
        "unit_reason": parameters.get("unit_reason"),
        "design_effect": parameters.get("design_effect"),
        "observations": observation,
        "steps": first + rejection.step,
        "onset": {
            "prediction_id": str(id_at(ids, onset)),
            "at": from_micros(int(at[onset]) - age_of(subject)).isoformat(),
            "steps_ago": rejection.onset,
            "observations_ago": rejection.onset * block,
            "is_oldest_kept": rejection.onset > len(values) - 1,
            "note": "An estimate; no coverage is promised.",
        },
        "before": was,
        "after": after.interval(rows_per_step=block, scale=scale, signed=subject.signed),
        "trace": subject.trace.plot(scale),
    }
    if rejection.fresh:
        evidence["confirmed"] = {
            "opened_by": settings_of(subject.watch).opened_by,
            "fresh_steps": rejection.fresh,
        }
    return Alarm(
        subject.watch.id,
        subject.watch.application_id,
        subject.subject,
        subject.watch.tier,
        from_micros(int(rows.at[row]) + judged_after(subject.watch)),
        observation,
        id_at(rows.ids, row),
        id_at(ids, onset),
        from_micros(int(at[onset]) - age_of(subject)),
        rejection.statistic,
        rejection.threshold,
        evidence,
    )


def _shares(parameters: Json, stake: int, before: Floats, after: Floats) -> tuple[Sums, Sums]:
    """Of the category that rose: what it was and what it is."""
    if len(before):
        return Sums.of((before == stake).astype(float)), Sums.of((after == stake).astype(float))
    rows = int(parameters["reference_rows"])
    share = float(parameters["shares"][stake])
    return Sums(rows, share * rows, share * rows), Sums.of((after == stake).astype(float))


def _change(subject: Subject, stake: int) -> str | None:
    """What the leading stake says about the change, in words."""
    if subject.kind == "numeric-ranks":
        return meaning(stake)
    if subject.kind == "tolerant-ranks":
        return form(stake)
    if subject.kind == "categorical-ranks":
        names = [*subject.parameters["names"], "another known category", "an unseen category"]
        return f"{names[stake]} became more frequent"
    if subject.kind == "two-sided-mean":
        return "the mean rose" if rose(stake) else "the mean fell"
    return None
