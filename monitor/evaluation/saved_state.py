"""A detector between two turns: from objects to a row of watch_states and back."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID

import msgspec
import numpy as np

from monitor.evaluation.aside import Aside, may_wait
from monitor.evaluation.detector_state import FAMILY, Subject, looks_at_delay
from monitor.evaluation.faults import Fault
from monitor.evidence import Sums, Trace
from monitor.feed.maturing import Waiting
from monitor.moments import from_micros, to_micros
from monitor.records import Json, Watch, WatchState
from monitor.watches.timing_check import Timing


class _Saved(msgspec.Struct, array_like=True):
    version: int
    detector: bytes
    blocks: bytes
    pending_grant: float
    partial_id: bytes
    partial_at: int
    learned: int
    learned_sum: float
    values: bytes
    at: bytes
    ids: bytes
    sums: tuple[int, float, float]
    learned_values: bytes = b""
    skipped: int = 0
    told_at: int = 0
    waiting: tuple[bytes, ...] = ()
    timing: bytes = b""
    fault: bytes = b""
    learned_at: bytes = b""
    observations: int | None = None
    """Without the rows put aside beside it, which the row's column counts."""
    granted: float | None = None
    trace: bytes = b""
    """Of a subject alone; a family's members have theirs beside this."""


class _Member(msgspec.Struct, array_like=True):
    signal: str
    status: str
    reason: str | None
    parameters: Json
    saved: _Saved
    observations: int
    granted: float
    alarms: int
    statistic: float
    last_us: int | None
    started_us: int | None
    trace: bytes | Json


SAVED_VERSION = 2


def _save(one: Subject, trace: bytes = b"") -> _Saved:
    return _Saved(
        SAVED_VERSION,
        one.asleep if one.awake is None else one.awake.to_bytes(),
        b"" if one.blocks is None else one.blocks.to_bytes(),
        one.pending_grant,
        b"" if one.partial is None else one.partial[0].bytes,
        0 if one.partial is None else one.partial[1],
        one.learned,
        one.learned_sum,
        one.values.tobytes(),
        one.at.tobytes(),
        one.ids.tobytes(),
        (one.sums.n, one.sums.total, one.sums.squares),
        one.learned_values.tobytes(),
        one.skipped,
        one.told_at,
        one.waiting.to_parts(),
        b"" if one.timing is None else one.timing.to_bytes(),
        b"" if one.fault is None else one.fault.to_bytes(),
        one.learned_at.tobytes(),
        one.observations,
        one.granted,
        trace,
    )


def _load(made: Subject, saved: _Saved) -> None:
    made.asleep = saved.detector
    if saved.detector or saved.blocks:
        made.gather()
    if made.blocks is not None and saved.blocks:
        made.blocks.restore(saved.blocks)
    made.pending_grant = saved.pending_grant
    made.partial = (UUID(bytes=saved.partial_id), saved.partial_at) if saved.partial_id else None
    made.learned, made.learned_sum = saved.learned, saved.learned_sum
    if saved.values:
        made.values = np.frombuffer(saved.values, np.float64)
        made.at = np.frombuffer(saved.at, np.int64)
        made.ids = np.frombuffer(saved.ids, "S16")
        made.sums = Sums(*saved.sums)
    if saved.learned_values:
        made.learned_values = np.frombuffer(saved.learned_values, np.float64)
    made.skipped = saved.skipped
    made.told_at = saved.told_at
    if saved.waiting:
        made.waiting = Waiting.from_parts(saved.waiting)
    if saved.learned_at:
        made.learned_at = np.frombuffer(saved.learned_at, np.int64)
    made.fault = Fault.from_bytes(saved.fault) if saved.fault else None
    if saved.timing:
        looks = looks_at_delay(made.watch)
        made.timing = Timing.from_bytes(saved.timing, looks_at_delay=looks)


def to_rows(
    subjects: Iterable[Subject], asides: Mapping[str, Aside] | None = None
) -> list[WatchState]:
    """All subjects of one watch as they are kept: the members of a family share a row.

    Parameters
    ----------
    asides
        What is put aside beside subjects; nothing where they are not named.
    """
    by_subject: dict[str, list[Subject]] = {}
    for one in subjects:
        by_subject.setdefault(one.subject, []).append(one)
    rows = []
    for members in by_subject.values():
        plain = len(members) == 1 and members[0].signal == members[0].watch.signal
        row = _plain_row(members[0]) if plain else _family_row(members)
        if may_wait(members[0].watch):
            aside = (asides or {}).get(row.subject) or Aside.beside(members)
            beside = aside.to_record(row.watch_id, row.subject)
            row = replace(row, room=beside.room, aside=beside.aside)
            if aside.rows is not None:
                row = replace(
                    row,
                    observations=beside.observations,
                    granted=beside.granted,
                    last_observed_at=beside.last_observed_at,
                )
        rows.append(row)
    return rows


def _plain_row(one: Subject) -> WatchState:
    return WatchState(
        one.watch.id,
        one.subject,
        one.status,
        one.reason,
        one.parameters,
        msgspec.msgpack.encode(_save(one, one.trace.to_bytes())),
        one.observations,
        one.granted,
        one.alarms,
        one.statistic,
        one.last_observed_at,
        one.started_at,
        {"mean": one.sums.interval(rows_per_step=one.block, scale=one.scale, signed=one.signed)},
    )


_ORDER = ("armed", "learning", "refused")


def _family_row(members: list[Subject]) -> WatchState:
    first = members[0]
    packed = [
        _Member(
            one.signal,
            one.status,
            one.reason,
            one.parameters,
            _save(one),
            one.observations,
            one.granted,
            one.alarms,
            one.statistic,
            None if one.last_observed_at is None else to_micros(one.last_observed_at),
            None if one.started_at is None else to_micros(one.started_at),
            one.trace.to_bytes(),
        )
        for one in members
    ]
    status = min((one.status for one in members), key=_ORDER.index)
    worst = max(members, key=lambda one: one.statistic)
    refused = [one.signal for one in members if one.status == "refused"]
    reason = next((one.reason for one in members if one.status == status), None)
    if status == "armed" and refused:
        reason = f"Not watched: {', '.join(refused)}."
    return WatchState(
        first.watch.id,
        first.subject,
        status,
        reason,
        {"members": len(members), "head_start": sum(_head_start(one) for one in members)},
        msgspec.msgpack.encode(packed),
        max(one.observations for one in members),
        sum(one.granted for one in members),
        sum(one.alarms for one in members),
        worst.statistic,
        max((one.last_observed_at for one in members if one.last_observed_at), default=None),
        min((one.started_at for one in members if one.started_at), default=None),
        {
            "leading": worst.signal,
            "members": {
                one.signal: {
                    "status": one.status,
                    "status_reason": one.reason,
                    "statistic": one.statistic,
                    "observations": one.observations,
                    "alarms": one.alarms,
                    "mean": _mean(one),
                    "unit": one.parameters.get("unit"),
                }
                for one in members
            },
        },
    )


def _head_start(one: Subject) -> float:
    """What it began with; nothing before it began."""
    return min(one.granted, float(one.parameters.get("head_start", 0.0)))


def _mean(one: Subject) -> float | None:
    return one.sums.total / one.sums.n * one.scale if one.sums.n else None


def from_row(watch: Watch, row: WatchState) -> list[Subject]:
    """Go on where the last turn stopped."""
    if not watch.signal.endswith(FAMILY):
        made = Subject(
            watch, watch.signal, row.subject, row.status, row.status_reason, row.parameters
        )
        saved = msgspec.msgpack.decode(row.state, type=_Saved)
        _load(made, saved)
        made.trace = _trace(saved.trace or row.summary.get("trace", {}))
        made.observations = row.observations if saved.observations is None else saved.observations
        made.granted = row.granted if saved.granted is None else saved.granted
        made.alarms = row.alarms
        made.statistic = row.statistic
        made.last_observed_at, made.started_at = row.last_observed_at, row.started_at
        return [made]
    members = []
    for member in msgspec.msgpack.decode(row.state, type=list[_Member]):
        made = Subject(
            watch, member.signal, row.subject, member.status, member.reason, member.parameters
        )
        _load(made, member.saved)
        made.trace = _trace(member.trace)
        made.observations, made.granted = member.observations, member.granted
        made.alarms, made.statistic = member.alarms, member.statistic
        made.last_observed_at = None if member.last_us is None else from_micros(member.last_us)
        made.started_at = None if member.started_us is None else from_micros(member.started_us)
        members.append(made)
    return members


def _trace(kept: bytes | Json) -> Trace:
    # A monitor of an earlier release kept a member's as objects, and others' in the summary.
    return Trace.from_bytes(kept) if isinstance(kept, bytes) else Trace.from_json(kept)
