"""Runs the monitor's tests over past rows and prints what they would have found."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from leadsman.connection import data_dir
from leadsman.errors import CommandError
from leadsman.terminal import err, number, out, print_json, table
from monitor.errors import MonitorError
from monitor.records import Json
from monitor.replay.replay import ReplaySettings, Report, replay_file_with, replay_record_with
from monitor.settings import Settings
from monitor.watches.file import read_watch_file


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be replayed, and how."""

    application: str | None
    since: datetime | None
    until: datetime | None
    file: Path | None
    watches: list[Path]
    """Files of watches, to be compared; none for the default ones, or the application's own."""
    changes: list[int]
    """Rows at which something is known to have changed."""
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
    names = [str(one) for one in asked.watches] or ["default watches" if file else "its watches"]
    try:
        plans = [read_watch_file(one).content for one in asked.watches]
        with _bar() as bar:
            task = bar.add_task(" against ".join(names), total=None)

            def moved(done: int, total: int | None) -> None:
                bar.update(task, completed=done, total=total)

            reports = _reports(asked, plans, moved)
    except MonitorError as error:
        raise CommandError(error.detail) from error
    told = list(zip(names, reports, strict=True))
    if asked.as_json:
        print_json(
            told[0][1].to_json()
            if len(told) == 1
            else [{"name": name, **report.to_json()} for name, report in told]
        )
        return
    if len(told) > 1:
        _compare(told)
    for name, report in told:
        _show(name, report)


def _reports(
    asked: Asked, plans: list[ReplaySettings], moved: Callable[[int, int | None], None]
) -> list[Report]:
    if asked.file is not None:
        given = plans or [ReplaySettings()]
        return replay_file_with(asked.file, given, changes=asked.changes, progress=moved)
    return asyncio.run(
        replay_record_with(
            Settings(database_url=_database(asked.database_url)),
            str(asked.application),
            plans or [None],
            start=_utc(asked.since),
            end=_utc(asked.until),
            changes=asked.changes,
            progress=moved,
        )
    )


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


def _compare(told: list[tuple[str, Report]]) -> None:
    """One line for each configuration, and each change with the delays side by side."""
    columns = ["configuration", "alarms", "expected false", "false before the first change"]
    rows = (
        (name, len(one.alarms), number(one.expected_false_alarms), one.seen_false_alarms)
        for name, one in told
    )
    out.print(table("side by side", columns, rows))
    if told[0][1].changes:
        delays = (
            [line["row"], *(one.changes[place]["delay_rows"] for _, one in told)]
            for place, line in enumerate(told[0][1].changes)
        )
        names = [f"rows until {name}" for name, _ in told]
        out.print(table("changes", ["change at row", *names], delays))


def _show(name: str, report: Report) -> None:
    rate = report.rows / report.seconds if report.seconds else 0.0
    out.print(
        f"{name}: {report.rows} rows in {report.seconds:.1f} s ({rate:,.0f} a second); "
        f"alarms: {len(report.alarms)}; of watches with a promise at most "
        f"{number(report.expected_false_alarms)} false ones were to be expected"
    )
    if report.seen_false_alarms is not None:
        expected = number(report.expected_before_changes)
        out.print(
            "before the first change, alarms of watches with a promise: "
            f"{report.seen_false_alarms}, at most {expected} to be expected"
        )
    watches = (
        (
            one["name"],
            one["signal"],
            _where(one),
            one["status"],
            one["observations"],
            one["alarms"],
            one["status_reason"] or one["note"],
        )
        for one in report.watches
    )
    names = ["watch", "signal", "version", "status", "observations", "alarms", "why"]
    out.print(table("watches", names, watches))
    if report.alarms:
        columns = ["row", "signal", "watch", "tier", "onset_row", "statistic", "threshold"]
        alarms = (
            [
                *(number(one[c]) if c in ("statistic", "threshold") else one[c] for c in columns),
                _where(one),
            ]
            for one in report.alarms
        )
        out.print(table("alarms", [*columns, "version"], alarms))
    if report.changes:
        out.print(table("changes", ["row", "found by", "after rows"], _found(report.changes)))


def _where(one: Json) -> str:
    segment = f" where {one['segment']}" if one["segment"] else ""
    return f"{one['version'] or ''}{segment}"


def _found(changes: list[Json]) -> Iterator[tuple[object, object, object]]:
    for change in changes:
        if not change["found_by"]:
            yield change["row"], "nobody", None
        for line in change["found_by"]:
            yield change["row"], f"{line['watch']} ({line['signal']})", line["delay_rows"]
