"""Did a remedy help? A test on fresh rows, with an error of its own that is stated."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from drift.base import Detector
from drift.catalog import create
from monitor.records import Json, Registry, Remedy
from monitor.signals import LOSS, LOSS_DIFFERENCE, Extracted

ALPHA = 0.05
"""Probability of reporting recovery where there is none."""
LONGEST, LONGEST_STEPS = 2_000, 40
"""Fresh labels, and at least so many steps, after which a remedy that is not shown to have helped
is reported as not recovered."""
ROOM = 1e-3
"""A mean loss closer to 0 than this leaves no room to be lower."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the test of a remedy's outcome stands."""

    outcome: str | None
    detail: Json


def begin(kind: str, bad_mean: float | None, bad_n: int, clip: float, *, block: int = 1) -> Json:
    """What the outcome will be tested against, fixed at the decision.

    Parameters
    ----------
    bad_mean
        Mean loss of the version in alarm, in the loss's own unit, over its `bad_n` labels.
    clip
        Loss that counts as 1.
    block
        Rows whose mean is one step: as many as their dependence asks for.
    """
    if kind == "promote":
        return {
            "detector": "paired-promotion",
            "settings": {"eps": 0.0, "alpha": ALPHA},
            "clip": clip,
            "null": "On fresh rows that both answer, the promoted version's loss is not below "
            "the other's.",
            "error": f"recovered is reported with a probability of at most {ALPHA:g} where that "
            f"is so.",
        }
    mean = 0.5 if bad_mean is None else bad_mean / clip
    mean = min(max(mean, ROOM), 1 - ROOM)
    return {
        "detector": "bounded-mean",
        "settings": {"limit": 1 - mean, "head_start": ALPHA, "averaged": block > 1},
        "clip": clip,
        "block": block,
        "null": f"On fresh rows the restored version's mean loss is at least {mean * clip:.4g}, as "
        f"that of the version it replaced was over {bad_n} labels.",
        "error": f"recovered is reported with a probability of at most {ALPHA:g} where that is so, "
        "however long it looks.",
    }


def verify(remedy: Remedy, extracted: Extracted, registry: Registry) -> Verdict | None:
    """Feed a turn's fresh rows to the test; none where there are none."""
    detail = remedy.outcome_detail or {}
    test: Json = remedy.request.get("test", {})
    values = _fresh(remedy, extracted, registry)
    if not test or not values:
        return None
    clipped = np.clip(np.array(values) / test["clip"], -1.0, 1.0)
    block, rest = test.get("block", 1), detail.get("rest", [])
    waiting = np.concatenate((np.array(rest, np.float64), clipped))
    steps = waiting[: len(waiting) // block * block].reshape(-1, block).mean(axis=1)
    n = detail.get("n", 0) + len(values)
    total = detail.get("total", 0.0) + float(sum(values))
    told: Json = detail | {
        "n": n,
        "total": total,
        "mean": total / n,
        "null": test["null"],
        "error": test["error"],
        "threshold": 1.0,
        "rest": waiting[len(steps) * block :].tolist(),
    }
    if len(steps):
        detector = _detector(test, detail)
        fed = steps if test["detector"] == "paired-promotion" else 1.0 - steps
        update = detector.update(fed, np.zeros((len(steps), 1)))
        told |= {
            "statistic": float(update.statistic[-1, 0]),
            "state": base64.b64encode(detector.to_bytes()).decode(),
        }
        if update.alarms:
            first = update.alarms[0]
            n += (first.step + 1) * block - len(rest) - len(values)
            return Verdict("recovered", told | {"n": n, "statistic": first.statistic})
    longest = max(LONGEST, LONGEST_STEPS * block)
    return Verdict("not_recovered" if n >= longest else None, told)


def _detector(test: Json, detail: Mapping[str, object]) -> Detector:
    detector = create(test["detector"], test["settings"])
    state = detail.get("state")
    if isinstance(state, str):
        detector.restore(base64.b64decode(state))
    return detector


def _fresh(remedy: Remedy, extracted: Extracted, registry: Registry) -> list[float]:
    to, old = (registry.version_named(remedy.request.get(key, "")) for key in ("to", "from"))
    if to is None or old is None or remedy.to_revision is None:
        return []
    signal, subject = LOSS, str(to.id)
    if remedy.kind == "promote":
        signal, subject = LOSS_DIFFERENCE, f"{to.id},{old.id}"
    found = extracted.get((remedy.application_id, signal))
    if found is None:
        return []
    if subject not in found.names:
        return []
    mine = found.code == found.names.index(subject)
    values: list[float] = found.value[mine & (found.revision >= remedy.to_revision)].tolist()
    return values
