"""Takes labels: late, repeated, corrected, out of order, and before their predictions arrive."""

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from serving.copy_format import encode_feedback
from serving.errors import FieldError
from serving.ids import new_prediction_id
from serving.journal import Journal, Ticket
from serving.records import Task
from serving.reports import Label, Report, ReportError, check_label, read_report, same_label
from serving.store import feedback, predictions

REMEMBERED = 200_000
"""Labels known without asking Postgres: those on their way there, and repetitions of late ones."""
LOOK_UP_SECONDS = 1.0
"""How long Postgres may take to say what it knows; without it labels are taken unchecked."""
LOOK_UP_PAUSE = 2.0
"""Seconds for which Postgres is not asked again after it did not answer."""
LOOK_UP_IDS = 10_000
"""Most ids of one question to Postgres."""

log = logging.getLogger("serving.feedback")


@dataclass(frozen=True, slots=True)
class Rejection:
    """A report that was not taken."""

    index: int
    """Its place in the request."""
    code: str
    detail: str
    field: FieldError
    """Its path begins at the report."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request; every report counts in exactly one place."""

    accepted: int
    """Labels of predictions that had none."""
    duplicates: int
    """Labels equal to the last one known; not recorded again."""
    corrected: int
    """Labels that differ from the last one known; recorded behind it."""
    rejected: tuple[Rejection, ...]


@dataclass(slots=True, eq=False)
class _Known:
    label: Label
    ticket: Ticket | None
    """None for a label that was in the journal at the start."""


class FeedbackDesk:
    """Checks reports, records the new ones, and answers when they are kept.

    Parameters
    ----------
    journal
        Where they are recorded; what waits there from before is remembered.
    engine
        Connections for asking what Postgres knows.
    clock
        Seconds since 1970.
    """

    def __init__(
        self, journal: Journal, engine: AsyncEngine, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._clock = clock
        self._ask_after = 0.0
        self._received_us = 0
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        for record in journal.pending_feedback():
            self._remember(record.prediction_id, _Known(json.loads(record.label), None))

    async def take(self, items: Sequence[Any]) -> Taken:
        """Take the reports of one request.

        Parameters
        ----------
        items
            Parsed JSON, each supposed to be a report.

        Returns
        -------
        Taken
            When everything that counts is kept; a wrong report stops no other.

        Raises
        ------
        JournalFullError, JournalFailedError
            If some could not be kept. Sending all of them again is safe.
        """
        now_us = int(self._clock() * 1e6)
        rejected: list[Rejection] = []
        reports: list[tuple[int, Report]] = []
        for index, item in enumerate(items):
            try:
                reports.append((index, read_report(item, now_us)))
            except ReportError as error:
                rejected.append(Rejection(index, error.code, str(error), error.field))
        tasks, stored = await self._ask([report.prediction_id for _, report in reports])
        counts = {"accepted": 0, "duplicates": 0, "corrected": 0}
        tickets: list[tuple[bytes, _Known]] = []
        # From here to the last append nothing waits: of two equal reports at once, one is found.
        for index, report in reports:
            try:
                if report.prediction_id in tasks:
                    check_label(report.label, tasks[report.prediction_id])
            except ReportError as error:
                rejected.append(Rejection(index, error.code, str(error), error.field))
                continue
            last = self._known.get(report.prediction_id) or stored.get(report.prediction_id)
            if last is not None and same_label(last.label, report.label):
                counts["duplicates"] += 1
            else:
                counts["accepted" if last is None else "corrected"] += 1
                last = self._record(report)
            tickets.append((report.prediction_id, last))
        await self._kept(tickets)
        return Taken(**counts, rejected=tuple(sorted(rejected, key=lambda one: one.index)))

    def _record(self, report: Report) -> _Known:
        # No two labels came at the same moment: the order in which they came is the record's.
        now_us = max(int(self._clock() * 1e6), self._received_us + 1)
        self._received_us = now_us
        row = encode_feedback(
            now_us,
            new_prediction_id(now_us),
            report.prediction_id,
            report.label_text,
            report.observed_at_us,
        )
        known = _Known(report.label, self._journal.append_feedback(row, now_us))
        self._remember(report.prediction_id, known)
        return known

    def _remember(self, prediction_id: bytes, known: _Known) -> None:
        self._known[prediction_id] = known
        self._known.move_to_end(prediction_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _kept(self, tickets: Sequence[tuple[bytes, _Known]]) -> None:
        """Wait for the writes, also for those of the earlier reports that were repeated."""
        for prediction_id, known in tickets:
            if known.ticket is None:
                continue
            try:
                await known.ticket.kept()
            except Exception:
                # Nothing of that write counts as known.
                for lost_id, lost in tickets:
                    if lost.ticket is not None and not lost.ticket.is_kept:
                        self._forget(lost_id, lost)
                self._forget(prediction_id, known)
                raise

    def _forget(self, prediction_id: bytes, known: _Known) -> None:
        if self._known.get(prediction_id) is known:
            del self._known[prediction_id]

    async def _ask(
        self, prediction_ids: Sequence[bytes]
    ) -> tuple[dict[bytes, Task], dict[bytes, _Known]]:
        """What Postgres knows of some predictions: their tasks and their last labels."""
        tasks: dict[bytes, Task] = {}
        stored: dict[bytes, _Known] = {}
        asked = list(dict.fromkeys(prediction_ids))
        if not asked or time.monotonic() < self._ask_after:
            return tasks, stored
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS), self._engine.connect() as connection:
                for start in range(0, len(asked), LOOK_UP_IDS):
                    part = asked[start : start + LOOK_UP_IDS]
                    tasks |= await predictions.tasks_of(connection, part)
                    since = predictions.moment_of(min(part))
                    for row in await feedback.labels_of(connection, part, since=since):
                        stored[row.prediction_id] = _Known(json.loads(row.label), None)
        except (
            OSError,
            SQLAlchemyError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            # Keeping labels matters more than knowing the repeated ones: the monitor counts the
            # first alone.
            self._ask_after = time.monotonic() + LOOK_UP_PAUSE
            log.warning("feedback_look_up_skipped error=%r", error)
        return tasks, stored
