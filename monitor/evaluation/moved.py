"""Where something changed: features and segments that moved most, for an alarm's evidence."""

from collections.abc import Iterable, Mapping

import numpy as np

from monitor.evaluation.detector_state import Subject
from monitor.records import Json

MOST = 10
"""Features and segments that are told."""
FEWEST = 8
"""Recent steps below which nothing is said about a part."""
LEAST_DISTANCE = 3.0
"""Standard errors below which a part counts as unmoved: of a hundred still parts few reach it."""


def moved(subjects: Iterable[Mapping[str, Subject]], about: str) -> list[Json]:
    """Rank what moved, by how many standard errors its last steps lie from those before.

    Parameters
    ----------
    subjects
        All detectors of the application, watch by watch.
    about
        Subject of the alarm: of its version the features and segments are looked at.

    Returns
    -------
    list of Json
        The furthest first. A description: no error rate is promised.
    """
    version = about.partition("|")[0].split(",")[0]
    told = []
    for members in subjects:
        for one in members.values():
            if one.subject.partition("|")[0].split(",")[0] == version and _is_a_part(one):
                line = _line(one)
                if line is not None and line["distance"] >= LEAST_DISTANCE:
                    told.append(line)
    told.sort(key=lambda line: (-line["distance"], line["signal"], line["segment"] or ""))
    return told[:MOST]


def _is_a_part(one: Subject) -> bool:
    return "|" in one.subject or one.signal.startswith(("feature.", "quality."))


def _line(one: Subject) -> Json | None:
    recent = one.values
    before = one.sums.n - len(recent)
    if one.status != "armed" or len(recent) < FEWEST or before < FEWEST:
        return None
    if "codes" in one.parameters:
        return _category(one)
    # Of differences of large sums only rounding may be left.
    was = round((one.sums.total - float(recent.sum())) / before, 12) + 0.0
    now = float(recent.mean())
    square = (one.sums.squares - float(np.square(recent).sum())) / before
    spread = max(square - was * was, 0.0) ** 0.5
    error = spread * (1 / len(recent) + 1 / before) ** 0.5
    distance = abs(now - was) / error if error > 0 else (1e6 if now != was else 0.0)
    return _told(one, distance, was * one.scale, now * one.scale)


def _category(one: Subject) -> Json:
    shares = np.array(one.parameters["shares"])
    codes = one.values.astype(np.int64)
    now = np.bincount(codes, minlength=len(shares)) / len(codes)
    error = np.sqrt(np.maximum(shares * (1 - shares), 1e-3) / len(codes))
    furthest = int(np.argmax(np.abs(now - shares) / error))
    names = [*one.parameters["names"], "OTHER", "UNSEEN"]
    distance = float(abs(now[furthest] - shares[furthest]) / error[furthest])
    line = _told(one, distance, float(shares[furthest]), float(now[furthest]))
    return line | {"category": names[furthest]}


def _told(one: Subject, distance: float, was: float, now: float) -> Json:
    return {
        "signal": one.signal,
        "segment": one.subject.partition("|")[2] or None,
        "distance": round(float(distance), 3),
        "before": was,
        "after": now,
        "statistic": one.statistic,
        "alarms": one.alarms,
    }
