"""How every application stands, in a handful of statements however many there are."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.evidence import Sums
from monitor.records import Json

STATES = ("firing", "pending", "acknowledged", "learning", "ok", "idle")
"""Worst first."""
CALLING = ("firing", "pending", "acknowledged")
"""States of an application with an open alert."""
TIERS = ("rollback", "page", "info")
"""Gravest first."""
HOURS = 24
"""Hours that are told, up to the last one in which there was anything."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one application stands."""

    name: str
    task: str
    state: str
    tier: str | None
    version: str | None
    policy: Json | None
    seen_at: datetime | None
    hours: tuple[int, ...]
    loss: Sums
    reference: float | None
    alerts: dict[str, int] = field(default_factory=dict)
    proposed: int = 0
    change: Json | None = None
    worst: Json | None = None
    """Number and title of the gravest open alert."""


def order(standings: Iterable[Standing]) -> list[Standing]:
    """Worst first: by state, by the gravest tier, by the number of alerts, then by name.

    What fires only to inform comes after everything that people were called for.
    """

    def key(one: Standing) -> tuple[bool, int, int, int, str]:
        tier = TIERS.index(one.tier) if one.tier in TIERS else len(TIERS)
        calls = one.state in CALLING and one.tier != "info"
        return not calls, STATES.index(one.state), tier, -sum(one.alerts.values()), one.name

    return sorted(standings, key=key)


def state_of(opened: Iterable[str], *, learning: bool, idle: bool) -> str:
    """The gravest state that holds."""
    states = set(opened)
    for state in ("firing", "pending", "acknowledged"):
        if state in states:
            return state
    if idle:
        return "idle"
    return "learning" if learning else "ok"


_APPLICATIONS = text("""
    SELECT a.id, a.name, a.task, r.revision, r.kind, r.policy, r.created_at, r.actor, r.reason
      FROM applications a
      LEFT JOIN LATERAL (SELECT * FROM revisions r WHERE r.application_id = a.id
                          ORDER BY r.revision DESC LIMIT 1) r ON true
     WHERE a.deleted_at IS NULL
""")
_VERSIONS = text("""
    SELECT v.id, m.name || ':' || v.version AS name
      FROM versions v JOIN models m ON m.id = v.model_id
""")
_TRAFFIC = text("""
      WITH known AS MATERIALIZED (
           SELECT id AS application_id, signal, max(at) AS last
             FROM applications a
             CROSS JOIN (VALUES ('service.default'), ('loss')) AS w (signal)
             CROSS JOIN LATERAL (
                  SELECT s.at FROM signal_summaries s
                   WHERE s.application_id = a.id AND s.signal = w.signal AND s.step_s = 3600) s
            WHERE a.deleted_at IS NULL
            GROUP BY 1, 2)
    SELECT s.application_id, s.signal, s.subject, s.at, k.last, s.n, s.total, s.squares
      FROM known k
      JOIN signal_summaries s
        ON s.application_id = k.application_id AND s.signal = k.signal AND s.step_s = 3600
       AND s.at > k.last - make_interval(hours => :hours)
""")
_ALERTS = text("""
    SELECT application_id, state, tier, count(*) AS n FROM alerts
     WHERE state <> 'resolved' GROUP BY 1, 2, 3
""")
_WORST = text("""
    SELECT DISTINCT ON (application_id) application_id, id, title FROM alerts
     WHERE state <> 'resolved'
     ORDER BY application_id, array_position(ARRAY['rollback', 'page', 'info'], tier),
              array_position(ARRAY['firing', 'pending', 'acknowledged'], state), opened_at DESC
""")
_PROPOSED = text("""
    SELECT application_id, count(*) AS n FROM remedies WHERE state = 'proposed' GROUP BY 1
""")
_WATCHED = text("""
    SELECT w.application_id, s.subject, w.signal, w.tier, s.status, s.parameters
      FROM watch_states s JOIN watches w ON w.id = s.watch_id
     WHERE w.enabled AND w.tier <> 'info' AND s.status <> 'retired'
""")


async def standings(connection: AsyncConnection) -> list[Standing]:
    """How each application stands, in no order."""
    names = {row.name: str(row.id) for row in await connection.execute(_VERSIONS)}
    traffic: dict[int, list[int]] = defaultdict(lambda: [0] * HOURS)
    seen: dict[int, datetime] = {}
    losses: dict[tuple[int, str], Sums] = defaultdict(Sums)
    for row in await connection.execute(_TRAFFIC, {"hours": HOURS}):
        if row.signal == "loss":
            key = row.application_id, row.subject
            losses[key] = losses[key].plus(Sums(int(row.n), row.total, row.squares))
        else:
            place = HOURS - 1 - int((row.last - row.at) / timedelta(hours=1))
            traffic[row.application_id][place] += int(row.n)
            seen[row.application_id] = row.last
    alerts: dict[int, list[Any]] = defaultdict(list)
    for row in await connection.execute(_ALERTS):
        alerts[row.application_id].append(row)
    worst = {r.application_id: r for r in await connection.execute(_WORST)}
    proposed = {r.application_id: int(r.n) for r in await connection.execute(_PROPOSED)}
    armed: set[tuple[int, str]] = set()
    limits: dict[tuple[int, str], float] = {}
    for row in await connection.execute(_WATCHED):
        key = row.application_id, row.subject
        if row.status == "armed":
            armed.add(key)
            if row.signal == "loss" and row.parameters.get("reference_mean") is not None:
                limits[key] = float(row.parameters["reference_mean"])
    found = []
    for row in await connection.execute(_APPLICATIONS):
        mine = alerts[row.id]
        champion = _champion(row.policy)
        subject = names.get(champion or "", "")
        by_tier: dict[str, int] = defaultdict(int)
        for one in mine:
            by_tier[one.tier] += one.n
        found.append(
            Standing(
                name=row.name,
                task=row.task,
                state=state_of(
                    (one.state for one in mine),
                    learning=(row.id, subject) not in armed,
                    idle=row.revision is None or row.id not in seen,
                ),
                tier=next((tier for tier in TIERS if tier in by_tier), None),
                version=champion,
                policy=row.policy,
                seen_at=seen.get(row.id),
                hours=tuple(traffic[row.id]),
                loss=losses[row.id, subject],
                reference=limits.get((row.id, subject)),
                alerts=dict(by_tier),
                proposed=proposed.get(row.id, 0),
                worst={"id": worst[row.id].id, "title": worst[row.id].title}
                if row.id in worst
                else None,
                change=None
                if row.revision is None
                else {
                    "revision": row.revision,
                    "kind": row.kind,
                    "at": row.created_at,
                    "actor": row.actor,
                    "reason": row.reason,
                },
            )
        )
    return found


def _champion(policy: Json | None) -> str | None:
    champion = None if policy is None else policy.get("champion")
    return champion if isinstance(champion, str) else None
