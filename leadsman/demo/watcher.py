"""Follows the record while the demo runs and tells what the monitor and serving did."""

import asyncio
import threading
from pathlib import Path

import asyncpg

from leadsman.demo import record
from leadsman.demo.events import Story
from leadsman.demo.ledger import Ledger
from leadsman.demo.record import Json, Record

LOOK = 0.5
"""Seconds between two looks into the database."""


class Watcher:
    """Reads new answers, labels, alarms, remedies and revisions, each once.

    Parameters
    ----------
    data_dir
        Folder of the service.
    application
        What to follow.
    ledger, story
        Where it goes.
    """

    def __init__(self, data_dir: Path, application: str, ledger: Ledger, story: Story) -> None:
        self.route = ""
        """The revision in force, in one line."""
        self._data_dir = data_dir
        self._application = application
        self._ledger = ledger
        self._story = story
        self._answered = 0
        self._labelled = 0
        self._alarms = 0
        self._revisions = 0
        self._remedies: dict[int, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher")

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was recorded last is read before."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                asyncio.run(self._follow())
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
            ) as error:
                self._story.tell(f"the database is away ({type(error).__name__})", grave=True)
                self._stop.wait(LOOK)

    async def _follow(self) -> None:
        connection = await asyncpg.connect(record.database_url(self._data_dir))
        try:
            source = Record(connection, self._application)
            while True:
                last = self._stop.is_set()
                await self._read(source)
                if last:
                    return
                await asyncio.to_thread(self._stop.wait, LOOK)
        finally:
            await connection.close()

    async def _read(self, source: Record) -> None:
        answers = await source.answers(self._answered)
        labels = await source.labels(self._labelled)
        self._answered = max([self._answered, *(one.shipment for one in answers)])
        self._labelled = max([self._labelled, *(one[2] for one in labels)])
        self._ledger.add(answers, labels)
        names = await source.versions()
        for alarm in await source.alarms(self._alarms):
            self._tell_alarm(alarm, names)
        for remedy in await source.remedies():
            self._tell_remedy(remedy)
        for revision in await source.revisions():
            self._tell_revision(revision)

    def _tell_alarm(self, alarm: Json, names: dict[str, str]) -> None:
        self._alarms = alarm["id"]
        # The test informs only: too many of them to be told one by one.
        if alarm["tier"] == "info":
            return
        about = " against ".join(names.get(part, part) for part in alarm["subject"].split(","))
        row = self._ledger.row_of.get(str(alarm["prediction_id"]))
        self._story.tell(
            f"ALARM {alarm['watch']} ({alarm['tier']}): {about}, evidence "
            f"{alarm['statistic']:.3g} ≥ {alarm['threshold']:g} after "
            f"{alarm['observation']} observations",
            row,
            grave=alarm["remedy"] != "promote",
        )

    def _tell_remedy(self, remedy: Json) -> None:
        state = f"{remedy['state']}{': ' + remedy['outcome'] if remedy['outcome'] else ''}"
        if self._remedies.get(remedy["id"]) == state:
            return
        self._remedies[remedy["id"]] = state
        why = f" ({remedy['state_reason']})" if remedy["state_reason"] else ""
        self._story.tell(f"remedy {remedy['kind']} {state}{why}")

    def _tell_revision(self, revision: Json) -> None:
        if revision["revision"] <= self._revisions:
            return
        self._revisions = revision["revision"]
        policy = revision["policy"]
        beside = ", ".join(policy.get("challengers", []))
        shadow = f" (in the shadow: {beside})" if beside else ""
        self.route = f"revision {revision['revision']}: {policy['champion']} answers{shadow}"
        verb = "ROLLED BACK to" if revision["kind"] == "rollback" else "route changed to"
        self._story.tell(f"{verb} {self.route}, by {revision['actor']}")
