"""Was a route changed everywhere? Asked of serving, and read from the record."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.errors import ServingError
from monitor.records import Json, Remedy
from monitor.serving_client import ServingClient

GRACE = timedelta(seconds=1)
"""A process may hear of a change so much later than the one that made it."""
SILENT = timedelta(minutes=10)
"""A process that was not heard of for so long is taken to be gone."""
LOOK_BACK = timedelta(minutes=5)
"""Answers so long before the change are looked at for the last one by the route before."""

_ANSWERS = text("""
    SELECT count(*) FILTER (WHERE revision >= :revision) AS by_new,
           count(*) FILTER (WHERE revision < :revision AND predicted_at > :until) AS by_old,
           max(predicted_at) FILTER (WHERE revision < :revision) AS last_by_old,
           (SELECT created_at FROM revisions WHERE application_id = :application
               AND revision = :revision) AS made_at
      FROM predictions
     WHERE application_id = :application AND predicted_at BETWEEN :low AND :high
       AND flags & 4 = 0
""")


async def check_route(
    engine: AsyncEngine, client: ServingClient, remedy: Remedy, application: str, now: datetime
) -> Json:
    """Whether serving answers by a remedy's revision or a later one, as far as can be seen.

    Two witnesses: the route over REST, with what each serving process says that it answers by; and
    the record, where no answer may stand that was given by an earlier revision more than `GRACE`
    after the change. Answers that have not been shipped yet are not seen. A process that has fallen
    silent cannot be asked: for `SILENT` it is taken to go on by what it last said.
    """
    assert remedy.to_revision is not None
    assert remedy.acted_at is not None
    async with engine.begin() as connection:
        row = (
            await connection.execute(
                _ANSWERS,
                {
                    "application": remedy.application_id,
                    "revision": remedy.to_revision,
                    "until": remedy.acted_at + GRACE,
                    "low": remedy.acted_at - LOOK_BACK,
                    "high": now,
                },
            )
        ).one()
    shown: int | None = None
    said: str | None = None
    processes: list[Json] = []
    try:
        route = await client.route_of(application)
        shown = route["revision"]
        processes = [_process(one, remedy.to_revision, now) for one in route.get("processes", ())]
        said = "; ".join(one["says"] for one in processes if not one["in_force"]) or None
    except ServingError as error:
        said = f"serving does not show its route: {error}"
    if shown is not None and shown < remedy.to_revision:
        said = f"serving shows revision {shown}, not {remedy.to_revision}"
    if row.by_old:
        said = (
            f"{row.by_old} answers were given by an earlier revision up to "
            f"{(row.last_by_old - remedy.acted_at).total_seconds():.1f} s after the change"
        )
    return {
        "everywhere": said is None,
        "reason": said or _in_force(row.by_new, processes),
        "checked_at": now.isoformat(),
        "revision_over_rest": shown,
        "processes": processes,
        "answers_by_new": row.by_new,
        "answers_by_old": row.by_old,
        "seconds_to_last_by_old": _seconds_to_last(row),
    }


def _process(shown: Json, wanted: int, now: datetime) -> Json:
    """What one serving process says, and whether that is the remedy's revision or a later one."""
    name, revision = shown["name"], shown["revision"]
    heard = datetime.fromisoformat(shown["heartbeat_at"])
    behind = revision is not None and revision < wanted
    if shown["living"]:
        in_force = not behind
        # One that has no route yet answers by none.
        says = f"process {name} answers by {'none yet' if revision is None else revision}"
    else:
        in_force = not behind or now - heard > SILENT
        said = "nothing" if revision is None else f"revision {revision}"
        since = f"{heard.astimezone(UTC):%H:%M:%S} UTC"
        says = f"process {name}, not heard of since {since}, last answered by {said}"
    return {
        "name": name,
        "living": shown["living"],
        "revision": revision,
        "heartbeat_at": shown["heartbeat_at"],
        "in_force": in_force,
        "says": says,
    }


def _in_force(answers: int, processes: list[Json]) -> str:
    living = sum(one["living"] for one in processes)
    asked = f"; {living} living processes answer by it" if processes else ""
    return f"{answers} answers since, none by an earlier revision{asked}"


def _seconds_to_last(row: Row[Any]) -> float | None:
    """From the writing of the revision to the last answer by an earlier one."""
    if row.last_by_old is None or row.made_at is None:
        return None
    return max(0.0, float((row.last_by_old - row.made_at).total_seconds()))
