"""From observations to decisions: each subject's detector is called once on all that a turn brought
it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from drift.base import Alarm as Rejection
from monitor.budget import grants
from monitor.columns import Ids, id_at
from monitor.detector_state import RECENT, Subject, new_subject, seen_until
from monitor.evidence import Sums
from monitor.moments import from_micros, to_micros
from monitor.records import Alarm, Json, Watch
from monitor.signals import Observations
from monitor.watches import GUARANTEED, promise, resolve

Floats = NDArray[np.float64]

LEAST_CENTRE, LARGEST_CENTRE = 0.005, 0.5
"""Bounds of a centre learned from live labels: far enough from the ends to bet on."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a turn brings one subject, in order of consumption."""

    values: Floats
    """Losses or differences of losses, in the loss's own unit."""
    at: NDArray[np.int64]
    """When the labels were received, microseconds since 1970."""
    ids: Ids
    grants: Floats

    def cut(self, start: int) -> "Rows":
        """The rows from `start` on."""
        return Rows(self.values[start:], self.at[start:], self.ids[start:], self.grants[start:])


@dataclass(frozen=True, slots=True)
class _Steps:
    values: Floats
    grants: Floats
    deciding: NDArray[np.int64]
    """Index of the row that completes each step."""
    first_ids: Ids
    first_at: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tested:
    """What a watch made of a stretch of its signal."""

    alarms: list[Alarm]
    clock: datetime | None
    """Up to when the watch's budget has been granted."""
    touched: list[Subject]


def run_watch(
    watch: Watch,
    observations: Observations,
    subjects: dict[str, Subject],
    references: Mapping[str, Sequence[float] | None],
    *,
    task: str,
    budget_per_year: float,
    time_scale: float = 1.0,
) -> Tested:
    """Feed a stretch of a signal to every subject of one watch.

    Parameters
    ----------
    subjects
        Those that the watch has already; new ones are added.
    references
        Losses on reference rows of every subject that may be new; none where it has none.
    budget_per_year
        Expected false alarms in a year of the watched world.
    time_scale
        Years of that world in one year of the record.
    """
    clock = None if watch.clock is None else to_micros(watch.clock)
    granted, moved = grants(
        clock, observations.at, observations.event, budget_per_year * time_scale
    )
    alarms: list[Alarm] = []
    touched = []
    for name, places in observations.by_subject().items():
        subject = subjects.get(name)
        if subject is None:
            resolved = resolve(watch, task, references[name])
            if resolved is None:
                continue
            subject = subjects[name] = new_subject(watch, name, resolved)
        rows = Rows(
            observations.value[places],
            observations.at[places],
            observations.prediction[places],
            granted[places],
        )
        alarms.extend(consume(subject, rows, budget_per_year=budget_per_year))
        touched.append(subject)
    return Tested(alarms, None if moved is None else from_micros(moved), touched)


def consume(subject: Subject, rows: Rows, *, budget_per_year: float) -> list[Alarm]:
    """Feed rows to a subject's detector.

    Parameters
    ----------
    subject
        Changed in place.
    rows
        At least one row.
    budget_per_year
        Of the whole watch; told in the evidence. What counts are the grants of the rows.

    Returns
    -------
    list of Alarm
        In order of the rows.
    """
    seen_until(subject, int(rows.at.max()))
    if subject.status == "learning":
        learned = _learn(subject, rows)
        subject.observations += learned
        rows = rows.cut(learned)
    if subject.status != "armed":
        subject.observations += len(rows.values)
        return []
    if not len(rows.values):
        return []
    counted_before = subject.observations
    subject.observations += len(rows.values)
    granted_before = subject.granted
    subject.granted += float(rows.grants.sum())
    steps = _steps(subject, rows)
    if not len(steps.values):
        return []
    assert subject.detector is not None
    first = subject.detector.steps + 1
    update = subject.detector.update(steps.values, steps.grants[:, None])
    statistic = update.statistic[:, 0]
    deciding_at = rows.at[steps.deciding]
    alarms = []
    trace, done = subject.trace, 0
    for rejection in update.alarms:
        # The trace in an alarm's evidence ends with the alarm, whatever came after it in this turn.
        part = slice(done, rejection.step + 1)
        trace = trace.extended(
            first + done, deciding_at[part].tolist(), statistic[part], steps.values[part]
        )
        done = rejection.step + 1
        subject.alarms += 1
        subject.trace = trace
        row = int(steps.deciding[rejection.step])
        granted = granted_before + float(rows.grants[: row + 1].sum())
        alarms.append(
            _alarm(
                subject,
                rejection,
                steps,
                rows,
                row=row,
                observation=counted_before + row + 1,
                granted=granted,
                budget_per_year=budget_per_year,
                first=first,
            )
        )
    part = slice(done, len(statistic))
    subject.trace = trace.extended(
        first + done, deciding_at[part].tolist(), statistic[part], steps.values[part]
    )
    ended_in_alarm = bool(update.alarms) and update.alarms[-1].step == len(statistic) - 1
    resets = ended_in_alarm and subject.watch.detector in GUARANTEED
    subject.statistic = 0.0 if resets else float(statistic[-1])
    subject.sums = subject.sums.plus(Sums.of(steps.values))
    subject.values = np.concatenate((subject.values, steps.values[-RECENT:]))[-RECENT:]
    subject.at = np.concatenate((subject.at, steps.first_at[-RECENT:]))[-RECENT:]
    subject.ids = np.concatenate((subject.ids, steps.first_ids[-RECENT:]))[-RECENT:]
    return alarms


def _learn(subject: Subject, rows: Rows) -> int:
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
    subject.arm()
    return taken


def _steps(subject: Subject, rows: Rows) -> _Steps:
    # A loss lies in [0, 1] after this, a difference of two in [-1, 1].
    values = np.clip(rows.values / subject.scale, -1.0, 1.0)
    if subject.blocks is None:
        return _Steps(values, rows.grants, np.arange(len(values)), rows.ids, rows.at)
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
    return _Steps(np.asarray(means, np.float64), grants, last, first_ids, first_at)


def _alarm(
    subject: Subject,
    rejection: Rejection,
    steps: _Steps,
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
    after = Sums.of(values[onset:])
    before = subject.sums.plus(Sums.of(steps.values[: rejection.step + 1])).minus(after)
    block, scale, parameters = subject.block, subject.scale, subject.parameters
    evidence: Json = {
        "statistic": rejection.statistic,
        "threshold": rejection.threshold,
        "promise": promise(subject.watch, parameters, budget_per_year, subject.detector.assumption),
        "guaranteed": subject.detector.guaranteed,
        "tier": subject.watch.tier.value,
        "budget_per_year": budget_per_year,
        "granted": granted,
        "assumption": subject.detector.assumption,
        "signal": subject.watch.signal,
        "detector": subject.watch.detector,
        "parameters": parameters,
        "unit": parameters.get("unit", "row"),
        "unit_reason": parameters.get("unit_reason"),
        "design_effect": parameters.get("design_effect"),
        "observations": observation,
        "steps": first + rejection.step,
        "onset": {
            "prediction_id": str(id_at(ids, onset)),
            "at": from_micros(int(at[onset])).isoformat(),
            "steps_ago": rejection.onset,
            "observations_ago": rejection.onset * block,
            "is_oldest_kept": rejection.onset > len(values) - 1,
            "note": "An estimate; no coverage is promised.",
        },
        "before": before.interval(rows_per_step=block, scale=scale),
        "after": after.interval(rows_per_step=block, scale=scale),
        "trace": subject.trace.plot(scale),
    }
    return Alarm(
        subject.watch.id,
        subject.watch.application_id,
        subject.subject,
        subject.watch.tier,
        from_micros(int(rows.at[row])),
        observation,
        id_at(rows.ids, row),
        id_at(ids, onset),
        from_micros(int(at[onset])),
        rejection.statistic,
        rejection.threshold,
        evidence,
    )
