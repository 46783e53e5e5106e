"""From labelled predictions to observations: one value for one subject at one moment.

A signal to come (a feature, an output, a service figure) is one more function here and one more
default watch.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.feed import Labelled
from monitor.moments import to_micros
from monitor.records import Answer, Registry

LOSS = "loss"
"""Loss of an answer that a client read. Subject: the version."""
LOSS_DIFFERENCE = "loss_difference"
"""Loss of the champion less that of an earlier champion in its shadow. Subject: "new,old"."""
CHALLENGER_DIFFERENCE = "challenger_difference"
"""Loss of a challenger that never was champion less the champion's. Subject: "new,old"."""
SHADOW_LOSS = "shadow_loss"
"""Loss of an answer that nobody read: drawn, not watched."""
SIGNALS = (LOSS, LOSS_DIFFERENCE, CHALLENGER_DIFFERENCE)
"""What a watch may name."""


@dataclass(slots=True)
class Observations:
    """The observations of one signal of one application, in order of consumption."""

    event: list[int] = field(default_factory=list)
    """Number of the event within the turn: observations of one event happened at one moment."""
    at: list[int] = field(default_factory=list)
    """When the label was received, in microseconds since 1970."""
    prediction: list[UUID] = field(default_factory=list)
    subject: list[str] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    revision: list[int] = field(default_factory=list)

    def add(self, event: int, at: int, answer: Answer, subject: str, value: float) -> None:
        """Append one."""
        self.event.append(event)
        self.at.append(at)
        self.prediction.append(answer.id)
        self.subject.append(subject)
        self.value.append(value)
        self.revision.append(answer.revision)

    def by_subject(self) -> Mapping[str, NDArray[np.int64]]:
        """Indices of each subject, in the order in which the subjects first appear."""
        places: dict[str, list[int]] = {}
        for i, subject in enumerate(self.subject):
            places.setdefault(subject, []).append(i)
        return {subject: np.array(found, np.int64) for subject, found in places.items()}


Extracted = dict[tuple[int, str], Observations]
"""Observations by application and signal."""


def extract(events: Iterable[Labelled], registry: Registry) -> Extracted:
    """Observations of every signal that rests on labels."""
    found: Extracted = defaultdict(Observations)
    for number, event in enumerate(events):
        at = to_micros(event.label.received_at)
        losses: dict[int, float] = {}
        for answer in (*event.known, *event.fresh):
            value = _loss_of(answer, event.label.value, registry)
            if value is not None:
                losses[answer.version_id] = value
        for answer in event.fresh:
            if answer.version_id in losses:
                signal = LOSS if answer.in_service else SHADOW_LOSS
                found[answer.application_id, signal].add(
                    number, at, answer, str(answer.version_id), losses[answer.version_id]
                )
        for primary, shadow in _pairs(event):
            if primary.version_id in losses and shadow.version_id in losses:
                _add_pair(
                    found,
                    number,
                    at,
                    primary=primary,
                    shadow=shadow,
                    losses=losses,
                    registry=registry,
                )
    return found


def _pairs(event: Labelled) -> Iterable[tuple[Answer, Answer]]:
    everything = (*event.known, *event.fresh)
    fresh = set(map(id, event.fresh))
    for primary in everything:
        for shadow in everything:
            is_new = id(primary) in fresh or id(shadow) in fresh
            if is_new and primary.in_service and shadow.in_shadow:
                yield primary, shadow


def _add_pair(
    found: Extracted,
    number: int,
    at: int,
    *,
    primary: Answer,
    shadow: Answer,
    losses: Mapping[int, float],
    registry: Registry,
) -> None:
    route, other = (
        registry.routes.get(primary.application_id),
        registry.versions.get(shadow.version_id),
    )
    if route is None or other is None:
        return
    if route.was_champion_before(other.name, primary.revision):
        signal, new, old = LOSS_DIFFERENCE, primary, shadow
    else:
        signal, new, old = CHALLENGER_DIFFERENCE, shadow, primary
    found[primary.application_id, signal].add(
        number,
        at,
        primary,
        f"{new.version_id},{old.version_id}",
        losses[new.version_id] - losses[old.version_id],
    )


def _loss_of(answer: Answer, label: bytes, registry: Registry) -> float | None:
    application = registry.applications.get(answer.application_id)
    if application is None or not (answer.in_service or answer.in_shadow) or answer.output is None:
        return None
    return loss(application.task, _parsed(answer.output), _parsed(label))


def loss(task: str, output: object, label: object) -> float | None:
    """How wrong an output was.

    Parameters
    ----------
    task
        binary, multiclass or regression.
    output, label
        As JSON reads them.

    Returns
    -------
    float or None
        binary, multiclass: 1 for a wrong class, else 0. regression: absolute error, in the label's
        unit.
        None where the two cannot be compared.
    """
    if task != "regression":
        return None if output is None or label is None else float(output != label)
    if not isinstance(output, int | float) or not isinstance(label, int | float):
        return None
    error = abs(float(output) - float(label))
    return error if math.isfinite(error) else None


_CACHE: dict[bytes, object] = {}


def _parsed(text: bytes) -> object:
    # Classes repeat without end, numbers do not: keep a few, then start anew.
    value = _CACHE.get(text, _CACHE)
    if value is _CACHE:
        if len(_CACHE) > 4096:
            _CACHE.clear()
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            value = None
        _CACHE[text] = value
    return value
