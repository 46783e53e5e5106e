"""Kinds of alert: what each is called, how its figures read, and which explains which.

The kind of an alert is the signal that alarmed, e.g. ``loss``, ``feature.price``,
``service.latency``; only a challenger that proved better has a word of its own.
"""

from collections.abc import Iterable
from typing import Literal

from monitor.records import Alarm, Alert, Watch
from monitor.settings import Tier
from monitor.watches.watch import kind_of

CHALLENGER_BETTER = "challenger_better"
GRAVITY = {Tier.INFO: 0, Tier.PAGE: 1, Tier.ROLLBACK: 2}
"""Which tier outranks which."""

KINDS = (
    "loss",
    "loss_difference",
    "canary_difference",
    CHALLENGER_BETTER,
    "feature",
    "output",
    "score",
    "quality",
    "service.latency",
    "service.default",
    "service.error",
    "service.traffic",
    "label.delay",
    "label.coverage",
    "metric",
)
"""Each has a paragraph in the runbook and a golden text."""

Figure = Literal["share", "number"]

EXPLAINS: dict[str, frozenset[str]] = {
    "loss_difference": frozenset({"loss", "metric", "feature", "output", "score"}),
    "canary_difference": frozenset({"loss", "metric", "feature", "output", "score"}),
    "loss": frozenset({"metric", "feature", "output", "score"}),
    "service.error": frozenset({"service.default", "service.latency", "label.coverage"}),
    "service.default": frozenset({"label.coverage"}),
    "service.traffic": frozenset({"label.coverage"}),
    "quality": frozenset({"output", "score"}),
    "output": frozenset({"score"}),
}
"""A kind of the left makes alerts of the right ones about the same version no news of their own."""


def kind_of_alarm(watch: Watch, alarm: Alarm) -> str:
    """What an alarm says went wrong; alarms of one kind and subject are one alert."""
    kind = kind_of(watch)
    if kind == CHALLENGER_BETTER:
        return kind
    # A watch of a family, feature.*, alarms about one member of it.
    signal = alarm.evidence.get("signal", watch.signal)
    return str(signal)


def sort_of(kind: str) -> str:
    """The kind without the name of a feature or a metric: one of `KINDS`, as far as it is known."""
    family = kind.partition(".")[0]
    return family if family in KINDS else kind


def member_of(kind: str) -> str:
    """The feature or the metric that a kind is about."""
    return kind.partition(".")[2]


def version_of(subject: str) -> str:
    """Number of the version that an alert is about: of two, the new one."""
    return subject.partition("|")[0].split(",")[0]


def segment_of(subject: str) -> str | None:
    """The part of the traffic that an alert is about; none for all of it."""
    return subject.partition("|")[2] or None


def explains(worse: Alert, alert: Alert) -> bool:
    """Whether people who are told of one alert need not be told of the other.

    The worse one fires or is in somebody's hands, is at least of the same tier, and is about the
    same version; if it is about a segment, then about the same.
    """
    if (
        worse.id == alert.id
        or worse.state not in ("firing", "acknowledged")
        or alert.state == "resolved"
        or worse.application_id != alert.application_id
        or version_of(worse.subject) != version_of(alert.subject)
        or GRAVITY[worse.tier] < GRAVITY[alert.tier]
    ):
        return False
    mine, other = segment_of(worse.subject), segment_of(alert.subject)
    if mine is not None and mine != other:
        return False
    left, right = sort_of(worse.kind), sort_of(alert.kind)
    if left == "quality" and right == "feature":
        return member_of(worse.kind) == member_of(alert.kind)
    # The whole of the traffic explains a segment of it.
    return right in EXPLAINS.get(left, ()) or (left == right and mine is None and other is not None)


def inhibitors(alerts: Iterable[Alert]) -> dict[int, int | None]:
    """For each open alert the worst one that explains it; the relation has no circles."""
    found = [alert for alert in alerts if alert.state != "resolved"]
    chosen: dict[int, int | None] = {}
    for alert in found:
        worse = [other for other in found if explains(other, alert)]
        worst = max(worse, key=lambda w: (GRAVITY[w.tier], _weight(w), -w.id), default=None)
        chosen[alert.id] = None if worst is None else worst.id
    return chosen


def _weight(alert: Alert) -> int:
    return len(EXPLAINS.get(sort_of(alert.kind), ())) + (segment_of(alert.subject) is None)
