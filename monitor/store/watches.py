"""Watches and the states of their detectors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    Integer,
    LargeBinary,
    Row,
    any_,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.errors import NotFoundError
from monitor.records import Json, Watch, WatchAside, WatchState
from monitor.schema import WatchRow, WatchStateRow
from monitor.settings import Mode, Tier
from monitor.store import ledger
from monitor.watches.changes import RESTARTS
from monitor.watches.failure import Failure
from monitor.watches.watch import DEFAULT_WATCHES, WatchForm, default_mode


async def add_default_watches(
    connection: AsyncConnection, applications: Collection[int], mode: Mode
) -> None:
    """Make the watches that every application has, for those that lack any of them."""
    names = [form.name for form in DEFAULT_WATCHES]
    found = await connection.execute(
        select(WatchRow.application_id)
        .where(WatchRow.name.in_(names))
        .group_by(WatchRow.application_id)
        .having(func.count() == len(names))
    )
    lacking = sorted(set(applications) - set(found.scalars()))
    if lacking:
        forms = [_values(form, default_mode(form, mode), "default") for form in DEFAULT_WATCHES]
        await connection.execute(
            _ADD_DEFAULTS, {"applications": lacking, "forms": msgspec.json.encode(forms).decode()}
        )


# One statement however many applications there are: thousands may come at a first start.
_ADD_DEFAULTS = text("""
    INSERT INTO watches (application_id, name, signal, detector, tier, settings, remedy, rule,
                         mode, origin)
    SELECT a.id, f.name, f.signal, f.detector, f.tier, f.settings, f.remedy,
           nullif(f.rule, 'null'), f.mode, f.origin
      FROM unnest(CAST(:applications AS int[])) WITH ORDINALITY AS a (id, place),
           ROWS FROM (jsonb_to_recordset(CAST(:forms AS jsonb)) AS
               (name text, signal text, detector text, tier text, settings jsonb, remedy text,
                rule jsonb, mode text, origin text)) WITH ORDINALITY AS f
               (name, signal, detector, tier, settings, remedy, rule, mode, origin, place)
  ORDER BY a.place, f.place
        ON CONFLICT DO NOTHING
""")


async def add_watch(
    connection: AsyncConnection, application_id: int, form: WatchForm, mode: Mode
) -> Watch | None:
    """Make an operator's watch; none where its name is taken."""
    row = (
        await connection.execute(
            insert(WatchRow)
            .values(application_id=application_id, **_values(form, mode, "operator"))
            .on_conflict_do_nothing()
            .returning(*WatchRow.__table__.c)
        )
    ).one_or_none()
    return None if row is None else _watch(row)


def _values(form: WatchForm, mode: Mode, origin: str) -> Json:
    return {
        "name": form.name,
        "signal": form.signal,
        "detector": form.detector,
        "tier": form.tier.value,
        "settings": form.settings,
        "remedy": form.remedy,
        "rule": form.rule,
        "mode": mode.value,
        "origin": origin,
    }


async def read_watches(
    connection: AsyncConnection, application_id: int | None = None
) -> list[Watch]:
    """Watches of one application, or all, in order of number."""
    query = select(*WatchRow.__table__.c).order_by(WatchRow.id)
    if application_id is not None:
        query = query.where(WatchRow.application_id == application_id)
    return [_watch(row) for row in await connection.execute(query)]


async def read_watches_of(
    connection: AsyncConnection, applications: Collection[int]
) -> list[Watch]:
    """Watches of some applications, in order of number, for a turn that will save their states.

    They are locked: who changes one meanwhile waits for the turn, or the turn for the change. Else
    the turn could save a detector that the change has just dropped.
    """
    found = await connection.execute(_WATCHES_OF, {"applications": list(applications)})
    return [_watch(row) for row in found]


_WATCHES_OF = (
    select(*WatchRow.__table__.c)
    .where(WatchRow.application_id == any_(bindparam("applications", type_=ARRAY(Integer))))
    .order_by(WatchRow.id)
    .with_for_update(key_share=True)
)


async def lock_watches(connection: AsyncConnection, application_id: int) -> list[Watch]:
    """Watches of one application, to be changed: no turn saves their states meanwhile."""
    return await read_watches_of(connection, [application_id])


async def read_watch(connection: AsyncConnection, watch_id: int, *, lock: bool = False) -> Watch:
    """One watch.

    Parameters
    ----------
    lock
        To change it: no turn saves its states, and nobody else changes it, meanwhile.
    """
    query = select(*WatchRow.__table__.c).where(WatchRow.id == watch_id)
    if lock:
        query = query.with_for_update(key_share=True)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError("watch", watch_id)
    return _watch(row)


async def change_watch(connection: AsyncConnection, watch_id: int, changes: Json) -> Watch:
    """Change some columns. Where they make other tests of it, its detectors begin anew; so do those
    of a watch that has failed, unless it is switched off."""
    failed = (await read_watch(connection, watch_id)).failed_at is not None
    if changes.keys() & RESTARTS or (failed and changes.get("enabled", True)):
        await begin_anew(connection, watch_id)
    if changes:
        await connection.execute(update(WatchRow).where(WatchRow.id == watch_id).values(**changes))
    return await read_watch(connection, watch_id)


async def begin_anew(connection: AsyncConnection, watch_id: int) -> None:
    """Drop a watch's detectors, and that it failed; what they were granted stays in the ledger."""
    await ledger.close(connection, watch_id)
    unfailed = {"failed_at": None, "failure": None}
    await connection.execute(update(WatchRow).where(WatchRow.id == watch_id).values(**unfailed))
    await connection.execute(delete(WatchStateRow).where(WatchStateRow.watch_id == watch_id))


async def delete_watch(connection: AsyncConnection, watch_id: int) -> None:
    """Remove an operator's watch; its alarms stay, and what it was granted."""
    await begin_anew(connection, watch_id)
    await connection.execute(delete(WatchRow).where(WatchRow.id == watch_id))


async def move_clocks(connection: AsyncConnection, clocks: Mapping[int, datetime]) -> None:
    """Save up to when the budgets of watches have been granted."""
    if clocks:
        moved = {"watches": list(clocks), "clocks": list(clocks.values())}
        await connection.execute(_MOVE_CLOCKS, moved)


_MOVE_CLOCKS = text("""
    UPDATE watches w SET clock_at = moved.clock_at
      FROM unnest(CAST(:watches AS int[]), CAST(:clocks AS timestamptz[])) AS moved (id, clock_at)
     WHERE w.id = moved.id
""")


async def mark_failed(connection: AsyncConnection, failures: Collection[Failure]) -> None:
    """Say of watches that they no longer watch; their states stay as they are."""
    if failures:
        columns = {name: [getattr(one, name) for one in failures] for name in ("at", "said")}
        watches = [one.watch.id for one in failures]
        await connection.execute(_MARK_FAILED, {"watches": watches, **columns})


_MARK_FAILED = text("""
    UPDATE watches w SET failed_at = failed.at, failure = failed.said
      FROM unnest(CAST(:watches AS int[]), CAST(:at AS timestamptz[]), CAST(:said AS text[]))
        AS failed (id, at, said)
     WHERE w.id = failed.id
""")


async def read_states(
    connection: AsyncConnection, watch_ids: Sequence[int], *, whole: bool = True
) -> list[WatchState]:
    """States of all detectors of some watches; without what only a detector needs if not whole."""
    columns = [
        one if whole or one.name != "state" else literal(b"", LargeBinary).label("state")
        for one in WatchStateRow.__table__.c
    ]
    found = await connection.execute(
        select(*columns)
        .where(
            WatchStateRow.watch_id
            == any_(bindparam("watches", list(watch_ids), type_=ARRAY(Integer)))
        )
        .order_by(WatchStateRow.watch_id, WatchStateRow.subject)
    )
    return [
        WatchState(
            row.watch_id,
            row.subject,
            row.status,
            row.status_reason,
            row.parameters,
            row.state,
            row.observations,
            row.granted,
            row.alarms,
            row.statistic,
            row.last_observed_at,
            row.started_at,
            row.summary,
            row.room,
            row.aside,
        )
        for row in found
    ]


async def read_asides(connection: AsyncConnection, watch_ids: Sequence[int]) -> list[WatchAside]:
    """What is put aside beside the states of some watches."""
    found = await connection.execute(_ASIDES, {"watches": list(watch_ids)})
    return [WatchAside(*row) for row in found]


_ASIDES = text("""
    SELECT watch_id, subject, room, aside, observations, granted, last_observed_at
      FROM watch_states WHERE watch_id = ANY(CAST(:watches AS int[]))
""")


async def save_asides(connection: AsyncConnection, asides: Sequence[WatchAside]) -> None:
    """Write what is put aside, and leave the states themselves alone."""
    if not asides:
        return
    names = [one.name for one in fields(WatchAside)]
    columns = {name: [getattr(one, name) for one in asides] for name in names}
    await connection.execute(_SAVE_ASIDES, columns)


# Postgres carries a column that is not named over as it is, however large.
_SAVE_ASIDES = text("""
    UPDATE watch_states s
       SET room = a.room, aside = a.aside, observations = a.observations, granted = a.granted,
           last_observed_at = a.last_observed_at, updated_at = now()
      FROM unnest(CAST(:watch_id AS int[]), CAST(:subject AS text[]), CAST(:room AS int[]),
                  CAST(:aside AS bytea[]), CAST(:observations AS bigint[]),
                  CAST(:granted AS float8[]), CAST(:last_observed_at AS timestamptz[]))
        AS a (watch_id, subject, room, aside, observations, granted, last_observed_at)
     WHERE s.watch_id = a.watch_id AND s.subject = a.subject
""")


async def save_states(connection: AsyncConnection, states: Sequence[WatchState]) -> None:
    """Write the states of detectors."""
    if not states:
        return
    # Of one that was told twice the last holds.
    last = {(state.watch_id, state.subject): state for state in states}.values()
    columns = {name: [getattr(state, name) for state in last] for name in _STATE}
    for name in ("parameters", "summary"):
        columns[name] = [_json.encode(one).decode() for one in columns[name]]
    await connection.execute(_SAVE_STATES, columns)


_json = msgspec.json.Encoder()
_STATE = {
    "watch_id": "int",
    "subject": "text",
    "status": "text",
    "status_reason": "text",
    "parameters": "jsonb",
    "state": "bytea",
    "observations": "bigint",
    "granted": "float8",
    "alarms": "int",
    "statistic": "float8",
    "last_observed_at": "timestamptz",
    "started_at": "timestamptz",
    "summary": "jsonb",
    "room": "int",
    "aside": "bytea",
}
"""Columns of a state with their types."""
# One statement however many states there are.
_SAVE_STATES = text(f"""
    INSERT INTO watch_states ({", ".join(_STATE)})
    SELECT {
    ", ".join(f"{name}::jsonb" if kind == "jsonb" else name for name, kind in _STATE.items())
}
      FROM unnest({
    ", ".join(
        f"CAST(:{name} AS {'text' if kind == 'jsonb' else kind}[])" for name, kind in _STATE.items()
    )
}) AS s ({", ".join(_STATE)})
        ON CONFLICT (watch_id, subject) DO UPDATE
       SET {", ".join(f"{name} = excluded.{name}" for name in list(_STATE)[2:])},
           updated_at = now()
""")


# A turn reads some hundred watches, and calling an enumeration takes longer than all else of one.
_TIERS, _MODES = {one.value: one for one in Tier}, {one.value: one for one in Mode}


def _watch(row: Row[Any]) -> Watch:
    return Watch(
        row.id,
        row.application_id,
        row.name,
        row.signal,
        row.detector,
        _TIERS[row.tier],
        row.settings,
        row.remedy,
        _MODES[row.mode],
        row.origin,
        row.enabled,
        row.clock_at,
        row.rule,
        row.failed_at,
        row.failure,
    )
