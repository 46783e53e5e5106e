"""One alarm of each kind, and the alert that people get of it.

``python -m tests.support.alert_cases`` writes the golden files anew; read the difference before you
keep it.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from monitor.alerts import recovery
from monitor.alerts.detail import detail, title
from monitor.alerts.kinds import kind_of_alarm
from monitor.alerts.telling import event_body
from monitor.channels.generic import generic
from monitor.raising import link
from monitor.records import (
    Alarm,
    Alert,
    Application,
    Json,
    Registry,
    Revision,
    Route,
    Version,
    Watch,
)
from monitor.settings import Mode, Settings, Tier
from monitor.store.webhooks import Delivery

GOLDEN = Path(__file__).parents[1] / "data" / "alerts"
AT = datetime(2026, 11, 2, 9, 12, 30, tzinfo=UTC)
SETTINGS = Settings(database_url="postgresql://nowhere/none", console_url="https://watch.example")
REGISTRY = Registry(
    {1: Application(1, "market", "binary", 100)},
    {1: Version(1, "price", "1"), 2: Version(2, "price", "2")},
    {1: Route((Revision(1, 1, "change", None, {"kind": "single", "champion": "price:2"}),))},
)
PROMISE = (
    "At most one false alarm in 2 years is expected of this watch (tier page). Assumption: The "
    "expected loss of each step, given everything consumed before it, is at most the limit."
)
RANKS = (
    "At most 2.4 false alarms a year are expected of this watch (tier info). Assumption: The "
    "values are exchangeable: any order of the same values would have been equally likely."
)


def interval(mean: float, low: float, high: float, rows: int, steps: int | None = None) -> Json:
    """A mean as evidence tells it."""
    return {
        "mean": mean,
        "low": low,
        "high": high,
        "steps": steps or rows,
        "rows": rows,
        "level": 0.95,
        "method": "Wilson",
    }


def alarm(
    signal: str,
    before: Json,
    after: Json,
    *,
    subject: str = "2",
    tier: Tier = Tier.PAGE,
    promise: str = PROMISE,
    parameters: Json | None = None,
    **more: Any,
) -> Alarm:
    """An alarm with made evidence."""
    onset = AT - timedelta(minutes=7)
    evidence: Json = {
        "promise": promise,
        "guaranteed": True,
        "budget_per_year": 0.5,
        "unit": "row",
        "unit_reason": None,
        "signal": signal,
        "change": None,
        "parameters": parameters or {"limit": 0.15, "clip": 1.0, "block": 1},
        "onset": {
            "prediction_id": str(UUID(int=7)),
            "at": onset.isoformat(),
            "steps_ago": 84,
            "observations_ago": 84,
            "is_oldest_kept": False,
        },
        "before": before,
        "after": after,
        **more,
    }
    return Alarm(1, 1, subject, tier, AT, 384, UUID(int=8), UUID(int=7), onset, 1.32, 1.0, evidence)


def watch(name: str, signal: str, detector: str, remedy: str = "notify") -> Watch:
    """A watch to go with it."""
    mode = Mode.PROPOSE if remedy != "notify" else Mode.OBSERVE
    return Watch(1, 1, name, signal, detector, Tier.PAGE, {}, remedy, mode, "default", True)


NOTHING: Json = {"mean": None, "low": None, "high": None, "steps": 0, "rows": 0}
EDGES = {"edges": [1.0, 2.0, 3.0], "block": 1}
PROPOSED = [{"remedy": 3, "kind": "roll_back", "state": "proposed", "reason": None}]
RATE: Json = {"detector": "bounded-mean"}
NUMBERS: Json = {"detector": "numeric-ranks", "promise": RANKS, "tier": Tier.INFO}

Case = tuple[Watch, Alarm, list[Json]]

CASES: dict[str, Case] = {
    "loss": (
        watch("loss_rollback", "loss", "bounded-mean", "roll_back"),
        alarm(
            "loss",
            interval(0.098, 0.077, 0.124, 600, 25),
            interval(0.41, 0.34, 0.48, 84, 14),
            tier=Tier.ROLLBACK,
            unit="block of 6 rows",
            unit_reason="Neighbouring rows depend on each other.",
            parameters={"limit": 0.15, "clip": 1.0, "block": 6},
            moved=[
                {
                    "signal": "feature.area",
                    "segment": None,
                    "before": 104.2,
                    "after": 1120.5,
                    "change": "values rose",
                },
                {"signal": "loss", "segment": "region=EU", "before": 0.1, "after": 0.62},
            ],
            **RATE,
        ),
        PROPOSED,
    ),
    "confirmed": (
        watch("loss_gate", "loss", "confirm-gate", "roll_back"),
        alarm(
            "loss",
            interval(0.102, 0.082, 0.127, 700),
            interval(0.31, 0.22, 0.41, 84),
            tier=Tier.ROLLBACK,
            promise=PROMISE.replace("2 years", "60 years").replace("tier page", "tier rollback")
            + " Nothing is assumed of adwin.",
            detector="confirm-gate",
            confirmed={"opened_by": "adwin", "fresh_steps": 84},
        ),
        PROPOSED,
    ),
    "loss_difference": (
        watch("loss_difference", "loss_difference", "paired-excess", "roll_back"),
        alarm(
            "loss_difference",
            interval(0.004, -0.01, 0.018, 300),
            interval(0.29, 0.2, 0.38, 84),
            subject="2,1",
            tier=Tier.ROLLBACK,
            parameters={"margin": 0.01, "clip": 1.0},
            detector="paired-excess",
        ),
        [{"remedy": 3, "kind": "roll_back", "state": "acted", "reason": None}],
    ),
    "challenger_better": (
        watch("challenger_better", "challenger_difference", "paired-promotion", "promote"),
        alarm(
            "challenger_difference",
            NOTHING,
            interval(-0.12, -0.16, -0.08, 384),
            subject="2,1",
            promise="A challenger that is not better is promoted with a probability of at most "
            "0.05, however often one looks. Assumption: Both answer the same rows",
            parameters={"eps": 0.0, "alpha": 0.05, "clip": 1.0},
            detector="paired-promotion",
        ),
        [{"remedy": 4, "kind": "promote", "state": "proposed", "reason": None}],
    ),
    "canary_difference": (
        watch("canary", "canary_difference", "randomised-excess", "stop_canary"),
        alarm(
            "canary_difference",
            interval(0.01, -0.02, 0.04, 300),
            interval(0.18, 0.09, 0.27, 84),
            subject="2,1",
            parameters={"margin": 0.01, "floor": 0.05, "clip": 1.0},
            detector="randomised-excess",
        ),
        [{"remedy": 5, "kind": "stop_canary", "state": "held", "reason": "a cool-down runs"}],
    ),
    "feature": (
        watch("features", "feature.*", "ranks"),
        alarm(
            "feature.area",
            interval(104.2, 101.1, 107.3, 600),
            interval(1120.5, 1011.0, 1230.0, 84),
            parameters=EDGES,
            change="values rose",
            **NUMBERS,
        ),
        [],
    ),
    "output": (
        watch("output", "output", "ranks"),
        alarm(
            "output",
            interval(0.21, 0.18, 0.24, 600),
            interval(0.52, 0.41, 0.63, 84),
            parameters={"codes": [5, 9], "known": [5, 9], "names": ["high", "low"], "thin": 1},
            change="high became more frequent",
            detector="categorical-ranks",
            promise=RANKS,
            tier=Tier.INFO,
        ),
        [],
    ),
    "score": (
        watch("score", "score", "ranks"),
        alarm(
            "score",
            interval(0.31, 0.3, 0.32, 600),
            interval(0.31, 0.26, 0.36, 84),
            parameters=EDGES,
            change="values spread out",
            **NUMBERS,
        ),
        [],
    ),
    "quality": (
        watch("quality", "quality.*", "bounded-mean"),
        alarm(
            "quality.area",
            interval(0.002, 0.0003, 0.012, 600),
            interval(0.97, 0.91, 0.99, 84),
            **RATE,
        ),
        [],
    ),
    "service.latency": (
        watch("service", "service.*", "bounded-mean"),
        alarm(
            "service.latency",
            interval(0.012, 0.006, 0.024, 600),
            interval(0.36, 0.27, 0.47, 84),
            **RATE,
        ),
        [],
    ),
    "service.default": (
        watch("service", "service.*", "bounded-mean"),
        alarm(
            "service.default",
            interval(0.0, 0.0, 0.006, 600),
            interval(0.25, 0.17, 0.35, 84),
            **RATE,
        ),
        [],
    ),
    "service.error": (
        watch("service", "service.*", "bounded-mean"),
        alarm(
            "service.error",
            interval(0.0, 0.0, 0.006, 600),
            interval(0.11, 0.06, 0.19, 84),
            **RATE,
        ),
        [],
    ),
    "service.traffic": (
        watch("traffic", "service.traffic", "quiet"),
        alarm(
            "service.traffic",
            NOTHING,
            NOTHING,
            guaranteed=False,
            promise="No false alarm rate is promised: how long pauses may be is seasonal.",
            change="no request for 340 seconds, where 120 are expected at most",
            tier=Tier.INFO,
            detector="quiet",
            parameters={"quiet_after": 120.0},
        ),
        [],
    ),
    "label.delay": (
        watch("label_delay", "label.delay", "ranks"),
        alarm(
            "label.delay",
            interval(151.0, 148.0, 154.0, 600),
            interval(420.0, 390.0, 450.0, 84),
            parameters=EDGES,
            change="values rose",
            **NUMBERS,
        ),
        [],
    ),
    "label.coverage": (
        watch("label_coverage", "label.coverage", "bounded-mean"),
        alarm(
            "label.coverage",
            interval(0.03, 0.02, 0.05, 600),
            interval(0.88, 0.79, 0.93, 84),
            tier=Tier.INFO,
            **RATE,
        ),
        [],
    ),
    "metric": (
        watch("precision", "metric.precision", "bounded-mean"),
        alarm(
            "metric.precision",
            interval(0.1, 0.08, 0.12, 600),
            interval(0.4, 0.3, 0.5, 84),
            parameters={"limit": 0.2, "clip": 1.0, "block": 1, "inverted": True},
            **RATE,
        ),
        [],
    ),
    "quantile": (
        watch("low", "metric.quantile.low", "bounded-mean"),
        alarm(
            "metric.quantile.low",
            interval(1.75, 1.6, 1.9, 600),
            interval(3.99, 3.7, 4.3, 84),
            parameters={"limit": 0.04, "clip": 60.0, "block": 1, "quantile": 0.1},
            **RATE,
        ),
        [],
    ),
    "new_version": (
        watch("score", "score", "ranks"),
        alarm(
            "score",
            interval(0.31, 0.3, 0.32, 600) | {"of": "reference"},
            interval(0.62, 0.56, 0.68, 84),
            parameters=EDGES,
            change="values rose",
            **NUMBERS,
        ),
        [],
    ),
    "segment": (
        watch("loss_by_region", "loss", "bounded-mean"),
        alarm(
            "loss",
            interval(0.098, 0.077, 0.124, 600),
            interval(0.62, 0.51, 0.72, 84),
            subject="2|region=EU",
            moved=[{"signal": "feature.area", "segment": None, "before": 104.2, "after": 1120.5}],
            **RATE,
        ),
        [],
    ),
}


_ROLL_BACK: Json = {
    "remedy": 3,
    "alert": 12,
    "kind": "roll_back",
    "from": "price:2",
    "to": "price:1",
}
STANDING: dict[str, Json] = {
    "second_proposed": _ROLL_BACK | {"state": "proposed", "reason": None},
    "second_under_way": _ROLL_BACK | {"state": "approved", "reason": "approved by ann"},
    "second_done": _ROLL_BACK | {"state": "acted", "reason": None},
    "second_helped": _ROLL_BACK
    | {"state": "recovered", "reason": "31 fresh labels; tested and rejected: at least 0.41"},
}
"""What a first alert of the same version set off when a second one comes."""


def alert_of(case: Case, **changes: Any) -> Alert:
    """The alert that an alarm opens, as alert 17."""
    of, came, done = case
    kind = kind_of_alarm(of, came)
    told = detail(
        of, came, alarm_id=23, kind=kind, application=REGISTRY.applications[1], registry=REGISTRY
    )
    told |= {"done": done, "link": link(SETTINGS, "market", 17, came)}
    line = title(kind, came, REGISTRY.applications[1], REGISTRY)
    state = "firing" if came.evidence["guaranteed"] else "pending"
    test = recovery.begin(of, came, 1)
    alert = Alert(17, 1, came.subject, kind, came.tier, state, line, told, AT, AT, None)
    return replace(alert, recovery=test, **changes)


def delivery_of(alert: Alert, event: str, **more: Any) -> Delivery:
    """A delivery of an event about it."""
    standing = more.pop("standing", ())
    body = event_body(event, alert, "market", more.pop("extra", None), standing=standing)
    # As Postgres gives it back: JSON, keys in an order of its own.
    body = json.loads(json.dumps(body, sort_keys=True))
    return Delivery(UUID(int=1), "http://receiver.example/", "whsec_", body, 1, event, **more)


def golden() -> dict[str, str]:
    """Names and contents of all golden files."""
    files = {}
    for name, case in CASES.items():
        alert = alert_of(case)
        told = generic(delivery_of(alert, f"alert.{alert.state}"))
        files[f"{name}.txt"] = told["data"]["text"]
        files[f"{name}.json"] = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    resolved = alert_of(CASES["loss"], state="resolved", resolved_at=AT + timedelta(hours=1))
    reason = "900 rows since the alarm, of mean 0.1, show that the mean loss is below 0.15"
    told = generic(delivery_of(resolved, "alert.resolved", extra={"reason": reason}))
    files["resolved.txt"] = told["data"]["text"]
    files["resolved.json"] = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    inhibited = alert_of(CASES["feature"], inhibited_by=12)
    files["inhibited.txt"] = generic(delivery_of(inhibited, "alert.firing"))["data"]["text"]
    for name, one in STANDING.items():
        told = generic(delivery_of(alert_of(CASES["output"]), "alert.firing", standing=[one]))
        files[f"{name}.txt"] = told["data"]["text"]
        files[f"{name}.json"] = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    return files


if __name__ == "__main__":
    for name, content in golden().items():
        (GOLDEN / name).write_text(content)
