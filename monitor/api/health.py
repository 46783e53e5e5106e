"""How applications do, and how the monitor itself does."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response, status
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import AwareDatetime, BaseModel
from sqlalchemy import text

from monitor import metrics
from monitor.api.automation import AutomationAnswer, answer_for
from monitor.api.context import Reader, StateOf, Transaction, named
from monitor.api.forms import AlertAnswer
from monitor.api.problems import PROBLEMS
from monitor.evaluation.saved_state import from_row
from monitor.records import Json, Registry, Revision, Watch, WatchState
from monitor.signals.base import LOSS
from monitor.store import alarms, alerts, watches
from monitor.store.budgets import read_budgets
from monitor.store.standing import read_standing_of
from monitor.store.summaries import HOUR_S, MINUTE_S, read_summaries
from monitor.watches import budget
from monitor.watches.segment_bounds import merged_note

router = APIRouter(tags=["health"])


class WatchHealth(BaseModel):
    """What one watch says of one subject."""

    watch: str
    signal: str
    tier: str
    subject: str
    versions: str
    status: str
    status_reason: str | None
    note: str | None
    """Of a segment in which others are tested together: which. Of the loss of a version without
    reference rows: where its limit comes from."""
    in_service: bool
    observations: int
    statistic: float
    budget_per_year: float | None
    granted: float
    alarms: int
    mean: dict[str, Any]
    parameters: dict[str, Any]
    signals: dict[str, "SignalHealth"]
    """Of a watch of many signals: each one by name."""


class SignalHealth(BaseModel):
    """What a watch of many signals says of one of them."""

    status: str
    status_reason: str | None
    statistic: float
    observations: int
    alarms: int
    mean: float | None
    unit: str | None


class Health(BaseModel):
    """One look at an application."""

    application: str
    state: str
    """ok, learning, pending, acknowledged or firing: the gravest that holds."""
    revision: int | None
    policy: dict[str, Any] | None
    behind: int
    """Shipments that wait to be read: what is told here does not know of them."""
    automation: AutomationAnswer
    """Whether alarms may change its route by themselves."""
    watches: list[WatchHealth]
    alerts: list[AlertAnswer]


@router.get(
    "/v1/applications/{application}/health", responses=PROBLEMS, summary="How an application does"
)
async def application_health(
    state: StateOf, connection: Transaction, _: Reader, application: str
) -> Health:
    """Each version, each signal, its state and evidence."""
    found, registry = await named(connection, application)
    all_watches = await watches.read_watches(connection, found.id)
    by_id = {w.id: w for w in all_watches}
    own = await read_budgets(connection, found.id)
    yearly = budget.budgets(all_watches, state.settings, own)
    route = registry.routes.get(found.id)
    current = route.current if route else None
    lines = []
    states = await watches.read_states(connection, list(by_id), whole=False)
    states += _unread(all_watches, states, current, registry)
    subjects: dict[int, list[str]] = {number: [] for number in by_id}
    for row in states:
        subjects[row.watch_id].append(row.subject)
    for row in states:
        watch = by_id[row.watch_id]
        parts = [
            registry.versions[int(p)].name
            for p in row.subject.partition("|")[0].split(",")
            if int(p) in registry.versions
        ]
        in_service = current is not None and all(name in current.versions for name in parts)
        lines.append(
            WatchHealth(
                watch=watch.name,
                signal=watch.signal,
                tier=watch.tier.value,
                subject=row.subject,
                versions=registry.subject_name(row.subject),
                status=_status(watch, row) if in_service else "retired",
                status_reason=_reason(watch, row),
                note=merged_note(watch, row.subject, subjects[watch.id])
                or limit_note(watch, row.parameters),
                in_service=in_service,
                observations=row.observations,
                statistic=row.statistic,
                budget_per_year=yearly.get(watch.id),
                granted=row.granted,
                alarms=row.alarms,
                mean=row.summary.get("mean", {}),
                parameters=row.parameters,
                signals=row.summary.get("members", {}),
            )
        )
    opened = await alerts.read_alerts(connection, application_id=found.id, is_open=True)
    standing = await read_standing_of(connection, opened)
    alert_states = {alert.state for alert in opened}
    gravest = next((s for s in ("firing", "acknowledged", "pending") if s in alert_states), None)
    # What informs may learn for days; an application is learning while its errors are not watched.
    learning = not any(line.status == "armed" for line in lines if line.tier != "info")
    return Health(
        application=found.name,
        state=gravest or ("learning" if learning else "ok"),
        revision=current.revision if current else None,
        policy=current.policy if current else None,
        behind=(await connection.execute(_LAG)).scalar_one(),
        automation=await answer_for(connection, found),
        watches=lines,
        alerts=[AlertAnswer.of(a, registry, standing[a.id]) for a in opened],
    )


def _status(watch: Watch, row: WatchState) -> str:
    if not watch.enabled:
        return "disabled"
    return row.status if watch.failed_at is None else "failed"


def _reason(watch: Watch, row: WatchState) -> str | None:
    if not watch.enabled:
        return "It is not enabled."
    if watch.failed_at is None:
        return row.status_reason
    return f"Not watched since {watch.failed_at.isoformat()}: {watch.failure}"


def _unread(
    all_watches: list[Watch], states: list[WatchState], current: Revision | None, registry: Registry
) -> list[WatchState]:
    """Lines of watches that failed before they had any state: one for each version in service."""
    known = {row.watch_id for row in states}
    names = () if current is None else current.versions
    serving = [number for number, one in registry.versions.items() if one.name in names]
    return [
        WatchState(watch.id, str(number), "failed", None, {}, b"")
        for watch in all_watches
        if watch.failed_at is not None and watch.id not in known
        for number in serving
    ]


def limit_note(watch: Watch, parameters: Json) -> str | None:
    """Where the limit of a loss comes from, if not from reference rows or an operator."""
    told = parameters.get("reference")
    if watch.signal != LOSS or told is None or "limit" not in parameters:
        return None
    return f"The limit comes from {told}."


class SeriesPoint(BaseModel):
    """A signal over one stretch of time."""

    at: AwareDatetime
    n: int
    mean: float
    low: float | None
    high: float | None


class Series(BaseModel):
    """A signal of one subject."""

    subject: str
    versions: str
    points: list[SeriesPoint]
    trace: dict[str, list[dict[str, Any]]]
    """By watch: the statistic over the whole life of its detector."""


@router.get(
    "/v1/applications/{application}/signals/{signal}",
    responses=PROBLEMS,
    summary="The series behind a plot",
)
async def signal_series(
    connection: Transaction,
    _: Reader,
    application: str,
    signal: str,
    *,
    start: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    end: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    step: Annotated[
        Literal["point", "minute", "hour"],
        Query(description="Length of a stretch; those of hours are kept for good."),
    ] = "point",
) -> list[Series]:
    """Means with 95 % intervals over stretches of time in [from, to), one series a subject."""
    found, registry = await named(connection, application)
    series: dict[str, Series] = {}
    shown = f1_of if signal.startswith("metric.f1") else plainly
    if step == "point":
        points = await alarms.read_points(connection, found.id, signal, start, end)
    else:
        length = MINUTE_S if step == "minute" else HOUR_S
        points = await read_summaries(
            connection, found.id, signal, step_s=length, start=start, end=end
        )
    for point in points:
        line = series.setdefault(
            point.subject,
            Series(
                subject=point.subject,
                versions=registry.subject_name(point.subject),
                points=[],
                trace={},
            ),
        )
        told = point.sums.interval()
        line.points.append(
            SeriesPoint(
                at=point.at,
                n=point.sums.n,
                mean=shown(told["mean"]) or 0.0,
                low=shown(told["low"]),
                high=shown(told["high"]),
            )
        )
    family = signal.partition(".")[0] + ".*"
    mine = {
        w.id: w
        for w in await watches.read_watches(connection, found.id)
        if w.signal in (signal, family) and w.detector != "quiet" and w.failed_at is None
    }
    for row in await watches.read_states(connection, list(mine)):
        for one in from_row(mine[row.watch_id], row):
            if one.signal == signal and one.subject in series:
                series[one.subject].trace[one.watch.name] = one.trace.plot(one.scale)
    return list(series.values())


def plainly(mean: float | None) -> float | None:
    """A mean as it is."""
    return mean


def f1_of(mean: float | None) -> float | None:
    """F1 from the share of true positives among what is or was called positive."""
    return None if mean is None else 2 * mean / (1 + mean)


class Liveness(BaseModel):
    """The process answers."""

    status: str = "ok"


@router.get("/livez", summary="Is the process alive")
async def livez() -> Liveness:
    """Says nothing about Postgres: restarting the monitor would not bring it back."""
    return Liveness()


class Readiness(BaseModel):
    """Whether the record is being read."""

    status: str
    last_turn_at: AwareDatetime | None
    last_error: str | None
    caught_up: bool


@router.get(
    "/readyz",
    summary="Does the monitor read the record",
    responses={503: {"model": Readiness, "description": "It does not."}},
)
async def readyz(state: StateOf, response: Response) -> Readiness:
    """Ready once a turn succeeded, until one fails."""
    pulse = state.pulse
    ready = pulse.last_turn_at is not None and pulse.last_error is None
    if not ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Readiness(
        status="ok" if ready else "waiting",
        last_turn_at=pulse.last_turn_at,
        last_error=pulse.last_error,
        caught_up=pulse.caught_up,
    )


_LAG = text("""
    SELECT count(*) FROM shipments
     WHERE (xact_id, id) > (
           SELECT CAST(CAST(xact_id AS text) AS xid8), shipment_id FROM monitor_cursors
            ORDER BY xact_id, shipment_id LIMIT 1)
""")


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
async def show_metrics(state: StateOf) -> Response:
    """All metrics in Prometheus' text format. What the record says was read a moment ago."""
    record = await state.figures.newest(state.engine, state.settings)
    return Response(generate_latest(metrics.PROCESS) + record, media_type=CONTENT_TYPE_LATEST)
