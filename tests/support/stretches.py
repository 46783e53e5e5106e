"""Answered and labelled rows as a turn reads them, made from plain values."""

from collections.abc import Sequence

import msgspec
import numpy as np

from monitor.feed.columns import Answers, Labels
from monitor.feed.join import Joined, Pairs, Stretch
from monitor.feed.texts import Texts
from monitor.replay.file import ids_of_rows


def stretch_of(
    outputs: Sequence[object], labels: Sequence[object], scores: np.ndarray | None = None
) -> Stretch:
    """Rows of version 1 of application 1, each with its label.

    Parameters
    ----------
    scores
        Shape (n, classes); none where the version gives none.
    """
    count = len(outputs)
    ones, every, none = np.ones(count, np.int64), np.arange(count), np.zeros(0, np.int64)
    at = 1_700_000_000_000_000 + every * 1_000_000
    ids = ids_of_rows(every)
    blocks = [b""] * count if scores is None else [row.tobytes() for row in scores]
    answers = Answers(
        xact_id=ones,
        shipment=ones,
        at=at,
        id=ids,
        version=ones,
        application=ones,
        revision=ones,
        flags=0 * ones,
        default_reason=-ones,
        latency_us=0 * ones,
        propensity=np.ones(count),
        input=Texts.of([b""] * count),
        output=Texts.of(msgspec.json.encode(one) for one in outputs),
        scores=Texts.of(blocks),
        context=Texts.of([b""] * count),
    )
    told = Texts.of(msgspec.json.encode(one) for one in labels)
    return Stretch(
        answers,
        Labels(ones, ones, at, ids, ids, told),
        every,
        every,
        every,
        Joined(every, every, every),
        Pairs(none, none, none, none),
    )
