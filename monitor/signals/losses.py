"""How wrong answers were: losses, and differences of the losses of two versions."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.feed.columns import Ints
from monitor.feed.join import Stretch
from monitor.feed.texts import Texts, parsed
from monitor.records import Registry, Route
from monitor.signals.base import (
    CHALLENGER_DIFFERENCE,
    LOSS,
    LOSS_DIFFERENCE,
    SHADOW_LOSS,
    Extracted,
    Observations,
    applications_in,
    coded,
    coded_pairs,
)

Floats = NDArray[np.float64]


def losses(stretch: Stretch, registry: Registry) -> Extracted:
    """Losses of answers that a client read or a shadow made, and of pairs of them."""
    found: Extracted = {}
    answers, labels = stretch.answers, stretch.labels
    labelled, pairs = stretch.labelled, stretch.pairs
    for number in applications_in([answers.application[labelled.answer]]):
        application = registry.applications.get(number)
        if application is None:
            continue
        mine = answers.application[labelled.answer] == number
        row, label, event = labelled.answer[mine], labelled.label[mine], labelled.event[mine]
        value = loss(application.task, answers.output.take(row), labels.value.take(label))
        known = ~np.isnan(value)
        for signal, kind in ((LOSS, answers.in_service), (SHADOW_LOSS, answers.in_shadow)):
            chosen = known & kind[row]
            if chosen.any():
                at = row[chosen]
                code, names = coded(answers.version[at])
                found[number, signal] = Observations(
                    event[chosen],
                    labels.at[label[chosen]],
                    answers.id[at],
                    code,
                    names,
                    value[chosen],
                    answers.revision[at],
                    row=at,
                )
    for number in applications_in([answers.application[pairs.primary]]):
        application, route = registry.applications.get(number), registry.routes.get(number)
        if application is None or route is None:
            continue
        mine = answers.application[pairs.primary] == number
        found |= _differences(stretch, registry, route, application.task, np.flatnonzero(mine))
    return found


def _differences(
    stretch: Stretch, registry: Registry, route: Route, task: str, rows: Ints
) -> Extracted:
    answers, labels, pairs = stretch.answers, stretch.labels, stretch.pairs
    primary, shadow, label = pairs.primary[rows], pairs.shadow[rows], pairs.label[rows]
    truth = labels.value.take(label)
    served = loss(task, answers.output.take(primary), truth)
    shadowed = loss(task, answers.output.take(shadow), truth)
    was_before = _were_champion_before(
        answers.version[shadow], answers.revision[primary], registry, route
    )
    known = ~np.isnan(served) & ~np.isnan(shadowed)
    found: Extracted = {}
    for signal, kind in (
        (LOSS_DIFFERENCE, was_before == 1),
        (CHALLENGER_DIFFERENCE, was_before == 0),
    ):
        chosen = known & kind
        if not chosen.any():
            continue
        new, old = answers.version[primary[chosen]], answers.version[shadow[chosen]]
        value = served[chosen] - shadowed[chosen]
        if signal == CHALLENGER_DIFFERENCE:
            new, old, value = old, new, -value
        code, names = coded_pairs(new, old)
        number = int(answers.application[primary[0]])
        found[number, signal] = Observations(
            pairs.event[rows][chosen],
            labels.at[label[chosen]],
            answers.id[primary[chosen]],
            code,
            names,
            value,
            answers.revision[primary[chosen]],
            row=primary[chosen],
        )
    return found


def _were_champion_before(
    version: Ints, revision: Ints, registry: Registry, route: Route
) -> NDArray[np.int64]:
    """1 where a version's answers counted in an earlier state, 0 where not, -1 if unknown."""
    cases, code = np.unique(np.stack([version, revision], axis=1), axis=0, return_inverse=True)
    told = []
    for number, state in cases.tolist():
        known = registry.versions.get(number)
        told.append(-1 if known is None else int(route.was_champion_before(known.name, state)))
    return np.array(told, np.int64)[code.reshape(-1)]


def loss(task: str, output: Texts, label: Texts) -> Floats:
    """How wrong outputs were.

    Parameters
    ----------
    task
        binary, multiclass or regression.
    output, label : shape (n,)
        JSON texts.

    Returns
    -------
    shape (n,)
        binary, multiclass: 1 for a wrong class, else 0. regression: absolute error, in the label's
        unit. NaN where the two cannot be compared.
    """
    if task == "regression":
        return np.abs(output.numbers() - label.numbers())
    return wrong_classes(*class_codes(output, label))


def wrong_classes(output: Ints, label: Ints) -> Floats:
    """1 where two codes of classes differ; NaN where one is -1."""
    return np.where((output < 0) | (label < 0), np.nan, (output != label).astype(np.float64))


def class_codes(*columns: Texts) -> tuple[Ints, ...]:
    """Codes of classes, the same in all columns; -1 where there is none.

    Classes that JSON writes in two ways, as 1 and 1.0, are one.
    """
    known: dict[object, int] = {}
    coded_columns = []
    for column in columns:
        texts, code = column.distinct()
        codes = [_class_code(parsed(text), known) for text in texts]
        coded_columns.append(np.array([*codes, -1], np.int64)[code])
    return tuple(coded_columns)


def _class_code(value: object, known: dict[object, int]) -> int:
    if value is None:
        return -1
    key = str(value) if isinstance(value, list | dict) else value
    return known.setdefault(key, len(known))


def loss_of_values(task: str, outputs: list[object], labels: list[object]) -> Floats:
    """Losses of values as JSON reads them, e.g. of reference rows."""
    pairs = list(zip(outputs, labels, strict=False))
    return loss(
        task,
        Texts.of(msgspec.json.encode(output) for output, _ in pairs),
        Texts.of(msgspec.json.encode(label) for _, label in pairs),
    )
