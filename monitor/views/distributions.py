"""What comes in now beside the reference: histograms, and which feature moved furthest."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.records import InputSchema
from monitor.store.registry import Reference

Floats = NDArray[np.float64]

ROWS = 2000
"""Newest rows that stand for now, and rows of the reference that are compared."""
FIRST = 500
"""Scores of a version's first answers that stand for the reference, as the watch takes them."""
BINS = 24
CATEGORIES = 12
"""Most frequent ones that are told; the rest is one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One feature now and then."""

    name: str
    kind: str
    """number or category."""
    edges: list[float] | None
    labels: list[str] | None
    now: list[float]
    """Shares by bin or category."""
    then: list[float]
    missing_now: float
    missing_then: float
    distance: float | None
    """Of numbers the Kolmogorov-Smirnov distance, of categories the total variation; in [0, 1].
    None where one of the two holds no value."""


def compare(name: str, now: Sequence[Any], then: Sequence[Any]) -> Comparison:
    """Two samples of one feature; None and NaN are missing values. Either may be empty."""
    known_now, known_then = _known(now), _known(then)
    gone = [
        1 - len(known) / len(given) if given else 0.0
        for known, given in ((known_now, now), (known_then, then))
    ]
    every = [*known_now, *known_then]
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in every) and every:
        a, b = np.array(known_now, float), np.array(known_then, float)
        pooled = np.concatenate([a, b])
        low, high = np.quantile(pooled, [0.005, 0.995])
        # What is always the same has one bin of no width: its one value is told, not a stretch.
        edges = np.linspace(low, high, BINS + 1 if high > low else 2)
        return Comparison(
            name, "number", edges.tolist(), None,
            _shares(a, edges), _shares(b, edges), gone[0], gone[1], ks_distance(a, b),
        )  # fmt: skip
    ours, theirs = Counter(map(str, known_now)), Counter(map(str, known_then))
    names = [one for one, _ in (ours + theirs).most_common()]
    a = np.array([ours[one] for one in names], float) / max(sum(ours.values()), 1)
    b = np.array([theirs[one] for one in names], float) / max(sum(theirs.values()), 1)
    distance = float(np.abs(a - b).sum() / 2) if known_now and known_then else None
    labels, shares, before = names[:CATEGORIES], a.tolist(), b.tolist()
    if len(names) > CATEGORIES:
        labels = [*labels, "others"]
        shares = [*shares[:CATEGORIES], sum(shares[CATEGORIES:])]
        before = [*before[:CATEGORIES], sum(before[CATEGORIES:])]
    return Comparison(name, "category", None, labels, shares, before, gone[0], gone[1], distance)


def ks_distance(a: Floats, b: Floats) -> float | None:
    """Largest gap between the two empirical distributions; none where a sample is empty."""
    if not len(a) or not len(b):
        return None
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    gaps = np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)
    return float(np.abs(gaps).max())


def _known(values: Sequence[Any]) -> list[Any]:
    # NaN is the one value that differs from itself.
    return [one for one in values if one is not None and one == one]  # noqa: PLR0124


def _shares(values: Floats, edges: Floats) -> list[float]:
    if not len(values):
        return [0.0] * (len(edges) - 1)
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return [round(float(one), 5) for one in counts / len(values)]


# The record has no index by application: the hours in which a version answered bound what is read
# of it, so that a version that has been still for a week costs no walk through all of the others'
# rows.
_HOURS = text("""
    SELECT at, n FROM signal_summaries
     WHERE application_id = :application AND step_s = 3600 AND signal = 'service.default'
       AND subject = :subject
     ORDER BY at DESC
""")
_NEWEST = """
    SELECT p.input, p.output, p.scores, r.input_schema_id
      FROM predictions p
      JOIN revisions r ON r.application_id = p.application_id AND r.revision = p.revision
     WHERE p.application_id = :application AND p.version_id = :version AND p.flags & 1 = 0
       AND p.predicted_at >= :start AND p.predicted_at < :end
     ORDER BY p.predicted_at {order} LIMIT :limit
"""
_ROWS = {order: text(_NEWEST.format(order=order)) for order in ("ASC", "DESC")}


async def read_hours(
    connection: AsyncConnection, application: int, version: int
) -> list[tuple[datetime, int]]:
    """The hours in which a version answered and how often, the newest first."""
    found = await connection.execute(_HOURS, {"application": application, "subject": str(version)})
    return [(row.at, int(row.n)) for row in found]


def stretch(hours: Sequence[tuple[datetime, int]], rows: int) -> tuple[datetime, datetime]:
    """As many hours, from the first named on, as hold that many rows: from when to when."""
    taken, told = 1, hours[0][1]
    while told < rows and taken < len(hours):
        told += hours[taken][1]
        taken += 1
    ends = [at for at, _ in hours[:taken]]
    return min(ends), max(ends) + timedelta(hours=1)


async def read_first_scores(
    connection: AsyncConnection,
    application: int,
    version: int,
    hours: Sequence[tuple[datetime, int]],
) -> list[Any]:
    """Scores of a version's first answers: none are uploaded, so the watch learns from these."""
    start, end = stretch(hours[::-1], FIRST)
    found = await connection.execute(
        _ROWS["ASC"],
        {
            "application": application,
            "version": version,
            "limit": FIRST,
            "start": start,
            "end": end,
        },
    )
    return [_score(row.scores) for row in found if row.scores]


async def read_newest(
    connection: AsyncConnection,
    application: int,
    version: int,
    schema: InputSchema,
    hours: Sequence[tuple[datetime, int]],
) -> dict[str, list[Any]]:
    """The newest inputs, answers and scores of a version, by name."""
    start, end = stretch(hours, ROWS)
    found = await connection.execute(
        _ROWS["DESC"],
        {
            "application": application,
            "version": version,
            "limit": ROWS,
            "start": start,
            "end": end,
        },
    )
    rows = [row for row in found if row.input_schema_id == schema.id]
    names = [feature.name for feature in schema.features]
    if schema.encoding == "float64":
        inputs = [np.frombuffer(row.input, "<f8").tolist() for row in rows]
    else:
        inputs = [json.loads(row.input) for row in rows]
    columns: dict[str, list[Any]] = {
        name: [row[place] for row in inputs] for place, name in enumerate(names)
    }
    columns[" output"] = [None if r.output is None else json.loads(r.output) for r in rows]
    columns[" score"] = [None if not r.scores else _score(r.scores) for r in rows]
    return columns


def _score(block: bytes) -> float:
    scores = np.frombuffer(block, "<f8")
    return float(scores[-1] if len(scores) <= 2 else scores.max())


def compare_all(
    now: dict[str, list[Any]], reference: Reference | None, first_scores: Sequence[Any] = ()
) -> list[Comparison]:
    """Every feature, the one that moved furthest first; then the output and the score."""
    then: dict[str, list[Any]] = {" score": list(first_scores)}
    if reference is not None:
        rows = reference.inputs[-ROWS:]
        then |= {n: [row[place] for row in rows] for place, n in enumerate(reference.features)}
        then[" output"] = (reference.outputs or [])[-ROWS:]
    made = [
        compare(name, values, then.get(name, []))
        for name, values in now.items()
        if values or then.get(name)
    ]
    return sorted(made, key=lambda one: (one.name.startswith(" "), -(one.distance or 0), one.name))
