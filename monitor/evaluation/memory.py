"""What a monitor keeps in its head between turns; all of it can be read again."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec
import numpy as np

from monitor.evaluation.aside import Aside
from monitor.evaluation.detector_state import Subject
from monitor.feed.columns import Bools, Ints
from monitor.feed.texts import Texts
from monitor.records import Feature, Position, Registry, Watch, WatchState
from monitor.signals.base import FEATURES
from monitor.signals.inputs import (
    Columns,
    Matrix,
    Profile,
    category_code,
    class_name,
    columns_of,
    faults,
    profile_of,
)
from monitor.signals.losses import loss_of_values
from monitor.signals.segments import Segments, bin_name
from monitor.store.registry import Reference
from monitor.watches.budget import BudgetChange

MOST_APPLICATIONS = 256
"""Applications whose detectors are kept; the others are read again at their next row."""


@dataclass(frozen=True, slots=True)
class Known:
    """Reference rows of one version, as observations of its signals."""

    features: tuple[Feature, ...] = ()
    columns: Columns | None = None
    bad: Matrix | None = None
    profile: Profile = field(default_factory=Profile)
    losses: Matrix | None = None
    """Shape (n,), NaN where a row has none; absent without labels and outputs."""
    outputs: Matrix | None = None

    @classmethod
    def of(cls, reference: Reference, task: str, features: tuple[Feature, ...]) -> "Known":
        """Read what was uploaded."""
        stated = {feature.name: feature for feature in features}
        order = tuple(stated.get(name, Feature(name, "number")) for name in reference.features)
        columns = columns_of(reference.inputs, order) if order and reference.inputs else None
        profile = Profile() if columns is None else profile_of(columns, order)
        losses = None
        if reference.labels is not None and reference.outputs is not None:
            losses = loss_of_values(task, reference.outputs, reference.labels)
        return cls(
            order,
            columns,
            None if columns is None else faults(columns, order, profile),
            profile,
            losses,
            None if reference.outputs is None else _outputs(reference.outputs, task),
        )

    def values(self, signal: str, segments: Segments | None, subject: str) -> Matrix | None:
        """Values of a signal on the rows of a subject; none where the reference does not say.

        Of all features together, shape (n, numeric features), NaN where there is no value.
        """
        if signal == FEATURES:
            return self._numbers()
        found = self._all(signal)
        if found is None or "|" not in subject:
            return None if found is None else found[~np.isnan(found)]
        if segments is None or not segments.by.startswith("feature.") or self.columns is None:
            return None
        mine = self._in_segment(segments, subject.partition("=")[2])
        if mine is None or len(mine) != len(found):
            return None
        chosen = found[mine]
        return chosen[~np.isnan(chosen)]

    def edges(self, segments: Segments) -> tuple[float, ...] | None:
        """Edges of a numeric feature's bins; none where it has none."""
        if segments.edges is not None or segments.bins is None:
            return segments.edges
        column = self._column(segments.name)
        if column is None:
            return None
        column = column[~np.isnan(column)]
        if not len(column):
            return None
        inner = np.arange(1, segments.bins) / segments.bins
        return tuple(float(edge) for edge in np.unique(np.quantile(column, inner)))

    def _in_segment(self, segments: Segments, label: str) -> Bools | None:
        column = self._column(segments.name)
        if column is None or self.columns is None:
            return None
        edges = self.edges(segments)
        if edges is not None:
            names = [bin_name(number, edges) for number in range(len(edges) + 1)]
            if label not in names:
                return None
            inside = np.searchsorted(np.array(edges), column, side="right") == names.index(label)
            return np.asarray(inside & ~np.isnan(column))
        return np.asarray(column == category_code(label))

    def _column(self, name: str) -> Matrix | None:
        names = [feature.name for feature in self.features]
        if self.columns is None or name not in names:
            return None
        column: Matrix = self.columns.values[:, names.index(name)]
        return column

    def _numbers(self) -> Matrix | None:
        if self.columns is None:
            return None
        numeric = [place for place, one in enumerate(self.features) if one.is_numeric]
        values: Matrix = self.columns.values[:, numeric]
        return values

    def _all(self, signal: str) -> Matrix | None:
        family, _, name = signal.partition(".")
        names = [feature.name for feature in self.features]
        if family == "feature":
            return self._column(name)
        if family == "quality":
            if self.bad is None or name not in names:
                return None
            column: Matrix = self.bad[:, names.index(name)]
            return column
        return {"loss": self.losses, "output": self.outputs}.get(signal)


def _outputs(outputs: list[object], task: str) -> Matrix:
    texts = Texts.of(msgspec.json.encode(output) for output in outputs)
    if task == "regression":
        return texts.numbers()
    distinct, code = texts.distinct()
    names = [class_name(text) for text in distinct]
    numbers = [float("nan") if name is None else category_code(name) for name in names]
    return np.array([*numbers, np.nan])[code]


@dataclass(slots=True)
class Kept:
    """The watches of one application and their detectors, as they were committed."""

    watches: list[Watch]
    subjects: dict[int, dict[str, Subject]] = field(default_factory=dict)
    """By watch; a watch of which every row was put aside is absent until one completes a step."""
    asides: dict[int, dict[str, Aside]] = field(default_factory=dict)
    """By watch and subject: what is put aside, to be fed before what comes."""
    pauses: dict[int, WatchState] = field(default_factory=dict)
    """By watch: the pauses between requests."""
    failed: dict[int, Exception] = field(default_factory=dict)
    """By watch: what its evaluation raised in this turn. What it had changed is dropped."""

    def fail(self, watch: Watch, error: Exception) -> None:
        """A watch cannot be evaluated: others see nothing of it, and no state of it is saved.

        Raises
        ------
        MemoryError
            If that is what it raised: the monitor lacks memory, and the watch is not to blame.
        """
        if isinstance(error, MemoryError):
            raise error
        self.failed[watch.id] = error
        # Empty, not absent: it is not to be read again.
        self.subjects[watch.id] = {}
        self.asides.pop(watch.id, None)
        self.pauses.pop(watch.id, None)


@dataclass(slots=True)
class Memory:
    """Filled by turns; emptied by whatever goes wrong."""

    registry: Registry | None = None
    token: tuple[str | None, ...] = ()
    """Of the registry, and of the references."""
    known: dict[int, Known] = field(default_factory=dict)
    """By version."""
    budgets: dict[int, list[BudgetChange]] = field(default_factory=dict)
    """Changes by applications that ever set any."""
    at: Position | None = None
    """Where the record had been read to when the detectors were kept."""
    place: Position | None = None
    """Where the turn under way began."""
    listened: datetime | None = None
    """When silences were last looked for."""
    _kept: OrderedDict[int, Kept] = field(default_factory=OrderedDict)
    pending: dict[int, Kept] = field(default_factory=dict)
    """Of the turn under way; nothing of it holds until the turn is committed."""

    def take(self, application: int, watches: list[Watch]) -> Kept | None:
        """Detectors of an application, if they still are what the tables hold.

        They are handed out once: a turn that fails has changed them.
        """
        kept = self._kept.pop(application, None)
        if kept is None or kept.watches != watches:
            return None
        return kept

    def keep(self, application: int, kept: Kept, clocks: Mapping[int, datetime]) -> None:
        """Remember what the turn under way makes of an application; it is read again where a watch
        failed."""
        if kept.failed:
            return
        kept.watches = [
            replace(w, clock=clocks[w.id]) if w.id in clocks else w for w in kept.watches
        ]
        self.pending[application] = kept

    def committed(self, until: Position | None) -> None:
        """The turn is committed: what it kept holds.

        Parameters
        ----------
        until
            Up to where it read; none where there was nothing to read.
        """
        self.at = self.place if until is None else until
        for application, kept in self.pending.items():
            self._kept[application] = kept
        self.pending = {}
        while len(self._kept) > MOST_APPLICATIONS:
            self._kept.popitem(last=False)

    def drop(self, application: int) -> None:
        """The tables hold something else of an application now: it is read again."""
        self._kept.pop(application, None)
        self.pending.pop(application, None)

    def at_place(self, after: Position) -> None:
        """A turn begins after `after`: what was kept elsewhere in the record no longer holds."""
        self.pending, self.place = {}, after
        if self.at != after:
            self._kept.clear()

    def forget(self) -> None:
        """A turn failed: what it wrote is undone, the watches of new applications too."""
        self.registry, self.token = None, ()
        self.known, self.budgets, self.listened = {}, {}, None
        self.pending = {}
        self._kept.clear()


def version_of(subject: str) -> int:
    """The version that a subject is about; of two, the new one."""
    return int(subject.partition("|")[0].split(",")[0])


def versions_in(numbers: Ints) -> list[int]:
    """Versions that answered."""
    return [int(number) for number in np.unique(numbers) if number > 0]
