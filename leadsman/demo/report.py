"""What happened, as figures: all of them read back from the service's database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from leadsman.demo.ledger import Ledger
from leadsman.demo.market import CHANGE_ROW, RELEASE_ROW
from leadsman.demo.record import Json, Record
from leadsman.demo.traffic import Traffic
from leadsman.demo.trainer import Attempt
from monitor.watches.watch import DEFAULT_WATCHES

GUARANTEED_TIERS = ("page", "rollback")
REVISION_FIELDS = ("revision", "kind", "restores", "policy", "actor", "reason", "created_at")


@dataclass(frozen=True, slots=True)
class Conclusions:
    """Everything that the monitor and serving wrote down."""

    ledger: Ledger
    alarms: list[Json]
    remedies: list[Json]
    revisions: list[Json]
    states: list[Json]
    watches: list[Json]
    names: dict[str, str]
    """Version names by number."""
    answers: int
    """Recorded answers that clients could see."""
    repeated: int
    """Rows that are in the record more than once."""
    defaults: int
    labels: int
    """Predictions whose label is recorded."""
    lost: int
    """Answers that the client has and the record has not."""

    def versions(self, alarm: Json) -> list[str]:
        """Versions that an alarm is about."""
        return [self.names.get(part, part) for part in alarm["subject"].split(",")]

    def row(self, alarm: Json) -> int | None:
        """Row at which an alarm was decided."""
        return self.ledger.row_of.get(str(alarm["prediction_id"]))

    def onset(self, alarm: Json) -> int | None:
        """Row at which the change began, as the test estimates it."""
        return self.ledger.row_of.get(str(alarm["onset_prediction_id"]))


async def conclude(record: Record, traffic: Traffic) -> Conclusions:
    """Read everything back."""
    ledger = Ledger(traffic.first, traffic.last, traffic.row_of)
    answers, labels = await record.answers(), await record.labels()
    ledger.add(answers, labels)
    seen = [one for one in answers if not one.is_shadow]
    recorded = {one.prediction_id for one in seen}
    return Conclusions(
        ledger=ledger,
        alarms=await record.alarms(),
        remedies=await record.remedies(),
        revisions=await record.revisions(),
        states=await record.watch_states(),
        watches=await record.watches(),
        names=await record.versions(),
        answers=len(recorded),
        repeated=len(answers) - len({(one.prediction_id, one.version) for one in answers}),
        defaults=sum(one.is_default for one in seen),
        labels=len({prediction_id for prediction_id, _, _ in labels}),
        lost=len(set(traffic.ids) - recorded),
    )


def report(
    found: Conclusions,
    traffic: Traffic,
    attempts: list[Attempt],
    *,
    bad: str,
    first: str,
    wall_seconds: float,
    budgets: Json,
) -> Json:
    """Put the figures together.

    Parameters
    ----------
    found
        What was read back.
    traffic
        What the client sent.
    attempts
        What the trainer tried.
    bad, first
        The bad release and the version before it.
    wall_seconds
        Length of the run, start of the service included.
    budgets
        False alarms allowed, and in which time.
    """
    false = [_alarm(found, one) for one in _false_alarms(found, first)]
    informing = [one for one in found.alarms if one["tier"] not in GUARANTEED_TIERS]
    return {
        "predictions_sent": traffic.sent,
        "predictions_recorded": found.answers,
        "predictions_lost": found.lost,
        "predictions_repeated": found.repeated,
        "feedback_sent": traffic.labelled,
        "feedback_recorded": found.labels,
        "default_answers": found.defaults,
        "false_alarms": len(false),
        "false_alarms_list": false,
        "informing_alarms": len(informing),
        "budgets": budgets,
        "rows": [traffic.first, traffic.row],
        "acts": [
            _bad_release(found, bad, first),
            _changed_world(found, attempts, first),
        ],
        "revisions": [
            {name: _text(one[name]) for name in REVISION_FIELDS} for one in found.revisions
        ],
        "watches": [_watch(found, one) for one in found.states],
        "watches_configured": _configured(found.watches),
        "wall_seconds": round(wall_seconds, 1),
    }


def _configured(watches: list[Json]) -> list[str]:
    """Names of watches that are not what every application gets by itself."""
    names = ("signal", "detector", "remedy", "settings")
    usual = {
        w.name: [w.tier.value, True, *(getattr(w, name) for name in names)] for w in DEFAULT_WATCHES
    }
    mine = {w["name"]: [w["tier"], w["enabled"], *(w[name] for name in names)] for w in watches}
    return sorted(name for name in usual | mine if usual.get(name) != mine.get(name))


def _false_alarms(found: Conclusions, first: str) -> list[Json]:
    """Alarms with a promise that said v1 got worse, before the world changed."""
    return [
        one
        for one in found.alarms
        if one["tier"] in GUARANTEED_TIERS
        and one["remedy"] != "promote"
        and found.versions(one)[0] == first
        and (row := found.row(one)) is not None
        and row < CHANGE_ROW
    ]


def _bad_release(found: Conclusions, bad: str, first: str) -> Json:
    ledger = found.ledger
    alarms = [one for one in found.alarms if found.versions(one)[0] == bad]
    guarded = [one for one in alarms if one["remedy"] == "roll_back"]
    remedy = _remedy_of(found, "roll_back", guarded)
    alarm = next((one for one in guarded if remedy and one["id"] == remedy["alarm_id"]), None)
    rows = ledger.rows_served_by(bad)
    end = rows[-1] + 1 if rows else RELEASE_ROW
    old = ledger.errors(first)
    return {
        "name": "a bad release",
        "onset_row": rows[0] if rows else None,
        **_told(found, alarm, since=rows[0] if rows else None),
        "labels_to_alarm": alarm["observation"] if alarm else None,
        "remedy": _remedy(remedy),
        "decision_to_last_bad_answer_ms": _until_last(found, remedy, bad),
        "bad_answers": len(rows),
        "error_before": ledger.mean(ledger.served_errors(), ledger.first, RELEASE_ROW),
        "error_during": ledger.mean(ledger.errors(bad), RELEASE_ROW, end),
        "error_of_shadow_during": ledger.mean(old, RELEASE_ROW, end),
        "error_after": ledger.mean(ledger.served_errors(), end, CHANGE_ROW),
    }


def _changed_world(found: Conclusions, attempts: list[Attempt], first: str) -> Json:
    ledger = found.ledger
    alarm = next(
        (
            one
            for one in found.alarms
            if one["tier"] in GUARANTEED_TIERS
            # Unusual values are told of long before; the trainer waits until the version errs.
            and one["evidence"]["signal"] == "loss"
            and found.versions(one) == [first]
            and (found.row(one) or 0) >= CHANGE_ROW
        ),
        None,
    )
    better = [one for one in found.alarms if one["remedy"] == "promote"]
    remedy = _remedy_of(found, "promote", better)
    promoted = next((one for one in attempts if one.outcome == "promoted"), None)
    rows = ledger.rows_served_by(first)
    end = rows[-1] + 1 if rows and promoted else ledger.last
    row = found.row(alarm) if alarm else None
    labels = ledger.errors(first)[CHANGE_ROW - ledger.first : (row or 0) - ledger.first + 1]
    return {
        "name": "the world changes",
        "onset_row": CHANGE_ROW,
        **_told(found, alarm, since=CHANGE_ROW),
        "labels_to_alarm": int(np.sum(~np.isnan(labels))) if row is not None else None,
        "remedy": _remedy(remedy),
        "decision_to_last_bad_answer_ms": _until_last(found, remedy, first),
        "error_before": ledger.mean(ledger.errors(first), ledger.first, CHANGE_ROW),
        "error_during": ledger.mean(ledger.errors(first), CHANGE_ROW, end),
        "error_after": ledger.mean(ledger.served_errors(), end, ledger.last) if promoted else None,
        "same_rows": [_same_rows(found, one, first) for one in attempts],
        "attempts": [_attempt(one) for one in attempts],
    }


def _told(found: Conclusions, alarm: Json | None, *, since: int | None) -> Json:
    """Where an alarm was raised, and on what."""
    if alarm is None:
        return {"alarm_row": None, "rows_to_alarm": None, "alarm": None}
    row = found.row(alarm)
    waited = None if row is None or since is None else row - since
    return {"alarm_row": row, "rows_to_alarm": waited, "alarm": _alarm(found, alarm)}


def _alarm(found: Conclusions, alarm: Json) -> Json:
    evidence = alarm["evidence"]
    return {
        "watch": alarm["watch"],
        "tier": alarm["tier"],
        "versions": found.versions(alarm),
        "row": found.row(alarm),
        "onset_row_estimated": found.onset(alarm),
        "statistic": alarm["statistic"],
        "threshold": alarm["threshold"],
        "observations": alarm["observation"],
        "unit": evidence.get("unit"),
        "unit_reason": evidence.get("unit_reason"),
        "budget_a_market_year": evidence.get("budget_per_year"),
        "head_start": evidence.get("parameters", {}).get("head_start"),
        "assumption": _assumption(str(evidence.get("promise"))),
        "before": evidence.get("before"),
        "after": evidence.get("after"),
    }


def _assumption(promise: str) -> str:
    """The null that the alarm rejects, out of the monitor's sentence about the promise."""
    return promise.partition("Assumption: ")[2]


def _remedy_of(found: Conclusions, kind: str, alarms: list[Json]) -> Json | None:
    """The first remedy that acted, else the first that was thought of."""
    ids = {one["id"] for one in alarms}
    matching = [one for one in found.remedies if one["kind"] == kind and one["alarm_id"] in ids]
    acted = [one for one in matching if one["state"] == "acted"]
    return next(iter(acted or matching), None)


def _remedy(remedy: Json | None) -> Json | None:
    if remedy is None:
        return None
    names = ("kind", "mode", "state", "state_reason", "from_revision", "to_revision", "outcome")
    return {name: remedy[name] for name in names} | {
        "decided_at": _text(remedy["decided_at"]),
        "acted_at": _text(remedy["acted_at"]),
        # What the test of the outcome carries from turn to turn tells a reader nothing.
        "outcome_detail": {
            name: value
            for name, value in (remedy["outcome_detail"] or {}).items()
            if name not in ("state", "rest")
        },
    }


def _until_last(found: Conclusions, remedy: Json | None, version: str) -> float | None:
    """Milliseconds from the decision to the last answer that a client got from a version."""
    if remedy is None or remedy["acted_at"] is None:
        return None
    decided: datetime = remedy["decided_at"]
    given = [
        one.answered_at
        for one in found.ledger.served.values()
        if one.version == version and one.revision <= remedy["from_revision"]
    ]
    last = max(given, default=decided)
    return round(max(last - decided, timedelta(0)) / timedelta(milliseconds=1), 1)


def _same_rows(found: Conclusions, attempt: Attempt, first: str) -> Json:
    """Error of a challenger and of v1 on the rows that both answered."""
    new, old = found.ledger.errors(attempt.version), found.ledger.errors(first)
    both = ~np.isnan(new) & ~np.isnan(old)
    rows = int(both.sum())
    return {
        "version": attempt.version,
        "rows": rows,
        "error": float(new[both].mean()) if rows else None,
        "error_of_v1": float(old[both].mean()) if rows else None,
    }


def _attempt(attempt: Attempt) -> Json:
    return {
        "version": attempt.version,
        "trained_at_row": attempt.trained_at_row,
        "labelled_rows": attempt.rows,
        "offline_error": attempt.offline_error,
        "outcome": attempt.outcome,
        "evidence": attempt.evidence,
    }


def _watch(found: Conclusions, state: Json) -> Json:
    return {
        "watch": state["watch"],
        "tier": state["tier"],
        "versions": [found.names.get(part, part) for part in state["subject"].split(",")],
        "status": state["status"],
        "status_reason": state["status_reason"],
        "observations": state["observations"],
        "expected_false_alarms": state["granted"],
        "alarms": state["alarms"],
        "parameters": state["parameters"],
    }


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
