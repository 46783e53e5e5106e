"""One turn's observations fed to every watch that they concern, in the caller's transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.coverage import judge
from monitor.evaluation.aside import Aside, all_wait, may_wait, signals_of
from monitor.evaluation.detector_state import Subject, new_subject
from monitor.evaluation.earlier import SOURCES, turn_of
from monitor.evaluation.evaluate import Tested, run_watch
from monitor.evaluation.memory import Kept, Known, Memory, version_of, versions_in
from monitor.evaluation.moved import moved
from monitor.evaluation.saved_state import from_row, to_rows
from monitor.evaluation.subjects import USUAL, References
from monitor.evaluation.timing_arming import needs_timing
from monitor.feed.join import Stretch
from monitor.moments import from_micros
from monitor.quiet import note_requests
from monitor.records import Alarm, Json, Registry, Watch, WatchAside, WatchState
from monitor.settings import Settings
from monitor.signals.base import COVERAGE, LOSS, Extracted, Observations, observed
from monitor.signals.custom import MetricFailedError, asked_for, asks
from monitor.signals.segments import OTHER, Segments, divide, units_of
from monitor.store import registry as registry_store
from monitor.store import watches as watch_store
from monitor.watches import budget
from monitor.watches.failure import Failure, said_of, tell
from monitor.watches.resolution import Resolved
from monitor.watches.segment_bounds import segments_allowed
from monitor.watches.watch import WatchSettings, settings_of


async def learn_references(
    connection: AsyncConnection, memory: Memory, stretch: Stretch, registry: Registry
) -> None:
    """Read the reference rows of versions that the turn meets for the first time."""
    answers = stretch.answers
    unknown = [v for v in versions_in(answers.version) if v not in memory.known]
    if not unknown:
        return
    references = await registry_store.read_references(connection, unknown)
    for version in unknown:
        row = int(np.flatnonzero(answers.version == version)[0])
        number = int(answers.application[row])
        application, reference = registry.applications.get(number), references.get(version)
        if reference is None or application is None:
            memory.known[version] = Known()
            continue
        features = {
            feature.name: feature
            for schema in registry.schemas.values()
            if schema.application_id == number
            for feature in schema.features
        }
        memory.known[version] = Known.of(reference, application.task, tuple(features.values()))


async def feed_watches(
    connection: AsyncConnection,
    stretch: Stretch,
    extracted: Extracted,
    *,
    registry: Registry,
    settings: Settings,
    memory: Memory,
) -> list[tuple[Watch, Alarm]]:
    """Feed every watch and save its states; the alarms in the order of their times and watches."""
    found: list[tuple[Watch, Alarm]] = []
    applications = sorted({application for application, _ in extracted})
    all_watches = await watch_store.read_watches_of(connection, applications)
    states: list[WatchState] = []
    asides: list[WatchAside] = []
    clocks: dict[int, datetime] = {}
    failures: list[Failure] = []
    by_application: dict[int, list[Watch]] = {number: [] for number in applications}
    for watch in all_watches:
        by_application[watch.application_id].append(watch)
    coverages = [w for w in all_watches if w.signal == COVERAGE and w.is_watching]
    covered = await judge(connection, coverages, extracted, settings)
    # The same stretches tell whether an alert about earlier ones is over.
    judged = {w.application_id: covered[w.id] for w in coverages if w.id in covered}
    extracted |= {(number, COVERAGE): seen for number, seen in judged.items()}

    yearly = _yearly(by_application, extracted, settings, memory)

    def is_tested(watch: Watch, kept: Kept) -> bool:
        if watch.signal == LOSS and _may_hold_to_earlier(kept, extracted):
            # It may be held to a level that any watch of losses knows.
            return True
        seen = _seen(watch, extracted, covered)
        if seen is None or not len(seen):
            return False
        rate = yearly.get(watch.id, 0.0) * settings.time_scale / max(1, len(seen.columns))
        granted = budget.most_granted(watch.clock, seen.at, rate)
        return not all_wait(watch, seen, kept.asides.get(watch.id, {}), granted)

    kept_of = await all_kept(connection, memory, by_application, is_tested)
    for number, watches in by_application.items():
        kept = kept_of[number]
        raised: list[tuple[Watch, Alarm]] = []
        for watch in sorted(watches, key=turn_of):
            if not watch.is_watching or watch.id in kept.failed:
                continue
            try:
                fed = _feed_one(
                    watch,
                    kept,
                    extracted,
                    covered,
                    stretch=stretch,
                    registry=registry,
                    known=memory.known,
                    budget_per_year=yearly.get(watch.id, 0.0),
                    time_scale=settings.time_scale,
                )
            # Whatever it is, it may not stop the other watches: nothing has been written yet.
            except Exception as error:
                kept.fail(watch, error)
                continue
            for alarm in fed.alarms:
                # An alarm of a family's member is about that member.
                about = replace(watch, signal=alarm.evidence["signal"])
                raised.append((about, alarm))
            if fed.clock is not None and fed.clock != watch.clock:
                clocks[watch.id] = fed.clock
            states += fed.states
            asides += fed.asides
        if raised:
            await read_whole(connection, [kept])
        for _, alarm in raised:
            alarm.evidence["moved"] = moved(kept.subjects.values(), alarm.subject)
        found += raised
        memory.keep(number, _moved(kept, clocks), clocks)
        if kept.failed:
            failures += told_failures(kept, registry, _first_at(number, extracted, _now(stretch)))
    await watch_store.save_states(connection, states)
    await watch_store.mark_failed(connection, failures)
    await watch_store.save_asides(connection, asides)
    await watch_store.move_clocks(connection, clocks)
    found.sort(key=lambda pair: (pair[1].alarmed_at, pair[0].id))
    return found


def _yearly(
    by_application: Mapping[int, list[Watch]],
    extracted: Extracted,
    settings: Settings,
    memory: Memory,
) -> dict[int, float]:
    """False alarms a year for each watch, as they were allowed when the turn's rows came."""
    found: dict[int, float] = {}
    for number, watches in by_application.items():
        changes = memory.budgets.get(number, ())
        since = _granted_from(number, watches, extracted) if changes else None
        found |= budget.budgets(watches, settings, budget.held_since(changes, settings, since))
    return found


def _may_hold_to_earlier(kept: Kept, extracted: Extracted) -> bool:
    """Whether the usual watch of losses meets a version after one of which a level may be known."""
    sources = {w.name: w for w in kept.watches if w.signal == LOSS and w.name in SOURCES}
    seen = extracted.get((kept.watches[0].application_id, LOSS))
    if USUAL not in sources or not sources[USUAL].is_watching or seen is None:
        return False
    known = {
        name: {*kept.asides.get(watch.id, ()), *kept.subjects.get(watch.id, ())}
        for name, watch in sources.items()
    }
    met = [int(name) for name in seen.names if name not in known[USUAL]]
    earlier = [int(name) for names in known.values() for name in names if name.isdigit()]
    # Of one that is switched off nothing was read yet, but what it learned still counts.
    off = any(not watch.is_watching for watch in sources.values())
    return bool(met) and (off or min(earlier, default=max(met)) < max(met))


def _granted_from(
    application: int, watches: Collection[Watch], extracted: Extracted
) -> datetime | None:
    """First moment for which a turn may grant anything."""
    first = min((int(o.at.min()) for (n, _), o in extracted.items() if n == application and len(o)))
    clocks = (w.clock for w in watches if w.is_watching and w.clock)
    return min((from_micros(first), *clocks))


def _first_at(application: int, extracted: Extracted, now_us: int) -> datetime:
    """Time of an application's first observation in a turn; `now_us` where it brought none."""
    mine = (o for (number, _), o in extracted.items() if number == application and len(o))
    return from_micros(min((int(one.at.min()) for one in mine), default=now_us))


def told_failures(kept: Kept, registry: Registry, at: datetime) -> list[Failure]:
    """The watches of an application that failed in this turn, told to operators.

    Parameters
    ----------
    at
        Since when they do not watch.
    """
    failures = []
    for watch in kept.watches:
        error = kept.failed.get(watch.id)
        if error is not None:
            failures.append(Failure(watch, at, said_of(error)))
            tell(failures[-1], registry, error)
    return failures


@dataclass(frozen=True, slots=True)
class _Fed:
    """What a turn makes of one watch: nothing of it is written before all of it is there."""

    states: list[WatchState]
    asides: Sequence[WatchAside] = ()
    alarms: Sequence[Alarm] = ()
    clock: datetime | None = None


def _feed_one(
    watch: Watch,
    kept: Kept,
    extracted: Extracted,
    covered: Mapping[int, Observations],
    *,
    stretch: Stretch,
    registry: Registry,
    known: Mapping[int, Known],
    budget_per_year: float,
    time_scale: float,
) -> _Fed:
    if watch.detector == "quiet":
        return _Fed(_quiet(watch, kept, extracted))
    subjects = kept.subjects.get(watch.id, {})
    states: list[WatchState] = []
    if asks(watch):
        states += to_rows(read_for(watch, stretch, registry, extracted, subjects))
    seen = _seen(watch, extracted, covered)
    if seen is None:
        return _Fed(states)
    tested = feed_watch(
        watch,
        seen,
        subjects,
        stretch=stretch,
        registry=registry,
        known=known,
        budget_per_year=budget_per_year,
        time_scale=time_scale,
        others=[s for some in kept.subjects.values() for s in some.values()],
        asides=kept.asides.get(watch.id),
    )
    states += saved(watch, kept, tested, signals_of(watch, seen.columns))
    beside = kept.asides.get(watch.id, {})
    asides = [beside[name].to_record(watch.id, name) for name in tested.put_aside]
    return _Fed(states, asides, tested.alarms, tested.clock)


def read_for(
    watch: Watch,
    stretch: Stretch,
    registry: Registry,
    extracted: Extracted,
    subjects: dict[str, Subject],
) -> list[Subject]:
    """Put what only this watch asks for beside the other signals; the subjects that say why it is
    not there."""
    try:
        seen = asked_for(watch, stretch, registry)
    except MetricFailedError as error:
        if not subjects:
            version = str(error.version)
            waiting = Resolved("learning", None, AWAITING_METRIC)
            subjects[version] = new_subject(watch, watch.signal, version, waiting)
        for subject in subjects.values():
            subject.reason = str(error)
        return list(subjects.values())
    if seen is not None:
        # What only said that the metric failed is met anew, with its reference and its units.
        for key in [key for key, one in subjects.items() if one.parameters == AWAITING_METRIC]:
            del subjects[key]
        extracted[watch.application_id, watch.signal] = seen
    return []


AWAITING_METRIC: Json = {"learn": 0}
"""Parameters of a subject of which no value is known yet, since the metric failed from the first
row on."""


def feed_watch(
    watch: Watch,
    seen: Observations,
    subjects: dict[str, Subject],
    *,
    stretch: Stretch,
    registry: Registry,
    known: Mapping[int, Known],
    budget_per_year: float,
    time_scale: float,
    others: Collection[Subject] = (),
    asides: Mapping[str, Aside] | None = None,
) -> Tested:
    """Feed one watch what a stretch of the record brought of its signal.

    Parameters
    ----------
    subjects
        Those that the watch has already; new ones are added, and all are changed in place.
    known
        Reference rows by version.
    others
        Subjects of the application's other watches.
    asides
        Of subjects, where rows may be put aside: then `subjects` may lack those.
    """
    given = settings_of(watch)
    if given.mature_after is not None or needs_timing(watch):
        assert seen.row is not None
        seen = replace(seen, made=stretch.answers.at[seen.row])
    seen = _arranged(seen, given, watch, stretch, registry, known=known, subjects=subjects)
    return run_watch(
        watch,
        seen,
        subjects,
        references_of(given.segments, known),
        task=registry.applications[watch.application_id].task,
        budget_per_year=budget_per_year,
        time_scale=time_scale,
        now_us=_now(stretch),
        others=others,
        name_of=registry.subject_name,
        asides=asides,
    )


def _now(stretch: Stretch) -> int:
    """How far the record has gone."""
    arrived, received = stretch.answers.at[stretch.arrived], stretch.labels.at[stretch.received]
    return max(int(arrived.max(initial=0)), int(received.max(initial=0)))


def _moved(kept: Kept, clocks: Mapping[int, datetime]) -> Kept:
    """The same with each detector's watch at its new clock, as the next turn will read it."""
    for number, subjects in kept.subjects.items():
        first = next(iter(subjects.values()), None)
        if first is not None and number in clocks:
            # They share one watch.
            moved_on = replace(first.watch, clock=clocks[number])
            for subject in subjects.values():
                subject.watch = moved_on
    return kept


def _seen(
    watch: Watch, extracted: Extracted, covered: Mapping[int, Observations]
) -> Observations | None:
    if not watch.is_watching:
        return None
    if watch.signal == COVERAGE:
        return covered.get(watch.id)
    return observed(extracted, watch.application_id, watch.signal)


def _quiet(watch: Watch, kept: Kept, extracted: Extracted) -> list[WatchState]:
    """An application's pauses: one state for all its versions."""
    state = note_requests(watch, kept.pauses.get(watch.id), extracted)
    if state is None:
        return []
    kept.pauses[watch.id] = state
    return [state]


def saved(
    watch: Watch, kept: Kept, tested: Tested, signals: Sequence[str] = ()
) -> list[WatchState]:
    """The subjects that a watch was fed as they are written, with what is put aside beside them."""
    names = {subject.subject for subject in tested.touched}
    members: dict[str, list[Subject]] = {}
    for one in kept.subjects.get(watch.id, {}).values():
        if one.subject in names:
            members.setdefault(one.subject, []).append(one)
    fresh: dict[str, Aside] = {}
    if may_wait(watch):
        fresh = {name: Aside.beside(some) for name, some in members.items()}
        for name, rows in tested.rest.items():
            if len(rows.values):
                fresh[name].put(signals, rows)
        kept.asides.setdefault(watch.id, {}).update(fresh)
    return to_rows((one for some in members.values() for one in some), fresh)


async def all_kept(
    connection: AsyncConnection,
    memory: Memory,
    by_application: Mapping[int, list[Watch]],
    is_tested: Callable[[Watch, Kept], bool] = lambda _watch, _kept: False,
) -> dict[int, Kept]:
    """Detectors of applications: from memory, and of those that are not there by one reading.

    Parameters
    ----------
    is_tested
        Whether the turn asks for a step of a watch, by what is put aside beside it. Of one that it
        leaves alone, no detector is read.
    """
    found: dict[int, Kept] = {}
    absent: dict[int, Watch] = {}
    for number, watches in by_application.items():
        kept = memory.take(number, watches)
        if kept is None:
            kept = Kept(watches)
            mine = (w for w in watches if w.is_watching and may_wait(w))
            absent |= {watch.id: watch for watch in mine}
        found[number] = kept
    for record in await watch_store.read_asides(connection, list(absent)) if absent else []:
        watch = absent[record.watch_id]
        beside = found[watch.application_id].asides.setdefault(watch.id, {})
        try:
            aside = Aside.from_record(watch, record)
        except Exception as error:
            found[watch.application_id].fail(watch, error)
            continue
        if aside is not None:
            beside[record.subject] = aside
    await read_whole(
        connection,
        found.values(),
        lambda watch, kept: not may_wait(watch) or is_tested(watch, kept),
    )
    return found


async def read_whole(
    connection: AsyncConnection,
    several: Collection[Kept],
    needs: Callable[[Watch, Kept], bool] = lambda _watch, _kept: True,
) -> None:
    """Read the detectors of watches that need them and are not there."""
    absent: dict[int, tuple[Watch, Kept]] = {}
    for kept in several:
        for watch in kept.watches:
            if watch.failed_at is None and watch.id not in kept.subjects and needs(watch, kept):
                absent[watch.id] = watch, kept
                kept.subjects[watch.id] = {}
    for state in await watch_store.read_states(connection, list(absent)) if absent else []:
        watch, kept = absent[state.watch_id]
        if watch.detector == "quiet":
            last = kept.pauses.get(watch.id, state)
            newer = (state.last_observed_at or NEVER) >= (last.last_observed_at or NEVER)
            kept.pauses[watch.id] = state if newer else last
            continue
        if watch.id in kept.failed:
            continue
        try:
            members = from_row(watch, state)
        except Exception as error:
            kept.fail(watch, error)
            continue
        kept.subjects[watch.id] |= {subject.key: subject for subject in members}


NEVER = datetime.min.replace(tzinfo=UTC)
"""Before every moment."""


def references_of(segments: Segments | None, known: Mapping[int, Known]) -> References:
    """Values of signals on the reference rows that were uploaded with versions."""

    def values(signal: str, subject: str) -> np.ndarray | None:
        reference = known.get(version_of(subject))
        return None if reference is None else reference.values(signal, segments, subject)

    return values


def _arranged(
    seen: Observations,
    settings: WatchSettings,
    watch: Watch,
    stretch: Stretch,
    registry: Registry,
    *,
    known: Mapping[int, Known],
    subjects: Mapping[str, Subject],
) -> Observations:
    """Observations divided into segments, with the keys of their units, as the watch asks for."""
    if settings.unit is not None:
        seen = replace(seen, unit=units_of(seen, stretch, settings.unit))
    if settings.segments is None:
        return seen
    edges = settings.segments.edges
    if settings.segments.bins is not None and edges is None:
        versions = (version_of(name) for name in seen.names)
        first = next((known[v] for v in versions if v in known), Known())
        edges = first.edges(settings.segments)
    divided = divide(
        seen, stretch, registry, application=watch.application_id, by=settings.segments, edges=edges
    )
    if settings.segments.hours is not None:
        # There are no more of them than the setting itself says.
        return divided
    taken = {subject.subject for subject in subjects.values()}
    return _limited(divided, settings.segments, segments_allowed(watch), taken)


def _limited(
    seen: Observations, segments: Segments, most: int, taken: Collection[str]
) -> Observations:
    """The first segments of each version; what comes after them is OTHER, which is none of them."""
    rest = f"|{segments.name}={OTHER}"
    count: dict[str, int] = {}
    for name in taken:
        if not name.endswith(rest):
            count[name.partition("|")[0]] = count.get(name.partition("|")[0], 0) + 1
    told = list(seen.names)
    for code in dict.fromkeys(seen.code.tolist()):
        version = told[code].partition("|")[0]
        if told[code] in taken or told[code].endswith(rest):
            continue
        if count.get(version, 0) >= most:
            told[code] = f"{version}{rest}"
        else:
            count[version] = count.get(version, 0) + 1
    distinct = list(dict.fromkeys(told))
    place = np.array([distinct.index(name) for name in told], np.int64)
    return replace(seen, code=place[seen.code], names=tuple(distinct))
