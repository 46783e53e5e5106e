"""What people were told, held against what was to be told: a model of silences and deliveries that
reads the record, and nothing of the monitor's code."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.support.monitoring import rows_of

ALWAYS_TOLD = ("proposed", "acted", "failed", "recovered", "not_recovered", "superseded")
"""States of a remedy that are news."""


@dataclass(slots=True)
class Told:
    """Silences as they were asked for, and every delivery about an alert so far."""

    url: str
    silences: dict[int, tuple[str | None, datetime]] = field(default_factory=dict)
    """Kind, none for all, and end of each that nobody ended before."""
    last: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The newest of each alert."""
    knowing: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Webhooks that were told of each alert."""
    ended: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Webhooks that were told of each alert's end."""
    seen: int = 0

    def holding(self, now: datetime, kind: str | None = None) -> set[int]:
        """Numbers of the silences that hold now, all or those about a kind of alert."""
        return {
            number
            for number, (about, until) in self.silences.items()
            if now < until and (kind is None or about is None or kind.split(".")[0] == about)
        }

    async def look(self, now: datetime) -> list[dict[str, Any]]:
        """Check the deliveries that were written since the last look; all of them about alerts."""
        rows = await rows_of(
            self.url,
            "SELECT sequence, webhook_id AS webhook, alert_id AS alert, event, body FROM deliveries"
            " WHERE sequence > $1 AND alert_id IS NOT NULL ORDER BY sequence",
            self.seen,
        )
        found = [row | json.loads(row.pop("body")) for row in rows]
        for one in found:
            self._take(one, now)
        return found

    def _take(self, one: dict[str, Any], now: datetime) -> None:
        alert, webhook, data = one["alert"], one["webhook"], one["data"]
        if one["event"] == "alert.resolved":
            assert webhook in self.knowing[alert], "told the end of what it was never told"
            assert webhook not in self.ended[alert], "told the end twice"
            self.ended[alert].add(webhook)
        else:
            assert not self.holding(now, data["kind"]), "told during a silence"
            about_remedy = one["event"].startswith("remedy.")
            assert about_remedy or not self.ended[alert], "told that it stands after its end"
        before = self.last.get(alert)
        if before is not None:
            # In the order of what happened: of its alert each tells no earlier state than the last.
            assert one["timestamp"] >= before["timestamp"]
            assert len(data["done"]) >= len(before["data"]["done"])
        self.last[alert], self.seen = one, one["sequence"]
        self.knowing[alert].add(webhook)

    async def check_nothing_is_owed(self, now: datetime) -> None:
        """Right after a turn: of every alert that stands, and that neither a silence nor a worse
        one holds back, the last delivery tells it as it is."""
        for row in await rows_of(
            self.url,
            "SELECT id, kind, state, tier, detail FROM alerts"
            " WHERE state <> 'resolved' AND inhibited_by IS NULL",
        ):
            if self.holding(now, row["kind"]):
                continue
            assert row["id"] in self.last, "never told of what stands"
            data = self.last[row["id"]]["data"]
            assert (data["state"], data["tier"]) == (row["state"], row["tier"])
            news = [d for d in json.loads(row["detail"])["done"] if d["state"] in ALWAYS_TOLD]
            assert [one for one in news if one not in data["done"]] == []
