"""The lines of an application's plots, and the evidence of its watches over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.api.context import Reader, StateOf, Transaction, named
from monitor.api.problems import PROBLEMS
from monitor.errors import InvalidRequestError
from monitor.evaluation.saved_state import from_row
from monitor.evaluation.subjects import LOSSES
from monitor.records import Registry
from monitor.settings import Settings
from monitor.store import watches
from monitor.views.series import MOST_POINTS, Line, plain, read_lines, read_span, reference_of

router = APIRouter(prefix="/v1/applications/{application}", tags=["series"], responses=PROBLEMS)

MOST_SIGNALS = 20
"""Signals of one request."""

From = Annotated[AwareDatetime | None, Query(alias="from")]
To = Annotated[AwareDatetime | None, Query(alias="to")]
Points = Annotated[int, Query(ge=10, le=MOST_POINTS)]
Last = Annotated[
    float | None, Query(gt=0, le=4e9, description="Seconds before the end, where no from is given.")
]
Signals = Annotated[list[str], Query(alias="signal", min_length=1, max_length=MOST_SIGNALS)]


class PlotLine(BaseModel):
    """One subject; lists of equal length."""

    subject: str
    versions: str
    segment: str | None
    at: list[int]
    n: list[int]
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]
    reference: float | None
    limit: float | None
    """Beyond it the version's watch of this signal alarms."""


class Plot(BaseModel):
    """A signal over a stretch of time."""

    signal: str
    start: datetime | None
    end: datetime | None
    first_at: datetime | None
    """Since when there is anything."""
    step_s: int | None
    lines: list[PlotLine]


@router.get("/plots", summary="Signals in as many points as a plot has room for")
async def plots(
    state: StateOf,
    connection: Transaction,
    _: Reader,
    application: str,
    signals: Signals,
    *,
    start: From = None,
    end: To = None,
    last: Last = None,
    points: Points = 400,
) -> list[Plot]:
    """Several signals over the same time, one plot each, in the order asked for.

    They share their time, so that what is drawn beside each other is. Without from, to and last
    it is all that there is.
    """
    when = None if last is None else timedelta(seconds=last)
    wish = _Wish(tuple(dict.fromkeys(signals)), start, end, when, points)
    return await _plots(connection, state.settings, application, wish)


@router.get("/plots/{signal}", summary="A signal in as many points as a plot has room for")
async def plot(
    state: StateOf,
    connection: Transaction,
    _: Reader,
    application: str,
    signal: str,
    *,
    start: From = None,
    end: To = None,
    points: Points = 400,
) -> Plot:
    """Means with 95 % intervals in [from, to), made from sums over minutes or hours.

    Without from and to it is all that there is.
    """
    wish = _Wish((signal,), start, end, None, points)
    return (await _plots(connection, state.settings, application, wish))[0]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be drawn."""

    signals: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    last: timedelta | None
    points: int


async def _plots(
    connection: AsyncConnection, settings: Settings, name: str, wish: _Wish
) -> list[Plot]:
    application, registry = await named(connection, name)
    finest = max(round(settings.series_step.total_seconds()), 1)
    span = await read_span(connection, application.id, finest)
    if span is None:
        return [
            Plot(signal=one, start=None, end=None, first_at=None, step_s=None, lines=[])
            for one in wish.signals
        ]
    end = wish.end or max(span[1], wish.start or span[1])
    start = wish.start or (span[0] if wish.last is None else max(end - wish.last, span[0]))
    if start > end:
        raise InvalidRequestError("/query/from", f"a moment before {end}", str(start))
    found = await read_lines(
        connection, application.id, wish.signals, start, end, points=wish.points, finest_s=finest
    )
    limits = await _limits(connection, application.id, wish.signals)
    return [
        Plot(
            signal=signal,
            start=start,
            end=end,
            first_at=span[0],
            step_s=step_s,
            lines=[
                _line(line, registry, limits.get((signal, line.subject), (None, None)))
                for line in lines
            ],
        )
        for signal, (step_s, lines) in found.items()
    ]


async def _limits(
    connection: AsyncConnection, application: int, signals: Sequence[str]
) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """Mean of the reference and limit, by signal and subject."""
    mine = {
        w.id: w.signal
        for w in await watches.read_watches(connection, application)
        if w.signal in signals and w.is_watching
    }
    limits: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    for row in await watches.read_states(connection, list(mine), whole=False):
        told = reference_of(row.parameters)
        if told != (None, None):
            limits.setdefault((mine[row.watch_id], row.subject), told)
    return limits


def _line(line: Line, registry: Registry, levels: tuple[float | None, float | None]) -> PlotLine:
    versions, _bar, segment = line.subject.partition("|")
    return PlotLine(
        subject=line.subject,
        versions=registry.subject_name(versions),
        segment=segment or None,
        at=line.at.tolist(),
        n=line.n.tolist(),
        mean=plain(line.mean),
        low=plain(line.low),
        high=plain(line.high),
        reference=levels[0],
        limit=levels[1],
    )


class Evidence(BaseModel):
    """The statistic of one watch about one subject; lists of equal length."""

    watch: str
    signal: str
    subject: str
    versions: str
    at: list[float]
    """Seconds since 1970."""
    statistic: list[float | None]
    """Relative to the threshold: it alarms at 1."""


@router.get("/evidence", summary="The evidence of the watches over time")
async def evidence(
    connection: Transaction,
    _: Reader,
    application: str,
    signals: Annotated[
        list[str] | None,
        Query(alias="signal", max_length=MOST_SIGNALS, description="Without any: of the loss."),
    ] = None,
) -> list[Evidence]:
    """What each watch of some signals gathered over its whole life, where it gathered any."""
    found, registry = await named(connection, application)
    wanted = tuple(signals or LOSSES)
    families = {f"{signal.partition('.')[0]}.*" for signal in wanted}
    mine = {
        w.id: w
        for w in await watches.read_watches(connection, found.id)
        if (w.signal in wanted or w.signal in families) and w.detector != "quiet"
    }
    made = []
    for row in await watches.read_states(connection, list(mine)):
        for one in from_row(mine[row.watch_id], row):
            points = one.trace.points
            if one.signal not in wanted or not points:
                continue
            made.append(
                Evidence(
                    watch=one.watch.name,
                    signal=one.signal,
                    subject=one.subject,
                    versions=registry.subject_name(one.subject),
                    at=[at / 1e6 for _step, at, *_rest in points],
                    statistic=[statistic for _s, _at, statistic, *_rest in points],
                )
            )
    return sorted(made, key=lambda one: (wanted.index(one.signal), one.subject, one.watch))
