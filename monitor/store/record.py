"""Reads the record in commit order.

A shipment's number is drawn when its transaction begins to write but shows at commit: a reader that
goes by number alone steps over one that commits late. So it goes by writing transaction, and only
below the oldest one that is still open.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.feed.columns import Answers, Ids, Labels, id_at, ids_of
from monitor.feed.join import SKEW
from monitor.moments import from_micros
from monitor.records import Position
from monitor.store.copy_rows import Layout, copy_out


@dataclass(frozen=True, slots=True)
class Shipment:
    """One group of records."""

    position: Position
    predictions: int
    predicted_from: datetime | None
    predicted_to: datetime | None
    feedback: int
    received_from: datetime | None
    received_to: datetime | None


MOST_SHIPMENTS = 1000
"""Looked at in one turn at most."""
_SHIPMENTS = text("""
    SELECT xact_id::text::bigint AS xact_id, id, predictions, predicted_from, predicted_to,
           feedback, received_from, received_to
      FROM shipments
     WHERE (xact_id, id) > (CAST(CAST(CAST(:xact_id AS bigint) AS text) AS xid8), CAST(:id AS
     bigint))
       AND xact_id < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY shipments.xact_id, shipments.id
     LIMIT :limit
""")

_ANSWER = """
    SELECT octet_length(p.input) + coalesce(octet_length(p.output), 0)
             + coalesce(octet_length(p.scores), 0) + coalesce(octet_length(p.context::text), 0),
           {xact_id}, p.shipment, p.predicted_at, p.id, p.version_id, p.application_id, p.revision,
           p.flags, coalesce(p.default_reason, int2 '-1'), p.latency_us, p.propensity,
           p.input, coalesce(p.output, ''), coalesce(p.scores, ''), coalesce(p.context::text, '')
"""
_ANSWER_LAYOUT = Layout(
    (">i8", ">i8", ">i8", "S16", ">i4", ">i4", ">i4", ">i2", ">i2", ">i4", ">f4"), texts=4
)
_LABEL = """
    SELECT octet_length(f.label), {xact_id}, f.shipment, f.received_at, f.id, f.prediction_id,
           f.label
"""
_LABEL_LAYOUT = Layout((">i8", ">i8", ">i8", "S16", "S16"), texts=1)
_OF_SHIPMENT = "JOIN shipments s ON s.id = {row}.shipment"
_XACT_ID = "s.xact_id::text::bigint"

# Ids travel as one literal, cut up there: a list of them would cost more than the rows they find.
# OFFSET 0 keeps Postgres from pulling the cutting into the search, where it would be done for every
# pair of an id and a row, and from reading a whole partition for each id.
_IDS = """
      FROM (SELECT encode(substring(all_ids.ids FROM i * 16 + 1 FOR 16), 'hex')::uuid AS id
              FROM (SELECT '\\x{ids}'::bytea AS ids OFFSET 0) all_ids,
                   generate_series(0, {last}) AS i OFFSET 0) AS n
"""
# The millisecond in an id is that of `predicted_at`, so an id alone leads to its partition and key.
_IDS_WITH_MOMENTS = """
      FROM (SELECT encode(substring(all_ids.ids FROM i * 16 + 1 FOR 16), 'hex')::uuid AS id,
                   timestamptz 'epoch' + ('x' || encode(
                     substring(all_ids.ids FROM i * 16 + 1 FOR 6), 'hex'))::bit(48)::bigint
                     * interval '1 millisecond' AS moment
              FROM (SELECT '\\x{ids}'::bytea AS ids OFFSET 0) all_ids,
                   generate_series(0, {last}) AS i OFFSET 0) AS n
"""
_POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: where Postgres counts from."""


async def read_shipments(
    connection: AsyncConnection, after: Position, *, rows: int
) -> Sequence[Shipment]:
    """Shipments after a position, in commit order; see `read_next`."""
    return (await read_next(connection, after, rows=rows))[0]


_UNREAD = text("""
    SELECT EXISTS (SELECT FROM shipments
                    WHERE (xact_id, id) > (CAST(CAST(CAST(:xact_id AS bigint) AS text) AS xid8),
                                           CAST(:id AS bigint)))
""")


async def is_unread(connection: AsyncConnection, after: Position) -> bool:
    """Whether anything was shipped after a position, also what cannot be read in order yet."""
    asked = {"xact_id": after.xact_id, "id": after.shipment}
    return bool((await connection.execute(_UNREAD, asked)).scalar_one())


async def read_next(
    connection: AsyncConnection, after: Position, *, rows: int
) -> tuple[Sequence[Shipment], bool]:
    """Shipments after a position, in commit order; and whether these are all that there are now.

    Parameters
    ----------
    rows
        Predictions and labels that they hold together at most; a first shipment is taken whatever
        its size.
    """
    found = (
        await connection.execute(
            _SHIPMENTS, {"xact_id": after.xact_id, "id": after.shipment, "limit": MOST_SHIPMENTS}
        )
    ).all()
    taken: list[Shipment] = []
    for row in found:
        rows -= row.predictions + row.feedback
        if taken and rows < 0:
            break
        taken.append(
            Shipment(
                Position(row.xact_id, row.id),
                row.predictions,
                row.predicted_from,
                row.predicted_to,
                row.feedback,
                row.received_from,
                row.received_to,
            )
        )
    return taken, len(taken) == len(found) < MOST_SHIPMENTS


async def read_rows(
    connection: AsyncConnection,
    shipments: Sequence[Shipment],
    applications: Collection[int] | None = None,
) -> tuple[Answers, Labels]:
    """All rows of every prediction that has a row in these shipments, whenever they came.

    Parameters
    ----------
    applications
        Only answers of these, and the labels of their predictions; all when absent.
    """
    mine = _only(applications)
    shipped = await _shipped_answers(connection, shipments, mine)
    labels = await _shipped_labels(connection, shipments)
    here = _listed(s.position.shipment for s in shipments)
    await connection.execute(_BY_INDEX)
    elsewhere = f"p.shipment <> ALL({here}) {mine}"
    touched = np.unique(labels.prediction)
    answers = [shipped, await _named_answers(connection, touched, elsewhere)]
    earlier = await _named_labels(connection, Answers.joined(answers), here)
    # A late shadow whose label was known before meets here the answer that it belongs to.
    more = np.setdiff1d(earlier.prediction, touched)
    answers.append(await _named_answers(connection, more, elsewhere))
    await connection.execute(_AS_PLANNED)
    return Answers.joined(answers), Labels.joined([labels, earlier])


def _only(applications: Collection[int] | None) -> str:
    return (
        ""
        if applications is None
        else f"AND p.application_id = ANY({_listed(applications, 'int')})"
    )


async def _shipped_answers(
    connection: AsyncConnection, shipments: Sequence[Shipment], mine: str
) -> Answers:
    found = [(s.predicted_from, s.predicted_to, s) for s in shipments]
    with_rows = [(low, high, s) for low, high, s in found if low is not None and high is not None]
    if not with_rows:
        return _answers(b"")
    query = f"""{_ANSWER.format(xact_id="int8 '0'")}
         FROM predictions p
        WHERE p.predicted_at BETWEEN {_moment(min(low for low, _, _ in with_rows))}
                                 AND {_moment(max(high for _, high, _ in with_rows))}
          AND p.shipment = ANY({_listed(s.position.shipment for _, _, s in with_rows)}) {mine}"""
    answers = _answers(await copy_out(connection, query))
    answers.xact_id[:] = _xact_ids(answers.shipment, shipments)
    return answers


async def _named_answers(connection: AsyncConnection, ids: Ids, where: str) -> Answers:
    if not len(ids):
        return _answers(b"")
    low, high = (
        from_micros(int.from_bytes(id_at(ids, i).bytes[:6]) * 1000) for i in (0, len(ids) - 1)
    )
    named = _IDS_WITH_MOMENTS.format(ids=ids.tobytes().hex(), last=len(ids) - 1)
    query = f"""{_ANSWER.format(xact_id=_XACT_ID)} {named}
         CROSS JOIN LATERAL (
             SELECT p.* FROM predictions p
              WHERE p.predicted_at >= n.moment
                AND p.predicted_at < n.moment + interval '1 millisecond' AND p.id = n.id
                AND p.predicted_at BETWEEN {_moment(low)}
                                       AND {_moment(high)} + interval '1 millisecond'
                AND {where} OFFSET 0) AS p
         {_OF_SHIPMENT.format(row="p")}"""
    return _answers(await copy_out(connection, query))


async def _shipped_labels(connection: AsyncConnection, shipments: Sequence[Shipment]) -> Labels:
    found = [(s.received_from, s.received_to, s) for s in shipments]
    with_rows = [(low, high, s) for low, high, s in found if low is not None and high is not None]
    if not with_rows:
        return _labels(b"")
    query = f"""{_LABEL.format(xact_id="int8 '0'")}
         FROM feedback f
        WHERE f.received_at BETWEEN {_moment(min(low for low, _, _ in with_rows))}
                                AND {_moment(max(high for _, high, _ in with_rows))}
          AND f.shipment = ANY({_listed(s.position.shipment for _, _, s in with_rows)})"""
    labels = _labels(await copy_out(connection, query))
    labels.xact_id[:] = _xact_ids(labels.shipment, shipments)
    return labels


async def _named_labels(connection: AsyncConnection, answers: Answers, here: str) -> Labels:
    if not len(answers):
        return _labels(b"")
    ids = np.unique(answers.id)
    named = _IDS.format(ids=ids.tobytes().hex(), last=len(ids) - 1)
    low = _moment(from_micros(int(answers.at.min())) - SKEW)
    query = f"""{_LABEL.format(xact_id=_XACT_ID)} {named}
         CROSS JOIN LATERAL (
             SELECT f.* FROM feedback f
              WHERE f.prediction_id = n.id AND f.received_at >= {low}
                AND f.shipment <> ALL({here}) OFFSET 0) AS f
         {_OF_SHIPMENT.format(row="f")}"""
    return _labels(await copy_out(connection, query))


# Rows by ids are found by one probe of an index each. While a partition is small or not yet
# analysed, Postgres would rather read all of it, for a range of moments even once for each id.
_BY_INDEX, _AS_PLANNED = (
    text(
        f"SELECT set_config('enable_seqscan', '{on}', true),"
        f" set_config('enable_hashjoin', '{on}', true),"
        f" set_config('enable_mergejoin', '{on}', true),"
        f" set_config('enable_bitmapscan', '{on}', true)"
    )
    for on in ("off", "on")
)


def _answers(data: bytes) -> Answers:
    fixed, texts = _ANSWER_LAYOUT.split(data)
    return Answers(
        xact_id=_whole(fixed[0]),
        shipment=_whole(fixed[1]),
        at=_whole(fixed[2]) + _POSTGRES_EPOCH_US,
        id=_ids(fixed[3]),
        version=_whole(fixed[4]),
        application=_whole(fixed[5]),
        revision=_whole(fixed[6]),
        flags=_whole(fixed[7]),
        default_reason=_whole(fixed[8]),
        latency_us=_whole(fixed[9]),
        propensity=fixed[10].astype(np.float64),
        input=texts[0],
        output=texts[1],
        scores=texts[2],
        context=texts[3],
    )


def _labels(data: bytes) -> Labels:
    (xact_id, shipment, at, ids, prediction), (value,) = _LABEL_LAYOUT.split(data)
    return Labels(
        _whole(xact_id),
        _whole(shipment),
        _whole(at) + _POSTGRES_EPOCH_US,
        _ids(ids),
        _ids(prediction),
        value,
    )


def _whole(column: NDArray[np.generic]) -> NDArray[np.int64]:
    return column.astype(np.int64)


def _ids(column: NDArray[np.generic]) -> Ids:
    return ids_of(np.ascontiguousarray(column).view(np.uint8).reshape(len(column), 16))


def _xact_ids(shipment: NDArray[np.int64], shipments: Sequence[Shipment]) -> NDArray[np.int64]:
    numbers = np.array([s.position.shipment for s in shipments], np.int64)
    order = np.argsort(numbers)
    known = np.array([s.position.xact_id for s in shipments], np.int64)
    return known[order][np.searchsorted(numbers[order], shipment)]


def _listed(numbers: Iterable[int], kind: str = "bigint") -> str:
    return "'{" + ",".join(str(int(number)) for number in numbers) + "}'::" + kind + "[]"


def _moment(at: datetime) -> str:
    return f"timestamptz '{at.isoformat()}'"
