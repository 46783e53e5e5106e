"""What a replay found, as people and programs read it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from monitor.records import Json


@dataclass(frozen=True, slots=True)
class Change:
    """A row at which something is known to have changed."""

    row: int
    at: datetime


@dataclass(slots=True)
class Report:
    """What a replay found."""

    rows: int = 0
    seconds: float = 0.0
    """From the first read to the last test; of all configurations together, where there are
    several."""
    watches: list[Json] = field(default_factory=list)
    expected_false_alarms: float = 0.0
    """At most so many were to be expected of the watches with a guarantee, had nothing changed."""
    alarms: list[Json] = field(default_factory=list)
    changes: list[Json] = field(default_factory=list)
    """Of each marked change: what had been granted before it, and who found it how late."""
    seen_false_alarms: int | None = None
    """Alarms of watches with a guarantee before the first marked change; none without one."""
    expected_before_changes: float | None = None
    """Of those, so many were to be expected at most."""

    def to_json(self) -> Json:
        """As `leadsman replay --json` prints it."""
        told: Json = {
            "rows": self.rows,
            "seconds": self.seconds,
            "watches": self.watches,
            "expected_false_alarms": self.expected_false_alarms,
            "alarms": self.alarms,
        }
        if self.changes:
            told |= {
                "changes": self.changes,
                "seen_false_alarms": self.seen_false_alarms,
                "expected_false_alarms_before_changes": self.expected_before_changes,
            }
        return told


def found(changes: Sequence[Change], alarms: Sequence[Json]) -> list[Json]:
    """Of each change, the first alarm of every watch and signal between it and the next one."""
    told = []
    for number, change in enumerate(changes):
        until = changes[number + 1].row if number + 1 < len(changes) else None
        first: dict[tuple[str, str, str | None], Json] = {}
        for alarm in alarms:
            row = alarm["row"]
            if row is None or row < change.row or (until is not None and row >= until):
                continue
            key = (alarm["watch"], alarm["signal"], alarm["segment"])
            if key not in first or row < first[key]["row"]:
                first[key] = alarm
        lines = sorted((_line(change, alarm) for alarm in first.values()), key=_by_row)
        soonest = lines[0] if lines else None
        told.append(
            {
                "row": change.row,
                "at": change.at.isoformat(),
                "delay_rows": None if soonest is None else soonest["delay_rows"],
                "delay_seconds": None if soonest is None else soonest["delay_seconds"],
                "found_by": lines,
            }
        )
    return told


def _line(change: Change, alarm: Json) -> Json:
    later = datetime.fromisoformat(alarm["at"]) - change.at
    return {
        **{name: alarm[name] for name in ("watch", "signal", "segment", "tier", "row")},
        "delay_rows": alarm["row"] - change.row,
        "delay_seconds": later.total_seconds(),
    }


def _by_row(line: Json) -> tuple[int, str, str]:
    return line["row"], line["watch"], line["signal"]
