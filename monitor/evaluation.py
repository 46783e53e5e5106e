"""From observations to decisions: each subject's detector is called once on all that a turn brought
it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from drift.base import Alarm as Rejection
from drift.means.signed import rose
from drift.means.units import Units
from drift.ranks.numeric import meaning
from monitor.budget import grants
from monitor.columns import Ids, id_at
from monitor.detector_state import Subject, codes_for, key_of, new_subject, seen
from monitor.evidence import Sums
from monitor.moments import from_micros, to_micros
from monitor.normal import learning, resolve_normal
from monitor.records import Alarm, Json, Watch
from monitor.resolution import resolve
from monitor.signals.base import (
    CANARY_DIFFERENCE,
    CHALLENGER_DIFFERENCE,
    LOSS,
    LOSS_DIFFERENCE,
    OUTPUT,
    Observations,
)
from monitor.watches import GUARANTEED, WatchSettings, promise

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
    unit: NDArray[np.object_] | None = None
    """Key of the unit that each belongs to."""
    dealt: Floats | None = None
    """Shape (n, 2), of a canary: 1 if the challenger answered, and its share."""
    place: NDArray[np.int64] | None = None
    """Number of each among the rows of the turn, where thinning left some out."""

    def take(self, rows: NDArray[np.int64] | slice) -> "Rows":
        """Some of them."""
        return Rows(
            self.values[rows],
            self.at[rows],
            self.ids[rows],
            self.grants[rows],
            None if self.unit is None else self.unit[rows],
            None if self.dealt is None else self.dealt[rows],
        )

    def number_of(self, row: int) -> int:
        """Number of a row among all that the turn brought."""
        return row if self.place is None else int(self.place[row])

    def cut(self, start: int) -> "Rows":
        """The rows from `start` on."""
        return self.take(slice(start, None))


@dataclass(frozen=True, slots=True)
class _Steps:
    values: Floats
    grants: Floats
    deciding: NDArray[np.int64]
    """Index of the row that completes each step."""
    first_ids: Ids
    first_at: NDArray[np.int64]
    dealt: Floats | None = None


@dataclass(frozen=True, slots=True)
class Tested:
    """What a watch made of a stretch of its signal."""

    alarms: list[Alarm]
    clock: datetime | None
    """Up to when the watch's budget has been granted."""
    touched: list[Subject]


References = Callable[[str, str], Sequence[float] | Floats | None]
"""Values of a signal on the reference rows of a subject; none where it has none."""


def run_watch(
    watch: Watch,
    observations: Observations,
    subjects: dict[str, Subject],
    references: References,
    *,
    task: str,
    budget_per_year: float,
    time_scale: float = 1.0,
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
    """
    clock = None if watch.clock is None else to_micros(watch.clock)
    columns = observations.columns
    # A family's members step together, so each is granted an equal part at every step. A row of
    # which a member says nothing takes that member's part with it.
    granted, moved = grants(
        clock,
        observations.at,
        observations.event,
        budget_per_year * time_scale / max(1, len(columns)),
    )
    alarms: list[Alarm] = []
    touched = []
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
        )
        for signal, part in _members(watch, observations, rows):
            key = key_of(watch, signal, name)
            subject = subjects.get(key)
            if subject is None:
                subject = _new(
                    watch,
                    signal,
                    name,
                    observations=observations,
                    references=references,
                    task=task,
                )
                if subject is None:
                    continue
                subjects[key] = subject
            alarms.extend(
                consume(subject, part, budget_per_year=budget_per_year, texts=observations.texts)
            )
            touched.append(subject)
    return Tested(alarms, None if moved is None else from_micros(moved), touched)


def _members(watch: Watch, observations: Observations, rows: Rows) -> Iterator[tuple[str, Rows]]:
    if not observations.columns:
        yield watch.signal, rows
        return
    family = watch.signal.partition(".")[0]
    known = ~np.isnan(rows.values)
    for number, name in enumerate(observations.columns):
        mine = known[:, number]
        if mine.all():
            yield f"{family}.{name}", replace(rows, values=rows.values[:, number])
        elif mine.any():
            part = rows.take(np.flatnonzero(mine))
            yield f"{family}.{name}", replace(part, values=part.values[:, number])


def _new(
    watch: Watch,
    signal: str,
    subject: str,
    *,
    observations: Observations,
    references: References,
    task: str,
) -> Subject | None:
    reference = references(signal, subject)
    # A segment's mean is compared with what is normal there, from live rows if need be; the other
    # tests of losses need no reference, in a segment either.
    by_mean = watch.detector == "bounded-mean" and "|" in subject
    if watch.detector in LOSS_DETECTORS and watch.signal in LOSSES and not by_mean:
        resolved = resolve(watch, task, None if reference is None else list(reference))
        return None if resolved is None else new_subject(watch, signal, subject, resolved)
    values = None if reference is None or not len(reference) else np.asarray(reference, np.float64)
    resolved, pool = resolve_normal(
        watch,
        signal,
        categorical=_is_categorical(signal, observations, task),
        reference=values,
        texts=observations.texts,
    )
    made = new_subject(watch, signal, subject, resolved, pool)
    if made.status == "learning":
        made.parameters |= {"categorical": _is_categorical(signal, observations, task)}
        made.reason = learning(WatchSettings.model_validate(watch.settings), subject, 0)
    return made


LOSSES = (LOSS, LOSS_DIFFERENCE, CHALLENGER_DIFFERENCE, CANARY_DIFFERENCE)
LOSS_DETECTORS = (
    "bounded-mean",
    "growing-pool",
    "adwin",
    "paired-excess",
    "paired-promotion",
    "randomised-excess",
    "randomised-promotion",
)


def _is_categorical(signal: str, observations: Observations, task: str) -> bool:
    if signal == OUTPUT:
        return task != "regression"
    if not signal.startswith("feature."):
        return False
    return signal.removeprefix("feature.") in observations.categorical


def consume(
    subject: Subject,
    rows: Rows,
    *,
    budget_per_year: float,
    texts: Mapping[int, str] | None = None,
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

    Returns
    -------
    list of Alarm
        In order of the rows.
    """
    seen(subject, rows.at)
    if subject.status == "learning":
        if subject.watch.detector == "growing-pool":
            learned = _learn(subject, rows)
        else:
            learned = _learn_normal(subject, rows, texts or {})
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
    if "thin" in subject.parameters:
        rows = _thinned(subject, rows)
        if not len(rows.values):
            return []
    steps = _steps(subject, rows)
    if not len(steps.values):
        return []
    assert subject.detector is not None
    first = subject.detector.steps + 1
    update = subject.detector.update(_fed(subject, steps), steps.grants[:, None])
    statistic = update.statistic[:, 0]
    deciding_at = rows.at[steps.deciding]
    alarms = []
    trace, done = subject.trace, 0
    for rejection in update.alarms:
        # The trace in an alarm's evidence ends with the alarm, whatever came after it in this turn.
        part = slice(done, rejection.step + 1)
        trace = trace.extended(first + done, deciding_at[part], statistic[part], steps.values[part])
        done = rejection.step + 1
        step = first + rejection.step
        if _is_repeat(subject, step):
            continue
        subject.told_at = step
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
                observation=counted_before
                + 1
                + (row if rows.place is None else int(rows.place[row])),
                granted=granted,
                budget_per_year=budget_per_year,
                first=first,
            )
        )
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


REST = 1000
"""Steps after an alarm in which the same detector says nothing more, unless it is about losses."""


def _is_repeat(subject: Subject, step: int) -> bool:
    # A state that lasts would alarm every few rows, by hundreds of members; a loss has remedies
    # that wait for it to be confirmed.
    lasting = subject.watch.signal not in LOSSES
    return lasting and subject.told_at > 0 and step - subject.told_at < REST


def _prepared(subject: Subject, values: Floats) -> Floats:
    """Values in the detector's unit."""
    if subject.kind in RANKS:
        return codes_for(subject.parameters, values) if "codes" in subject.parameters else values
    # A loss lies in [0, 1] after this, a difference of two in [-1, 1].
    scaled = np.clip(values / subject.scale, -1.0, 1.0)
    if subject.kind == "bounded-mean":
        # What is watched from below is watched by what it lacks to 1.
        scaled = 1.0 - scaled if subject.parameters.get("inverted") else np.maximum(scaled, 0.0)
    return scaled


RANKS = ("numeric-ranks", "categorical-ranks")
"""Detectors that take any number, or codes."""


def _fed(subject: Subject, steps: _Steps) -> Floats:
    if not subject.kind.startswith("randomised"):
        return steps.values
    assert steps.dealt is not None
    # The detector asks for no smaller share than it was told of.
    dealt = steps.dealt.copy()
    floor = float(subject.parameters["floor"])
    dealt[:, 1] = np.clip(dealt[:, 1], floor, 1.0 - floor)
    return np.column_stack([steps.values, dealt])


def _thinned(subject: Subject, rows: Rows) -> Rows:
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


def _learn_normal(subject: Subject, rows: Rows, texts: Mapping[int, str]) -> int:
    """Take first live rows for the reference that nobody uploaded."""
    settings = WatchSettings.model_validate(subject.watch.settings)
    taken = min(settings.learn - len(subject.learned_values), len(rows.values))
    subject.learned_values = np.concatenate((subject.learned_values, rows.values[:taken]))
    learned = len(subject.learned_values)
    known = {int(code): name for code, name in subject.parameters.get("texts", [])} | dict(texts)
    if subject.parameters.get("categorical"):
        seen = np.unique(subject.learned_values.astype(np.int64)).tolist()
        kept = [[code, known[code]] for code in seen if code in known]
        subject.parameters = subject.parameters | {"texts": kept}
    if learned < settings.learn:
        subject.reason = learning(settings, subject.subject, learned)
        return taken
    resolved, pool = resolve_normal(
        subject.watch,
        subject.signal,
        categorical=bool(subject.parameters.get("categorical")),
        reference=subject.learned_values,
        texts=known,
    )
    subject.learned_values = np.zeros(0)
    subject.status, subject.reason = resolved.status, resolved.reason
    subject.parameters = resolved.parameters | {
        "reference": f"the first {learned} live rows: none were uploaded with the version"
    }
    if resolved.status == "armed":
        subject.begin(pool)
    return taken


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
    subject.begin(None)
    return taken


def _steps(subject: Subject, rows: Rows) -> _Steps:
    values = _prepared(subject, rows.values)
    if subject.blocks is None:
        every = np.arange(len(values))
        return _Steps(values, rows.grants, every, rows.ids, rows.at, rows.dealt)
    if isinstance(subject.blocks, Units):
        assert rows.unit is not None
        finished = subject.blocks.push(values, rows.unit.tolist())
        means, last = finished.means, finished.at
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
    return _Steps(np.asarray(means, np.float64), grants, last, first_ids, first_at)


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
    if subject.kind == "categorical-ranks":
        names = [*subject.parameters["names"], "another known category", "an unseen category"]
        return f"{names[stake]} became more frequent"
    if subject.kind == "two-sided-mean":
        return "the mean rose" if rose(stake) else "the mean fell"
    return None


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
    told = np.array(values)
    block, scale, parameters = subject.block, subject.scale, subject.parameters
    after = Sums.of(told[onset:])
    before = subject.sums.plus(Sums.of(steps.values[: rejection.step + 1])).minus(after)
    if "codes" in parameters:
        before, after = _shares(parameters, rejection.stake, told[:onset], told[onset:])
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
