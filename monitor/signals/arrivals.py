"""What is seen of a request when it arrives: features, their quality, output, score, service."""

from collections.abc import Mapping, Sequence

import numpy as np

from monitor.feed.columns import Bools, Ints
from monitor.feed.join import Stretch
from monitor.records import DEFAULT, SHADOW, Feature, Registry
from monitor.signals.base import (
    FEATURES,
    OUTPUT,
    QUALITY,
    SCORE,
    SERVICE,
    Extracted,
    Observations,
    applications_in,
    coded,
)
from monitor.signals.inputs import (
    Columns,
    Matrix,
    Profile,
    codes_of,
    faults,
    read_inputs,
)

ERRORS = (2, 3, 4)
"""Reasons of a default answer that are errors: replica failed, none was there, row failed."""

Profiles = Mapping[int, Profile]
"""By version; only of those with reference rows."""


def arrivals(stretch: Stretch, registry: Registry, profiles: Profiles) -> Extracted:
    """Observations of what came, whether or not a label ever follows."""
    found: Extracted = {}
    answers = stretch.answers
    for number in applications_in([answers.application[stretch.arrived]]):
        if number not in registry.applications:
            continue
        rows = stretch.arrived[answers.application[stretch.arrived] == number]
        asked = rows[answers.flags[rows] & SHADOW == 0]
        found |= _service(stretch, registry, number, asked)
        # A default answer says nothing about the version, nor about what it was asked: a burst of
        # them is a matter of service alone.
        served = rows[answers.in_service[rows]]
        if len(served):
            found |= _features(stretch, registry, profiles, number=number, rows=served)
            found |= _answers(stretch, registry, number, served)
    return found


def _observations(stretch: Stretch, rows: Ints, value: Matrix, **more: object) -> Observations:
    answers = stretch.answers
    code, names = coded(answers.version[rows])
    return Observations(
        np.arange(len(rows)),
        answers.at[rows],
        answers.id[rows],
        code,
        names,
        value,
        answers.revision[rows],
        row=rows,
        **more,  # type: ignore[arg-type]  # columns and texts, given by name
    )


def _service(stretch: Stretch, registry: Registry, number: int, rows: Ints) -> Extracted:
    if not len(rows):
        return {}
    answers, objective = stretch.answers, registry.applications[number].latency_objective_ms
    late = answers.latency_us[rows] > objective * 1000
    default = answers.flags[rows] & DEFAULT != 0
    error = default & np.isin(answers.default_reason[rows], ERRORS)
    value = np.stack([late, default, error], axis=1).astype(np.float64)
    version = _asked_version(stretch, registry, number, rows)
    code, names = coded(version)
    base = _observations(stretch, rows, value, columns=("latency", "default", "error"))
    return {
        (number, SERVICE): Observations(
            base.event,
            base.at,
            base.prediction,
            code,
            names,
            value,
            base.revision,
            base.columns,
            rows,
        )
    }


def _asked_version(stretch: Stretch, registry: Registry, number: int, rows: Ints) -> Ints:
    """The version that answered, or the champion where none was asked."""
    version = stretch.answers.version[rows].copy()
    route = registry.routes.get(number)
    for state in np.unique(stretch.answers.revision[rows[version == 0]]).tolist():
        revision = None if route is None else route.at(state)
        champion = None if revision is None or not revision.champion else revision.champion
        known = None if champion is None else registry.version_named(champion)
        if known is not None:
            version[(version == 0) & (stretch.answers.revision[rows] == state)] = known.id
    return version


def features_of(
    stretch: Stretch, registry: Registry, number: int, rows: Ints
) -> list[tuple[Bools, tuple[Feature, ...], Columns]]:
    """Inputs of rows, schema by schema: which of the rows, the features, the values."""
    route = registry.routes.get(number)
    revisions, place = np.unique(stretch.answers.revision[rows], return_inverse=True)
    schemas = []
    for state in revisions.tolist():
        revision = None if route is None else route.at(state)
        schemas.append(-1 if revision is None or revision.schema_id is None else revision.schema_id)
    schema_of = np.array(schemas, np.int64)[place]
    read = []
    for one in sorted(set(schemas)):
        schema = registry.schemas.get(one)
        if schema is not None and schema.features:
            mine = schema_of == one
            inputs = stretch.answers.input.take(rows[mine])
            read.append((mine, schema.features, read_inputs(inputs, schema)))
    return read


def _features(
    stretch: Stretch, registry: Registry, profiles: Profiles, *, number: int, rows: Ints
) -> Extracted:
    read = features_of(stretch, registry, number, rows)
    if not read:
        return {}
    names = tuple(dict.fromkeys(f.name for _, features, _ in read for f in features))
    texts: dict[int, str] = {}
    categories: set[str] = set()
    for _, features, columns in read:
        texts |= columns.texts
        categories |= {f.name for f in features if f.kind == "string"}
    values, bad = _values(read, names, stretch.answers.version[rows], profiles)
    return {
        (number, FEATURES): _observations(
            stretch,
            rows,
            values,
            columns=names,
            texts=texts,
            categorical=frozenset(categories),
        ),
        (number, QUALITY): _observations(stretch, rows, bad, columns=names),
    }


def _values(
    read: Sequence[tuple[Bools, tuple[Feature, ...], Columns]],
    names: tuple[str, ...],
    version: Ints,
    profiles: Profiles,
) -> tuple[Matrix, Matrix]:
    """Values of all features and whether each is bad; NaN where a row has no such feature."""
    versions = np.unique(version).tolist()
    if len(read) == 1 and len(versions) == 1 and read[0][0].all():
        # So it is for all rows of a release: nothing need be put together.
        _, features, columns = read[0]
        return columns.values, faults(columns, features, profiles.get(versions[0], Profile()))
    values, bad = (np.full((len(names), len(version)), np.nan).T for _ in range(2))
    for mine, features, columns in read:
        places = [names.index(f.name) for f in features]
        for one in np.unique(version[mine]).tolist():
            chosen = mine & (version == one)
            within = version[mine] == one
            part = Columns(columns.values[within], columns.wrong[within])
            values[np.ix_(chosen, places)] = part.values
            bad[np.ix_(chosen, places)] = faults(part, features, profiles.get(one, Profile()))
    return values, bad


def _answers(stretch: Stretch, registry: Registry, number: int, rows: Ints) -> Extracted:
    answers, task = stretch.answers, registry.applications[number].task
    texts: dict[int, str] = {}
    if task == "regression":
        value = answers.output.take(rows).numbers()
    else:
        value, texts = codes_of(answers.output.take(rows))
    known = ~np.isnan(value)
    found: Extracted = {}
    if known.any():
        found[number, OUTPUT] = _observations(stretch, rows[known], value[known], texts=texts)
    score = scores_of(stretch, rows, task)
    known = ~np.isnan(score)
    if known.any():
        found[number, SCORE] = _observations(stretch, rows[known], score[known])
    return found


def scores_of(stretch: Stretch, rows: Ints, task: str) -> Matrix:
    """Shape (n,): score of the last of two classes, or of the likeliest; NaN without scores."""
    scores = stretch.answers.scores.take(rows)
    value = np.full(len(rows), np.nan)
    if task == "regression":
        return value
    for length in np.unique(scores.length[scores.present]).tolist():
        mine = scores.length == length
        block = scores.take(mine).floats(length // 8)
        value[mine] = block[:, -1] if block.shape[1] == 2 else block.max(axis=1)
    return value
