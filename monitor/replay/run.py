"""One configuration of watches at work on the past."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.evaluation.detector_state import Subject
from monitor.evaluation.earlier import turn_of
from monitor.evaluation.memory import Known
from monitor.evaluation.watching import feed_watch, read_for
from monitor.feed.join import Stretch
from monitor.quiet import note_requests, silences
from monitor.records import Alarm, Json, Registry, Watch, WatchState
from monitor.replay.coverage import Coverage
from monitor.replay.report import Change, Report, found
from monitor.settings import Settings
from monitor.signals import Extracted
from monitor.signals.base import COVERAGE, Observations, observed
from monitor.signals.custom import asks
from monitor.watches import budget
from monitor.watches.entries import ReplaySettings
from monitor.watches.segment_bounds import merged_note
from monitor.watches.watch import GUARANTEED


@dataclass(frozen=True, slots=True)
class Past:
    """What the rows are about."""

    registry: Registry
    known: Mapping[int, Known]
    """Reference rows by version; those of a record are filled in as versions are met."""
    task: str
    row_of: Callable[[bytes], int | None]
    """Number of a row from the id of its prediction."""
    name_of: Callable[[str], str]
    """What people call a version, or a pair of them."""


class Run:
    """Watches at work on stretches of the past.

    Parameters
    ----------
    past
        What the rows are about.
    watches
        With clocks that have not begun.
    given
        Budgets that differ from those of the settings.
    settings
        Budgets, and how the past is cut into stretches of time.
    """

    def __init__(
        self, past: Past, watches: Sequence[Watch], given: ReplaySettings, settings: Settings
    ) -> None:
        changed = {f"budget_{tier.value}": value for tier, value in given.budgets.items()}
        self._settings = settings.model_copy(update=changed)
        self._past = past
        self._watches = list(watches)
        self._yearly = budget.budgets(watches, self._settings)
        self._subjects: dict[int, dict[str, Subject]] = {watch.id: {} for watch in watches}
        self._pauses: dict[int, WatchState] = {}
        self._coverage: dict[int, Coverage] = {}
        self._alarms: list[tuple[Watch, Alarm]] = []
        self._granted_at: dict[int, float] = {}

    def take(self, stretch: Stretch, extracted: Extracted) -> None:
        """Feed every watch what a stretch brought."""
        raised: list[tuple[Watch, Alarm]] = []
        order = sorted(enumerate(self._watches), key=lambda at: turn_of(at[1]))
        for place, watch in order:
            if not watch.enabled:
                continue
            if watch.detector == "quiet":
                raised += self._quiet(watch, extracted)
                continue
            if asks(watch):
                # Its own, whatever another configuration calls by the same name.
                own = dict(extracted)
                read_for(watch, stretch, self._past.registry, own, self._subjects[watch.id])
                seen = observed(own, watch.application_id, watch.signal)
            else:
                seen = self._seen(watch, extracted)
            if seen is None or not len(seen):
                continue
            tested = feed_watch(
                watch,
                seen,
                self._subjects[watch.id],
                stretch=stretch,
                registry=self._past.registry,
                known=self._past.known,
                budget_per_year=self._yearly.get(watch.id, 0.0),
                time_scale=self._settings.time_scale,
                others=[s for some in self._subjects.values() for s in some.values()],
            )
            self._watches[place] = replace(watch, clock=tested.clock)
            raised += [(watch, alarm) for alarm in tested.alarms]
        raised.sort(key=lambda pair: (pair[1].alarmed_at, pair[0].id))
        self._alarms += raised

    def mark(self, number: int) -> None:
        """Note what has been granted before a change; the first note of each counts."""
        self._granted_at.setdefault(number, self._expected())

    def report(self, rows: int, seconds: float, changes: Sequence[Change]) -> Report:
        """What was found."""
        alarms = self._faults()
        made = Report(rows, seconds, self._lines(), self._expected(), alarms)
        if changes:
            made.changes = found(changes, alarms)
            for number, line in enumerate(made.changes):
                line["expected_false_alarms_before"] = self._granted_at.get(number)
            first = changes[0].row
            made.expected_before_changes = self._granted_at.get(0)
            made.seen_false_alarms = sum(
                alarm["guaranteed"] and (alarm["row"] is None or alarm["row"] < first)
                for alarm in alarms
            )
        return made

    def _seen(self, watch: Watch, extracted: Extracted) -> Observations | None:
        if watch.signal != COVERAGE:
            return observed(extracted, watch.application_id, watch.signal)
        step = self._settings.series_step_us
        return self._coverage.setdefault(watch.id, Coverage(step)).judge(watch, extracted)

    def _quiet(self, watch: Watch, extracted: Extracted) -> list[tuple[Watch, Alarm]]:
        before = self._pauses.get(watch.id)
        told = silences(watch, before, extracted)
        after = note_requests(watch, before, extracted)
        if after is not None:
            self._pauses[watch.id] = replace(after, alarms=after.alarms + len(told))
        return [(watch, alarm) for alarm in told]

    def _expected(self) -> float:
        return sum(
            subject.granted
            for watch in self._watches
            if watch.detector not in budget.OWN_ERROR_RATE
            for subject in self._subjects[watch.id].values()
        )

    def _faults(self) -> list[Json]:
        """Alarms, each with how often it was said again while its fault lasted."""
        alarms: list[Json] = []
        last: dict[tuple[int, str, str], Json] = {}
        for watch, alarm in self._alarms:
            key = watch.id, alarm.evidence["signal"], alarm.subject
            if alarm.repeats and key in last:
                last[key]["repeats"] += 1
                continue
            last[key] = self._told(watch, alarm)
            alarms.append(last[key])
        return alarms

    def _told(self, watch: Watch, alarm: Alarm) -> Json:
        onset, evidence = alarm.onset_prediction_id, alarm.evidence
        return {
            "row": self._past.row_of(alarm.prediction_id.bytes),
            "signal": evidence["signal"],
            "watch": watch.name,
            "tier": watch.tier.value,
            "version": self._past.name_of(alarm.subject.partition("|")[0]),
            "segment": evidence["segment"],
            "onset_row": None if onset is None else self._past.row_of(onset.bytes),
            "statistic": alarm.statistic,
            "threshold": alarm.threshold,
            "repeats": 0,
            "at": alarm.alarmed_at.isoformat(),
            "observation": alarm.observation,
            "change": evidence["change"],
            "before": evidence["before"],
            "after": evidence["after"],
            "guaranteed": watch.detector in GUARANTEED and watch.detector not in NOT_PAID,
            "promise": evidence["promise"],
        }

    def _lines(self) -> list[Json]:
        lines: list[Json] = []
        for watch in self._watches:
            subjects = list(self._subjects[watch.id].values())
            names = [subject.subject for subject in subjects]
            lines += [
                self._line(watch, one) | {"note": merged_note(watch, one.subject, names)}
                for one in subjects
            ]
            if not subjects:
                lines.append(self._empty(watch))
        return lines

    def _line(self, watch: Watch, subject: Subject) -> Json:
        return {
            **self._about(watch, subject.signal),
            "version": self._past.name_of(subject.subject.partition("|")[0]),
            "segment": subject.subject.partition("|")[2] or None,
            "status": subject.status,
            "status_reason": subject.reason,
            "granted": subject.granted,
            "observations": subject.observations,
            "alarms": subject.alarms,
            "statistic": subject.statistic,
            "parameters": subject.parameters,
            "mean": subject.sums.interval(
                rows_per_step=subject.block, scale=subject.scale, signed=subject.signed
            ),
        }

    def _empty(self, watch: Watch) -> Json:
        pauses = self._pauses.get(watch.id)
        status, reason = "idle", f"These rows hold nothing that it watches: {watch.signal}."
        if not watch.enabled:
            status, reason = "disabled", "It is not enabled."
        elif pauses is not None:
            status, reason = pauses.status, pauses.status_reason or ""
        return {
            **self._about(watch, watch.signal),
            "version": None,
            "segment": None,
            "status": status,
            "status_reason": reason or None,
            "note": None,
            "granted": 0.0,
            "observations": 0 if pauses is None else pauses.observations,
            "alarms": 0 if pauses is None else pauses.alarms,
            "statistic": 0.0,
            "parameters": {} if pauses is None else pauses.parameters,
            "mean": None,
        }

    def _about(self, watch: Watch, signal: str) -> Json:
        return {
            "name": watch.name,
            "signal": signal,
            "detector": watch.detector,
            "tier": watch.tier.value,
            "budget_per_year": self._yearly.get(watch.id),
        }


NOT_PAID = budget.OWN_ERROR_RATE
"""Detectors whose alarms no budget pays for."""
