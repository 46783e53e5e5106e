"""Rows of the record as arrays: one array a column, one row an answer or a label."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from monitor.feed.texts import Texts
from monitor.records import DEFAULT, SHADOW, Position

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Ids = NDArray[np.bytes_]
"""Shape (n,), dtype S16: the bytes of UUIDs, which sort as their numbers do."""


class _Columns:
    """What both kinds of rows can do."""

    __slots__ = ()

    def take(self, rows: Ints | Bools) -> Self:
        """Some of the rows."""
        values = self._values()
        return type(self)(*(v.take(rows) if isinstance(v, Texts) else v[rows] for v in values))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Rows after rows; at least one part."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*(part._values() for part in parts), strict=True)
        return cls(
            *(
                Texts.joined(some) if isinstance(some[0], Texts) else np.concatenate(some)
                for some in columns
            )
        )

    def _values(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]  # type: ignore[arg-type]  # both kinds are dataclasses


@dataclass(frozen=True, slots=True)
class Answers(_Columns):
    """Rows of predictions: answers of single versions."""

    xact_id: Ints
    """Writing transaction of the shipment."""
    shipment: Ints
    at: Ints
    """`predicted_at`, microseconds since 1970."""
    id: Ids
    version: Ints
    """0 where no version answered."""
    application: Ints
    revision: Ints
    flags: Ints
    default_reason: Ints
    """-1 for none."""
    latency_us: Ints
    propensity: NDArray[np.float64]
    input: Texts
    output: Texts
    scores: Texts
    context: Texts

    def __len__(self) -> int:
        return len(self.at)

    @property
    def in_service(self) -> Bools:
        """Whether a client read it and a model made it."""
        answered: Bools = self.flags & (DEFAULT | SHADOW) == 0
        return answered & self.output.present

    @property
    def in_shadow(self) -> Bools:
        """Whether a model made it and nobody read it."""
        shadow: Bools = self.flags & (DEFAULT | SHADOW) == SHADOW
        return shadow & self.output.present


@dataclass(frozen=True, slots=True)
class Labels(_Columns):
    """Rows of feedback."""

    xact_id: Ints
    shipment: Ints
    at: Ints
    """`received_at`, microseconds since 1970."""
    id: Ids
    prediction: Ids
    value: Texts
    """JSON texts."""

    def __len__(self) -> int:
        return len(self.at)


def ranks(places: Sequence[tuple[Ints, Ints]], marks: Sequence[Position]) -> list[Ints]:
    """Positions as numbers that order alike: an array for each of `places`, then one of marks."""
    xact_id = np.concatenate([*(p[0] for p in places), [m.xact_id for m in marks]])
    xact_id = xact_id.astype(np.int64)
    shipment = np.concatenate([*(p[1] for p in places), [m.shipment for m in marks]])
    shipment = shipment.astype(np.int64)
    order = np.lexsort((shipment, xact_id))
    new = np.diff(xact_id[order]).astype(bool) | np.diff(shipment[order]).astype(bool)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.concatenate(([0], np.cumsum(new)))
    return np.split(rank, np.cumsum([len(p[0]) for p in places]))


def ids_of(raw: NDArray[np.uint8]) -> Ids:
    """Ids from their bytes, shape (n, 16)."""
    return np.ascontiguousarray(raw).view("S16")[:, 0]


def id_at(ids: Ids, row: int) -> UUID:
    """One id; the zeros at its end are part of it."""
    return UUID(bytes=ids[row : row + 1].tobytes())


def ids_from(uuids: Sequence[UUID]) -> Ids:
    """Ids from UUIDs."""
    return np.frombuffer(b"".join(u.bytes for u in uuids), "S16")
