"""Predictions and late labels, joined by where they stand in the record.

What is consumed, and in which order, follows from positions alone: not from how many shipments one
turn takes, nor from when the monitor looks. Any split into turns therefore sees the same events.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from monitor.feed.columns import Answers, Bools, Ints, Labels, ranks
from monitor.records import Position

SKEW = timedelta(minutes=1)
"""A label may be older than its prediction by the difference of two clocks; serving refuses
more."""
_SKEW_US = SKEW // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Joined:
    """Labelled answers, in order of consumption; each stands once."""

    answer: Ints
    """Row in `Stretch.answers`."""
    label: Ints
    """Row in `Stretch.labels` of the prediction's first label."""
    event: Ints
    """Number of the moment at which answer and label had both come; rows of one share a moment."""

    def __len__(self) -> int:
        return len(self.answer)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Answers of two versions to one prediction whose label is known, in order of consumption."""

    primary: Ints
    """Row in `Stretch.answers` of an answer that a client read."""
    shadow: Ints
    """Row of one that nobody read."""
    label: Ints
    event: Ints
    """Number of the moment at which both answers and the label had come."""

    def __len__(self) -> int:
        return len(self.primary)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one turn consumes."""

    answers: Answers
    """All that belongs to it, whenever it came."""
    labels: Labels
    arrived: Ints
    """Answers that came in this stretch, in order of consumption."""
    received: Ints
    """First labels that came in this stretch and whose prediction is known, in order."""
    known: Ints
    """An answer to the prediction of each of these labels."""
    labelled: Joined
    pairs: Pairs

    def cut(self, arrived: Bools, received: Bools, labelled: Bools, pairs: Bools) -> "Stretch":
        """Some of the arrivals, of the labels, and of what these complete."""
        joined, paired = self.labelled, self.pairs
        return Stretch(
            self.answers,
            self.labels,
            self.arrived[arrived],
            self.received[received],
            self.known[received],
            Joined(joined.answer[labelled], joined.label[labelled], joined.event[labelled]),
            Pairs(
                paired.primary[pairs],
                paired.shadow[pairs],
                paired.label[pairs],
                paired.event[pairs],
            ),
        )


def join(answers: Answers, labels: Labels, *, after: Position, until: Position) -> Stretch:
    """Bring answers and labels together that complete each other in (after, until].

    Parameters
    ----------
    answers, labels
        All rows of every prediction that has a row in (after, until], whenever they came; rows
        beyond `until` are left for a later turn.

    Returns
    -------
    Stretch
        Of several labels of one prediction the first counts; repetitions and corrections are
        never consumed.
    """
    answer_rank, label_rank, (low, high) = ranks(
        [(answers.xact_id, answers.shipment), (labels.xact_id, labels.shipment)], [after, until]
    )
    answers, answer_rank = answers.take(answer_rank <= high), answer_rank[answer_rank <= high]
    labels, label_rank = labels.take(label_rank <= high), label_rank[label_rank <= high]
    arrived = np.flatnonzero(answer_rank > low)
    arrived = arrived[
        np.lexsort(
            (
                answers.version[arrived],
                answers.flags[arrived],
                answers.id[arrived],
                answers.at[arrived],
                answer_rank[arrived],
            )
        )
    ]
    first, known = _first_labels(answers, labels, label_rank)
    fresh = label_rank[first] > low
    order = np.lexsort((labels.id[first], labels.at[first], label_rank[first]))
    order = order[fresh[order]]
    labelled, pairs = _completed(
        answers, labels, answer_rank, label_rank, first=first, low=int(low)
    )
    return Stretch(answers, labels, arrived, first[order], known[order], labelled, pairs)


def _first_labels(answers: Answers, labels: Labels, rank: Ints) -> tuple[Ints, Ints]:
    """The label that counts of each prediction, and one of the prediction's answers."""
    if not len(answers) or not len(labels):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    by_id = np.argsort(answers.id, kind="stable")
    place = np.searchsorted(answers.id[by_id], labels.prediction)
    place = by_id[np.minimum(place, len(by_id) - 1)]
    good = answers.id[place] == labels.prediction
    good &= labels.at >= answers.at[place] - _SKEW_US
    rows = np.flatnonzero(good)
    order = rows[
        np.lexsort((labels.id[rows], labels.at[rows], rank[rows], labels.prediction[rows]))
    ]
    named = labels.prediction[order]
    begins = np.concatenate(([True], named[1:] != named[:-1]))[: len(order)]
    first = order[begins]
    return first, place[first]


def _completed(
    answers: Answers, labels: Labels, answer_rank: Ints, label_rank: Ints, *, first: Ints, low: int
) -> tuple[Joined, Pairs]:
    # The first labels are in order of their predictions.
    empty = np.zeros(0, np.int64)
    if not len(first):
        return Joined(empty, empty, empty), Pairs(empty, empty, empty, empty)
    named = labels.prediction[first]
    place = np.minimum(np.searchsorted(named, answers.id), len(first) - 1)
    rows = np.flatnonzero(named[place] == answers.id)
    group = place[rows]
    label = first[group]
    moment = np.maximum(answer_rank[rows], label_rank[label])
    primary, shadow = _pair_up(
        group,
        np.flatnonzero(answers.in_service[rows]),
        np.flatnonzero(answers.in_shadow[rows]),
    )
    pair_moment = np.maximum(moment[primary], moment[shadow])
    new = np.flatnonzero(moment > low)
    new_pair = pair_moment > low
    primary, shadow, pair_moment = primary[new_pair], shadow[new_pair], pair_moment[new_pair]
    labelled = _ordered(
        answers, labels, label_rank, row=rows[new], label=label[new], moment=moment[new]
    )
    paired = _ordered(
        answers, labels, label_rank, row=rows[primary], label=label[primary], moment=pair_moment
    )
    by = np.lexsort((answers.version[rows[shadow]], answers.version[rows[primary]], paired[1]))
    return (
        Joined(rows[new][labelled[0]], label[new][labelled[0]], labelled[1][labelled[0]]),
        Pairs(rows[primary][by], rows[shadow][by], label[primary][by], paired[1][by]),
    )


def _ordered(
    answers: Answers, labels: Labels, label_rank: Ints, *, row: Ints, label: Ints, moment: Ints
) -> tuple[Ints, Ints]:
    """Order of consumption of answers that were completed at a moment, and each one's event."""
    # Within a shipment its predictions come before its feedback.
    by_answer = moment > label_rank[label]
    time = np.where(by_answer, answers.at[row], labels.at[label])
    name = np.where(by_answer, answers.id[row], labels.id[label])
    kind = np.where(by_answer, 0, 1)
    order = np.lexsort((answers.version[row], answers.flags[row], name, time, kind, moment))
    event = np.zeros(len(order), np.int64)
    if len(order):
        new = np.zeros(len(order), bool)
        for key in (name, time, kind, moment):
            sorted_key = key[order]
            new[1:] |= sorted_key[1:] != sorted_key[:-1]
        event[order] = np.cumsum(new)
    return order, event


def _pair_up(group: Ints, primary: Ints, shadow: Ints) -> tuple[Ints, Ints]:
    """All pairs of a primary and a shadow row of one group."""
    order = shadow[np.argsort(group[shadow], kind="stable")]
    begin = np.searchsorted(group[order], group[primary], side="left")
    count = np.searchsorted(group[order], group[primary], side="right") - begin
    offset = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(primary, count), order[np.repeat(begin, count) + offset]
