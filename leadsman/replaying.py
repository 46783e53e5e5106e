"""Runs the monitor's tests over past rows and prints what they would have found."""

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from leadsman.connection import data_dir
from leadsman.errors import CommandError
from leadsman.terminal import err, number, out, print_json, table
from monitor.errors import MonitorError
from monitor.replay import ReplaySettings, Report, replay_file, replay_record
from monitor.settings import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be replayed, and how."""

    application: str | None
    since: datetime | None
    until: datetime | None
    file: Path | None
    watches: list[Path]
    database_url: str | None
    as_json: bool


def replay(asked: Asked) -> None:
    """Replay and print.

    Raises
    ------
    CommandError
        If what was asked does not fit together or cannot be read.
    """
    application, file = asked.application, asked.file
    if (application is None) == (file is None):
        raise CommandError("name either an --application or a --file")
    if file is not None and (asked.since or asked.until):
        raise CommandError("--from and --to are for an --application; cut the file instead")
    plans: list[tuple[str, ReplaySettings | None]] = [
        (str(one), _read_watches(one)) for one in asked.watches
    ] or [("default watches", None)]
    told = []
    for name, plan in plans:
        with _bar() as bar:
            task = bar.add_task(name, total=None)

            def moved(done: int, total: int, bar: Progress = bar, task: Any = task) -> None:
                bar.update(task, completed=done, total=total)

            try:
                if file is not None:
                    report = replay_file(file, watches=plan, progress=moved)
                else:
                    report = asyncio.run(
                        replay_record(
                            Settings(database_url=_database(asked.database_url)),
                            str(application),
                            start=_utc(asked.since),
                            end=_utc(asked.until),
                            watches=plan,
                            progress=moved,
                        )
                    )
            except MonitorError as error:
                raise CommandError(error.detail) from error
        told.append((name, report))
    if asked.as_json:
        found = [{"name": name, **report.to_json()} for name, report in told]
        print_json(told[0][1].to_json() if len(found) == 1 else found)
        return
    for name, report in told:
        _show(name, report)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _read_watches(file: Path) -> ReplaySettings:
    try:
        return ReplaySettings.model_validate_json(file.read_bytes())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise CommandError(f"{file}: {where}: {first['msg']}") from error


def _database(given: str | None) -> str:
    url = given or os.environ.get("MONITOR_DATABASE_URL")
    kept = data_dir() / "database_url"
    if not url and kept.is_file():
        url = kept.read_text().strip()
    if not url:
        raise CommandError(
            f"no database named: give --database-url, or start `leadsman up` on {data_dir()}"
        )
    return url


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC)


def _show(name: str, report: Report) -> None:
    rate = report.rows / report.seconds if report.seconds else 0.0
    out.print(
        f"{name}: {report.rows} rows in {report.seconds:.1f} s ({rate:,.0f} a second); "
        f"{len(report.alarms)} alarms, of watches with a promise at most "
        f"{number(report.expected_false_alarms)} false ones were to be expected"
    )
    watches = (
        (one["name"], one["version"], one["status"], one["observations"], one["alarms"])
        for one in report.watches
    )
    out.print(table("watches", ["watch", "version", "status", "observations", "alarms"], watches))
    if report.alarms:
        columns = ["row", "watch", "tier", "version", "onset_row", "statistic", "threshold"]
        alarms = (
            [number(one[c]) if c in ("statistic", "threshold") else one[c] for c in columns]
            for one in report.alarms
        )
        out.print(table("alarms", columns, alarms))
