"""Rows of a CSV or Parquet file, as stretches of a record that was never written.

Columns: `predicted_at`, `output`, and if there are any `score`, `label`, `labelled_at`, `version`,
`weight`, `context.KEY`; every other column is a feature. A label without `labelled_at` counts as
known at once; a row without an output counts as answered by default.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from monitor.errors import InvalidRowsError
from monitor.evaluation.memory import Known
from monitor.feed.columns import Answers, Ids, Ints, Labels, ids_of
from monitor.feed.join import SKEW, Joined, Pairs, Stretch
from monitor.feed.texts import Texts, parsed
from monitor.records import (
    DEFAULT,
    Application,
    Feature,
    InputSchema,
    Registry,
    Revision,
    Route,
    Version,
)
from monitor.replay.columns import CodedTexts, FeatureColumns, NumberTexts, ScoreTexts
from monitor.replay.file_table import (
    NEVER,
    categories,
    contexts,
    features_of_file,
    is_number,
    moments,
    numbers,
    read_table,
)
from monitor.signals.inputs import InputColumns
from monitor.store.registry import Reference

STRETCH = 32_768
"""Rows that arrive in one stretch: enough that the cost of a call is shared, few enough that what
the tests make of them stays close to the processor."""
MANY_VALUES = 20
"""Numeric labels with more values than this are a regression's."""
FIXED = ("predicted_at", "output", "score", "label", "labelled_at", "version", "weight")
"""Columns that are no features; nor is any that begins with CONTEXT."""
CONTEXT = "context."
NUMBER = 1
"""Of the one application, schema and revision of a file."""


@dataclass(frozen=True, slots=True)
class FileRows:
    """What a file holds, in the order in which requests came."""

    rows: int
    task: str
    registry: Registry
    known: dict[int, Known]
    """Reference rows of each version."""
    at: Ints
    """Shape (rows,): when each row was predicted, microseconds since 1970."""
    labelled_at: Ints
    """Shape (rows,): when its label became known; NEVER where it has none."""
    tested: Ints
    """Rows that are tested, in order of arrival: those that are not part of the reference."""
    labelled: Ints
    """Those of them that have a label, in the order in which labels became known."""
    version: Ints
    output: Texts
    label: Texts
    score: Texts
    context: Texts
    features: FeatureColumns
    propensity: np.ndarray

    def version_name(self, subject: str) -> str:
        """A version as the file writes it."""
        return self.registry.versions[int(subject)].version

    def stretches(self, rows: int = STRETCH, cuts: Sequence[int] = ()) -> Iterator[Stretch]:
        """The rows in stretches of so many arrivals, each with the labels that came meanwhile.

        Parameters
        ----------
        cuts
            Moments at which a new stretch begins.
        """
        arrives, becomes_known = self.at[self.tested], self.labelled_at[self.labelled]
        edges = np.unique(
            np.concatenate(
                (
                    np.arange(0, len(self.tested), rows),
                    np.searchsorted(arrives, np.array(cuts, np.int64)),
                    [0, len(self.tested)],
                )
            )
        ).astype(np.int64)
        began = 0
        start = 0
        for stop in edges[1:].tolist():
            until = int(arrives[stop]) if stop < len(self.tested) else NEVER
            end = int(np.searchsorted(becomes_known, until))
            # Labels may be many, and may all come after the last arrival: they are cut into
            # stretches too. No arrival goes before labels of its past: time would seem further on
            # than it is, and predictions that wait for labels old enough.
            for cut in (*range(began + rows, end, rows), end):
                past = int(np.searchsorted(arrives, becomes_known[cut])) if cut < end else stop
                yield self._stretch(self.tested[start:past], self.labelled[began:cut])
                start, began = past, cut

    def _stretch(self, arrived: Ints, labelled: Ints) -> Stretch:
        rows = np.concatenate((arrived, labelled))
        count, here = len(rows), len(arrived)
        answers = Answers(
            xact_id=np.ones(count, np.int64),
            shipment=np.ones(count, np.int64),
            at=self.at[rows],
            id=ids_of_rows(rows),
            version=self.version[rows],
            application=np.full(count, NUMBER, np.int64),
            revision=np.full(count, NUMBER, np.int64),
            flags=np.where(self.output.present[rows], 0, DEFAULT),
            default_reason=np.full(count, -1, np.int64),
            latency_us=np.zeros(count, np.int64),
            propensity=self.propensity[rows],
            input=self.features.of_rows(rows),
            output=self.output.take(rows),
            scores=self.score.take(rows),
            context=self.context.take(rows),
        )
        labels = Labels(
            np.ones(len(labelled), np.int64),
            np.ones(len(labelled), np.int64),
            self.labelled_at[labelled],
            answers.id[here:],
            answers.id[here:],
            self.label.take(labelled),
        )
        every, none = np.arange(len(labelled)), np.zeros(0, np.int64)
        return Stretch(
            answers,
            labels,
            np.arange(here),
            every,
            here + every,
            Joined(here + every, every, every),
            Pairs(none, none, none, none),
        )


def ids_of_rows(rows: Ints) -> Ids:
    """The number of a row stands for its prediction's id."""
    ids = np.zeros((len(rows), 2), ">i8")
    ids[:, 1] = rows
    return ids_of(ids.view(np.uint8))


def read_file(path: Path, *, task: str | None, reference_rows: int) -> FileRows:
    """Read a file and split it into reference and tested rows.

    Parameters
    ----------
    task
        binary, multiclass or regression; told from the labels when absent.
    reference_rows
        First rows of each version that become its reference.

    Raises
    ------
    InvalidRowsError
        If it cannot be read as rows, with the row and the column.
    """
    table = read_table(path)
    for name in ("predicted_at", "output"):
        if name not in table.column_names:
            raise InvalidRowsError(str(path), f"a column {name}", table.column_names)
    if not table.num_rows:
        raise InvalidRowsError(str(path), "at least one row", "none")
    at = moments(path, table, "predicted_at")
    task = task or _task(table)
    output, label = _answers(path, table, task)
    labelled_at = _label_times(path, table, at, label)
    order = np.argsort(at, kind="stable")
    version, names = _versions(table)
    is_reference = _first_of_each(version[order], reference_rows)
    features = [n for n in table.column_names if n not in FIXED and not n.startswith(CONTEXT)]
    described, columns = features_of_file(path, table, features)
    score = _optional_number(path, table, "score")
    weight = _optional_number(path, table, "weight")
    if (weight <= 0).any():
        row = int(np.argmax(weight <= 0))
        raise InvalidRowsError(f"{path}, row {row}", "a weight above 0", float(weight[row]))
    tested = order[~is_reference]
    labelled = tested[labelled_at[tested] != NEVER]
    labelled = labelled[np.argsort(labelled_at[labelled], kind="stable")]
    known = {}
    for number in range(1, len(names) + 1):
        first = order[is_reference & (version[order] == number)]
        if len(first):
            answers = (output.take(first), label.take(first))
            known[number] = _known(columns.of_rows(first), described, columns.texts, answers, task)
    return FileRows(
        table.num_rows,
        task,
        _registry(task, described, names),
        known,
        at,
        labelled_at,
        tested,
        labelled,
        version,
        output,
        label,
        ScoreTexts.of_values(score),
        contexts(table, CONTEXT),
        columns,
        np.where(np.isnan(weight), 1.0, 1.0 / weight),
    )


def _registry(task: str, features: tuple[Feature, ...], names: list[str]) -> Registry:
    versions = {number: Version(number, "", name) for number, name in enumerate(names, 1)}
    policy = {"kind": "single", "champion": versions[1].name}
    revision = Revision(NUMBER, NUMBER, "change", None, policy, NUMBER)
    return Registry(
        {NUMBER: Application(NUMBER, "file", task)},
        versions,
        {NUMBER: Route((revision,))},
        {NUMBER: InputSchema(NUMBER, NUMBER, features, "columns")},
    )


def _known(
    inputs: InputColumns,
    features: tuple[Feature, ...],
    texts: Mapping[int, str],
    answers: tuple[Texts, Texts],
    task: str,
) -> Known:
    """The first rows of a version, as if they had been uploaded with it."""
    assert inputs.read is not None

    def plain(value: float, feature: Feature) -> object:
        if np.isnan(value):
            return None
        return texts[int(value)] if feature.kind == "string" else value

    rows = [
        [plain(value, feature) for value, feature in zip(row, features, strict=True)]
        for row in inputs.read(inputs.start).values.tolist()
    ]
    outputs, labels = ([parsed(some.at(n)) for n in range(len(some))] for some in answers)
    names = tuple(feature.name for feature in features)
    return Known.of(
        Reference(names, rows, labels if answers[1].present.any() else None, outputs),
        task,
        features,
    )


def _first_of_each(version: Ints, count: int) -> np.ndarray:
    """Which rows, in order of arrival, are among the first of their version."""
    first = np.zeros(len(version), np.bool_)
    for number in np.unique(version).tolist():
        first[np.flatnonzero(version == number)[:count]] = True
    return first


def _label_times(path: Path, table: pa.Table, at: Ints, label: Texts) -> Ints:
    known = at
    if "labelled_at" in table.column_names:
        stated = moments(path, table, "labelled_at", optional=True)
        known = np.where(stated == NEVER, at, stated)
        early = label.present & (known < at - SKEW // timedelta(microseconds=1))
        if early.any():
            row = int(np.argmax(early))
            raise InvalidRowsError(
                f"{path}, row {row}", "labelled_at not before predicted_at", "an earlier time"
            )
    return np.where(label.present, known, NEVER)


def _task(table: pa.Table) -> str:
    """Told from the labels, or from the outputs where there are none."""
    column = table["label" if "label" in table.column_names else "output"]
    distinct = len(column.unique().drop_null())
    if is_number(column.type) and distinct > MANY_VALUES:
        return "regression"
    return "binary" if distinct <= 2 else "multiclass"


def _answers(path: Path, table: pa.Table, task: str) -> tuple[Texts, Texts]:
    """Outputs and labels."""
    has_label = "label" in table.column_names
    if task == "regression":
        output = NumberTexts.of_values(numbers(path, table, "output"))
        nothing = np.full(table.num_rows, np.nan)
        label = numbers(path, table, "label") if has_label else nothing
        return output, NumberTexts.of_values(label)
    # As different types they would all differ: 1 and "1" are one class in a file.
    as_text = has_label and is_number(table["label"].type) != is_number(table["output"].type)
    coded = categories(table, "output", as_text=as_text)
    none = CodedTexts.coded(np.full(table.num_rows, -1, np.int64), ())
    return coded, categories(table, "label", as_text=as_text) if has_label else none


def _versions(table: pa.Table) -> tuple[Ints, list[str]]:
    """Number of each row's version from 1, and their names in order of appearance."""
    if "version" not in table.column_names:
        return np.ones(table.num_rows, np.int64), ["1"]
    coded = categories(table, "version", as_text=True)
    names = [str(parsed(text)) for text in coded.texts]
    number = np.where(coded.start < 0, len(names), coded.start) + 1
    return number, [*names, "unknown"] if (coded.start < 0).any() else names


def _optional_number(path: Path, table: pa.Table, name: str) -> np.ndarray:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return numbers(path, table, name)
