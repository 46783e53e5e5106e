"""Laws of the join: what is consumed follows from positions alone."""

import random
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.feed.columns import Answers, Labels, ids_from
from monitor.feed.join import Stretch, join
from monitor.feed.texts import Texts
from monitor.records import DEFAULT, SHADOW, START, Position

HOUR_US = 3_600_000_000


def answers_of(rows: list[tuple[int, int, int, int]]) -> Answers:
    """Shipment, prediction, version, flags."""
    n = len(rows)
    table = np.array(rows, np.int64).reshape(n, 4)
    zeros = np.zeros(n, np.int64)
    return Answers(
        table[:, 0],
        table[:, 0],
        HOUR_US + table[:, 1],
        ids_from([UUID(int=one) for one in table[:, 1].tolist()]),
        table[:, 2],
        zeros + 1,
        zeros + 1,
        table[:, 3],
        zeros - 1,
        zeros,
        np.ones(n),
        Texts.of([b""] * n),
        Texts.of([b"1"] * n),
        Texts.of([b""] * n),
        Texts.of([b""] * n),
    )


def labels_of(rows: list[tuple[int, int, int]]) -> Labels:
    """Shipment, prediction, number of the label."""
    n = len(rows)
    table = np.array(rows, np.int64).reshape(n, 3)
    return Labels(
        table[:, 0],
        table[:, 0],
        HOUR_US + table[:, 2],
        ids_from([UUID(int=10_000 + one) for one in table[:, 2].tolist()]),
        ids_from([UUID(int=one) for one in table[:, 1].tolist()]),
        Texts.of([b"%d" % (one % 2) for one in table[:, 2].tolist()]),
    )


def told(stretch: Stretch) -> list[tuple[object, ...]]:
    """What a stretch consumes, without numbers of rows."""
    answers, labels = stretch.answers, stretch.labels
    lines: list[tuple[object, ...]] = []
    for row, label in zip(
        stretch.labelled.answer.tolist(), stretch.labelled.label.tolist(), strict=True
    ):
        lines.append((answers.id[row], int(answers.version[row]), labels.id[label]))
    return lines


def pairs(stretch: Stretch) -> list[tuple[object, ...]]:
    answers = stretch.answers
    return [
        (answers.id[one], int(answers.version[one]), int(answers.version[other]))
        for one, other in zip(
            stretch.pairs.primary.tolist(), stretch.pairs.shadow.tolist(), strict=True
        )
    ]


@given(st.integers(0, 2**32), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_any_cut_into_turns_consumes_the_same_in_the_same_order(seed: int, shipments: int) -> None:
    rng = random.Random(seed)
    predictions = range(1, 12)
    answered = [
        (rng.randint(1, shipments), one, version, flags)
        for one in predictions
        for version, flags in ((1, 0), (2, SHADOW))
        if rng.random() < 0.9
    ]
    labelled = [
        (rng.randint(1, shipments), rng.choice(list(predictions)), number) for number in range(14)
    ]
    answers, labels = answers_of(answered), labels_of(labelled)
    end = Position(shipments, shipments)
    whole = join(answers, labels, after=START, until=end)
    parts = [
        join(answers, labels, after=Position(n, n), until=Position(n + 1, n + 1))
        for n in range(shipments)
    ]
    assert [line for part in parts for line in told(part)] == told(whole)
    assert [line for part in parts for line in pairs(part)] == pairs(whole)
    arrived = [part.answers.id[row] for part in parts for row in part.arrived.tolist()]
    assert arrived == [whole.answers.id[row] for row in whole.arrived.tolist()]


def test_the_first_label_counts_and_a_default_answer_is_paired_with_nothing() -> None:
    answers = answers_of([(1, 1, 1, DEFAULT), (1, 1, 2, SHADOW), (1, 2, 1, 0), (2, 2, 2, SHADOW)])
    labels = labels_of([(2, 2, 7), (3, 2, 8), (2, 1, 9)])
    stretch = join(answers, labels, after=START, until=Position(3, 3))
    assert [line[2] for line in told(stretch)].count(UUID(int=10_008).bytes) == 0
    assert pairs(stretch) == [(UUID(int=2).bytes, 1, 2)]


def test_what_comes_after_the_end_is_left_for_later() -> None:
    answers, labels = answers_of([(1, 1, 1, 0), (3, 2, 1, 0)]), labels_of([(2, 1, 1), (4, 2, 2)])
    stretch = join(answers, labels, after=START, until=Position(2, 2))
    assert len(stretch.answers) == 1
    assert [line[1] for line in told(stretch)] == [1]
