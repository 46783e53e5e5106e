"""From observations to decisions: each subject's detector is called once on all that a turn brought
it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from monitor.evaluation.aside import Aside, looks, signals_of
from monitor.evaluation.delays import AGE, ordered
from monitor.evaluation.detector_state import Subject, key_of, seen
from monitor.evaluation.earlier import Names, held_to_earlier
from monitor.evaluation.faults import REST, Fault
from monitor.evaluation.gathered import learn_from_steps
from monitor.evaluation.learning import learn_centre, learn_normal
from monitor.evaluation.pairing import (
    LOOK,
    ask_for_unit,
    keep_trial,
    look_for_unit,
    note_differences,
    room_until_unit,
)
from monitor.evaluation.rejections import alarm_of
from monitor.evaluation.stepping import fed, steps_of, thinned
from monitor.evaluation.subjects import LOSSES, References, meet
from monitor.evaluation.timing_arming import (
    ask_for_timing,
    look_at_times,
    note_times,
    room_until_look,
    waits_for_timing,
)
from monitor.evidence import Sums
from monitor.feed.rows import Rows, Steps
from monitor.moments import from_micros, to_micros
from monitor.records import Alarm, Watch
from monitor.signals.base import (
    Observations,
)
from monitor.watches.budget import grants, most_granted
from monitor.watches.watch import GUARANTEED

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tested:
    """What a watch made of a stretch of its signal."""

    alarms: list[Alarm]
    clock: datetime | None
    """Up to when the watch's budget has been granted."""
    touched: list[Subject]
    put_aside: list[str]
    """Subjects of which all rows were put aside."""
    rest: dict[str, Rows]
    """By subject: rows after the last that was fed, which are to be put aside beside it."""


def run_watch(
    watch: Watch,
    observations: Observations,
    subjects: dict[str, Subject],
    references: References,
    *,
    task: str,
    budget_per_year: float,
    time_scale: float = 1.0,
    now_us: int = 0,
    others: Collection[Subject] = (),
    name_of: Names = "version {}".format,
    asides: Mapping[str, Aside] | None = None,
) -> Tested:
    """Feed a stretch of a signal, or of a family of signals, to every subject of one watch.

    Parameters
    ----------
    subjects
        Those that the watch has already, by `Subject.key`; new ones are added.
    references
        Asked for every subject that is new.
    budget_per_year
        Expected false alarms in a year of the watched world.
    time_scale
        Years of that world in one year of the record.
    now_us
        How far the record has gone; needed where predictions are to mature.
    others
        Subjects of the application's other watches, which were fed before: a trial among them tells
        the unit of the comparison that comes after it, and the level of a version tells what one
        without reference rows is held to.
    name_of
        What people call a version.
    asides
        Of subjects, where rows may be put aside.
    """
    clock = None if watch.clock is None else to_micros(watch.clock)
    columns = observations.columns
    # A family's members step together, so each is granted an equal part at every step. A row of
    # which a member says nothing takes that member's part with it.
    rate = budget_per_year * time_scale / max(1, len(columns))
    granted, moved = grants(clock, observations.at, observations.event, rate)
    alarms: list[Alarm] = []
    touched: list[Subject] = []
    waiting: list[str] = []
    rest: dict[str, Rows] = {}
    signals = signals_of(watch, columns)
    if observations.unit is not None or observations.dealt is not None:
        asides = None
    most = most_granted(watch.clock, observations.at, rate) if asides else 0.0
    # One subject's rows are taken as they are: a copy of a family is dear.
    everything: dict[str, slice] | Mapping[str, NDArray[np.int64]] = (
        {observations.names[0]: slice(None)}
        if len(observations.names) == 1 and len(observations)
        else observations.by_subject()
    )
    for name, places in everything.items():
        rows = Rows(
            observations.value[places],
            observations.at[places],
            observations.prediction[places],
            granted[places],
            None if observations.unit is None else observations.unit[places],
            None if observations.dealt is None else observations.dealt[places],
            None if observations.made is None else observations.made[places],
        )
        aside = None if asides is None else asides.get(name)
        if aside is not None and aside.takes(signals, rows.values, most):
            aside.put(signals, rows)
            waiting.append(name)
            continue
        if aside is not None and aside.waits and looks(watch):
            fed, left = rows.split(aside.until_look(signals, rows.values))
            if not len(fed.values):
                aside.put(signals, left)
                waiting.append(name)
                continue
            rows, rest[name] = fed, left
        for signal, part in _fed(aside, signals, rows):
            key = key_of(watch, signal, name)
            subject = subjects.get(key)
            if subject is None:
                subject = held_to_earlier(
                    watch,
                    name,
                    int(part.at[0]),
                    subjects=[*subjects.values(), *others],
                    references=references,
                    name_of=name_of,
                )
                subject = subject or meet(
                    watch,
                    signal,
                    name,
                    observations=observations,
                    references=references,
                    task=task,
                )
                if subject is None:
                    continue
                ask_for_timing(subject, subjects.values(), int(part.at[0]))
                ask_for_unit(subject, others, int(part.at[0]))
                subjects[key] = subject
            alarms.extend(
                consume(
                    subject,
                    part,
                    budget_per_year=budget_per_year,
                    texts=observations.texts,
                    now_us=now_us,
                )
            )
            touched.append(subject)
    return Tested(alarms, None if moved is None else from_micros(moved), touched, waiting, rest)


def _fed(aside: Aside | None, signals: Sequence[str], rows: Rows) -> Iterator[tuple[str, Rows]]:
    """What a subject's members are fed: rows, after those that had been put aside."""
    if aside is None or aside.rows is None:
        yield from _members(signals, rows)
    elif aside.columns == tuple(signals):
        yield from _members(signals, aside.rows.followed_by(rows))
    else:
        yield from _members(aside.columns, aside.rows)
        yield from _members(signals, rows)


def _members(signals: Sequence[str], rows: Rows) -> Iterator[tuple[str, Rows]]:
    if rows.values.ndim == 1:
        yield signals[0], rows
        return
    known = ~np.isnan(rows.values)
    whole: list[bool] = np.all(known, axis=0).tolist()
    some: list[bool] = np.any(known, axis=0).tolist()
    for number, signal in enumerate(signals):
        if whole[number]:
            yield signal, rows.with_values(rows.values[:, number])
        elif some[number]:
            part = rows.take(np.flatnonzero(known[:, number]))
            yield signal, part.with_values(part.values[:, number])


def consume(
    subject: Subject,
    rows: Rows,
    *,
    budget_per_year: float,
    texts: Mapping[int, str] | None = None,
    now_us: int = 0,
) -> list[Alarm]:
    """Feed rows to a subject's detector.

    Parameters
    ----------
    subject
        Changed in place.
    rows
        At least one row.
    budget_per_year
        Of the whole watch; told in the evidence. What counts are the grants of the rows.
    texts
        Categories behind the codes of these rows.
    now_us
        How far the record has gone.

    Returns
    -------
    list of Alarm
        In order of the rows.
    """
    seen(subject, rows.at)
    if subject.status == "armed":
        # A metric that failed has given values again.
        subject.reason = None
    age = mature_after_us(subject.watch)
    if AGE in subject.parameters:
        rows = ordered(subject, rows, now_us)
    elif age is not None:
        rows = subject.waiting.release(rows, age_us=age, now_us=now_us)
    return _take(subject, rows, texts or {}, budget_per_year)


def mature(subject: Subject, *, budget_per_year: float, now_us: int) -> list[Alarm]:
    """Test labelled rows of predictions that have grown old enough while nothing came.

    Parameters
    ----------
    now_us
        Up to when nothing that was shipped is left to be read.
    """
    age = mature_after_us(subject.watch)
    if age is None or not subject.waiting.due(age_us=age, now_us=now_us):
        return []
    rows = subject.waiting.release(Rows.none(), age_us=age, now_us=now_us)
    return _take(subject, rows, {}, budget_per_year)


def mature_after_us(watch: Watch) -> int | None:
    """Age at which a watch tests predictions, in microseconds; none where it takes labels as they
    come."""
    age = watch.settings.get("mature_after")
    return None if age is None else int(age * 1e6)


def _take(
    subject: Subject, rows: Rows, texts: Mapping[int, str], budget_per_year: float
) -> list[Alarm]:
    alarms: list[Alarm] = []
    if subject.timing is None and LOOK not in subject.parameters:
        # So it is for nearly all: nothing is looked at.
        return _consume(subject, rows, texts, budget_per_year) if len(rows.values) else []
    # Cut where the delays and hours are looked at: what comes after a refusal is not tested,
    # however the rows came in turns.
    while len(rows.values):
        rooms = room_until_look(subject), room_until_unit(subject)
        room = min((one for one in rooms if one), default=len(rows.values))
        part, rows = rows.split(room)
        note_times(subject, part)
        note_differences(subject, part)
        alarms += _consume(subject, part, texts, budget_per_year)
        look_at_times(subject, part)
        look_for_unit(subject)
    return alarms


def _consume(
    subject: Subject, rows: Rows, texts: Mapping[int, str], budget_per_year: float
) -> list[Alarm]:
    keep_trial(subject, rows)
    if waits_for_timing(subject) or (subject.status == "learning" and LOOK in subject.parameters):
        subject.observations += len(rows.values)
        return []
    if subject.status == "learning" and subject.blocks is None:
        if subject.watch.detector == "growing-pool":
            learned = learn_centre(subject, rows)
        else:
            learned = learn_normal(subject, rows, texts)
        subject.observations += learned
        if learned == len(rows.values):
            return []
        rows = rows.cut(learned)
    learns_steps = subject.status == "learning" and subject.blocks is not None
    if subject.status != "armed" and not learns_steps:
        subject.observations += len(rows.values)
        return []
    if not len(rows.values):
        return []
    counted_before = subject.observations
    subject.observations += len(rows.values)
    granted_before = subject.granted
    bought = float(rows.grants.sum())
    if "thin" in subject.parameters:
        rows = thinned(subject, rows)
    if not len(rows.values):
        subject.granted += bought
        return []
    steps = steps_of(subject, rows)
    if learns_steps:
        steps = steps.cut(learn_from_steps(subject, steps))
        if subject.status != "armed":
            return []
        granted_before = subject.granted
        # Of this call only what the steps after the learned ones get, now or later.
        bought = float(steps.grants.sum()) + subject.pending_grant
    subject.granted += bought
    if not len(steps.values):
        return []
    before = _Before(counted_before, granted_before, bought)
    return _test(subject, steps, rows, before, budget_per_year)


@dataclass(frozen=True, slots=True)
class _Before:
    observations: int
    granted: float
    bought: float
    """Granted by these rows at most."""


def _test(
    subject: Subject, steps: Steps, rows: Rows, before: _Before, budget_per_year: float
) -> list[Alarm]:
    assert subject.detector is not None
    first = subject.detector.steps + 1
    update = subject.detector.update(fed(subject, steps), steps.grants[:, None])
    statistic = update.statistic[:, 0]
    deciding_at = rows.at[steps.deciding]
    alarms = []
    trace, done, judged = subject.trace, 0, 0
    for rejection in update.alarms:
        # The trace in an alarm's evidence ends with the alarm, whatever came after it in this turn.
        part = slice(done, rejection.step + 1)
        trace = trace.extended(first + done, deciding_at[part], statistic[part], steps.values[part])
        done = rejection.step + 1
        step = first + rejection.step
        if _rests(subject, step):
            continue
        if subject.fault is not None and subject.fault.is_over(steps.values[judged:done], step):
            subject.fault = None
        judged, repeats = done, subject.fault is not None
        subject.told_at = step
        subject.alarms += not repeats
        subject.trace = trace
        row = int(steps.deciding[rejection.step])
        granted = before.granted + min(before.bought, float(rows.grants[: row + 1].sum()))
        alarm = alarm_of(
            subject,
            rejection,
            steps,
            rows,
            row=row,
            observation=before.observations
            + 1
            + (row if rows.place is None else int(rows.place[row])),
            granted=granted,
            budget_per_year=budget_per_year,
            first=first,
        )
        alarms.append(replace(alarm, repeats=repeats))
        if subject.fault is not None:
            subject.fault.last = step
        elif subject.watch.signal in LOSSES:
            subject.fault = Fault.of(
                subject.parameters, alarm.evidence, scale=subject.scale, step=step
            )
    last = first + len(steps.values) - 1
    if subject.fault is not None and subject.fault.is_over(steps.values[judged:], last):
        subject.fault = None
    part = slice(done, len(statistic))
    subject.trace = trace.extended(
        first + done, deciding_at[part], statistic[part], steps.values[part]
    )
    ended_in_alarm = bool(update.alarms) and update.alarms[-1].step == len(statistic) - 1
    resets = ended_in_alarm and subject.watch.detector in GUARANTEED
    subject.statistic = 0.0 if resets else float(statistic[-1])
    subject.sums = subject.sums.plus(Sums.of(steps.values))
    recent = subject.recent
    subject.values = np.concatenate((subject.values, steps.values[-recent:]))[-recent:]
    subject.at = np.concatenate((subject.at, steps.first_at[-recent:]))[-recent:]
    subject.ids = np.concatenate((subject.ids, steps.first_ids[-recent:]))[-recent:]
    return alarms


def _rests(subject: Subject, step: int) -> bool:
    # A state that lasts would alarm every few rows, by hundreds of members; what is said again of a
    # loss is heard, for a remedy that had to wait, but counted as one.
    lasting = subject.watch.signal not in LOSSES
    return lasting and subject.told_at > 0 and step - subject.told_at < REST
