"""An incident as Markdown, for people who write about it afterwards."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

NOTHING = "–"


def markdown(incident: dict[str, Any]) -> str:
    """The whole record of an incident.

    Parameters
    ----------
    incident
        As the API answers it.
    """
    parts = [
        f"# Incident {incident['id']}: {_text(incident['title'])}",
        "",
        f"{incident['application']} · {incident['versions']} · tier {incident['tier']} · "
        f"{incident['state']}",
        "",
        *_table(
            ("what", "when"),
            [
                ("onset, estimated", _moment(incident["onset_at"])),
                ("alert opened", _moment(incident["opened_at"])),
                ("first act", _span(incident["seconds"]["alert_to_act"], "after the alert")),
                ("resolved", _moment(incident["resolved_at"])),
                ("took", _span(incident["seconds"]["alert_to_recovery"], "from alert to recovery")),
            ],
        ),
        "",
        *_evidence(incident["alert"]),
        "## Timeline",
        "",
        *(
            f"- {_moment(line['at'])} **{_text(line['who'])}** {_text(line['sentence'])}"
            for line in incident["timeline"]
        ),
        "",
        *_remedies(incident["remedies"], incident["id"]),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _evidence(alert: dict[str, Any]) -> list[str]:
    sure, bad = alert.get("how_sure", {}), alert.get("how_bad", {})
    lines = []
    if sure.get("promise"):
        lines.append(f"- how sure: {_text(sure['promise'])}")
    for name in ("before", "after"):
        found = bad.get(name) or {}
        if found.get("mean") is None:
            continue
        bounds = (
            f" ({found['low']:.4g} to {found['high']:.4g})" if found.get("low") is not None else ""
        )
        lines.append(f"- {name}: {found['mean']:.4g}{bounds} over {found.get('rows')} rows")
    return ["## Evidence", "", *lines, ""] if lines else []


def _remedies(remedies: list[dict[str, Any]], alert: int) -> list[str]:
    if not remedies:
        return []
    rows = [
        (
            str(r["id"]) if r["alert"] == alert else f"{r['id']} (alert {r['alert']})",
            r["kind"],
            r["state"],
            f"{r['from_version'] or NOTHING} → {r['to_version'] or NOTHING}",
            (r["route_check"] or {}).get("reason", NOTHING),
            r["outcome"] or NOTHING,
        )
        for r in remedies
    ]
    head = ("remedy", "kind", "state", "from → to", "in force", "outcome")
    return ["## Remedies", "", *_table(head, rows), ""]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    cells = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in cells]


def _text(value: object) -> str:
    """Words of others on one line, with nothing in them that Markdown would read."""
    text = " ".join(str(value).split())
    for sign in ("\\", "|", "*", "_", "`", "<", "["):
        text = text.replace(sign, f"\\{sign}")
    return text


def _moment(value: str | None) -> str:
    if value is None:
        return NOTHING
    at = datetime.fromisoformat(value)
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def _span(seconds: float | None, after: str) -> str:
    return NOTHING if seconds is None else f"{seconds:.1f} s {after}"
