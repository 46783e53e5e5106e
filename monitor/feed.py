"""Predictions and late labels, joined by where they stand in the record.

What is consumed, and in which order, follows from positions alone: not from how many shipments one
turn takes, nor from when the monitor looks. Any split into turns therefore sees the same events.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from monitor.records import Answer, Label, Position

SKEW = timedelta(minutes=1)
"""A label may be older than its prediction by the difference of two clocks; serving refuses
more."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A prediction of which answer and label have come together."""

    position: Position
    label: Label
    fresh: tuple[Answer, ...]
    """Answers whose label is known from here on."""
    known: tuple[Answer, ...]
    """Answers of the same prediction that had their label before."""


def join(
    answers: Iterable[Answer], labels: Iterable[Label], *, after: Position, until: Position
) -> Sequence[Labelled]:
    """Bring answers and labels together that complete each other in (after, until].

    Parameters
    ----------
    answers, labels
        All rows of every prediction that has a row in (after, until], whenever they came; rows
        beyond `until` are left for a later turn.

    Returns
    -------
    Sequence[Labelled]
        In order of consumption. Of several labels of one prediction the first counts; repetitions
        and
        corrections are never consumed.
    """
    by_prediction: dict[UUID, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.position <= until:
            by_prediction[answer.id].append(answer)
    first = _first_labels(labels, by_prediction, until)
    events: list[tuple[tuple[object, ...], Labelled]] = []
    for prediction_id, label in first.items():
        moments: dict[Position, list[Answer]] = defaultdict(list)
        for answer in by_prediction[prediction_id]:
            moments[max(answer.position, label.position)].append(answer)
        known: tuple[Answer, ...] = ()
        for moment in sorted(moments):
            fresh = tuple(sorted(moments[moment], key=lambda a: (a.flags, a.version_id)))
            if after < moment:
                event = Labelled(moment, label, fresh, known)
                events.append((_order(event), event))
            known += fresh
    events.sort(key=lambda pair: pair[0])
    return [event for _, event in events]


def _first_labels(
    labels: Iterable[Label], answers: dict[UUID, list[Answer]], until: Position
) -> dict[UUID, Label]:
    first: dict[UUID, Label] = {}
    for label in labels:
        mine = answers.get(label.prediction_id)
        if not mine or label.position > until or label.received_at < mine[0].predicted_at - SKEW:
            continue
        other = first.get(label.prediction_id)
        if other is None or _age(label) < _age(other):
            first[label.prediction_id] = label
    return first


def _age(label: Label) -> tuple[Position, datetime, UUID]:
    return label.position, label.received_at, label.id


def _order(event: Labelled) -> tuple[object, ...]:
    # Within a shipment its predictions come before its feedback.
    if event.position > event.label.position:
        answer = event.fresh[0]
        return (event.position, 0, answer.predicted_at, answer.id)
    return (event.position, 1, event.label.received_at, event.label.id)
