"""Prometheus' text form, written in slices so that a scrape never keeps a prediction waiting.

With 200 applications a page has some 14,000 lines. A metrics library makes each from scratch and
takes a hundred milliseconds, in which the interpreter does nothing else; the front of a line, its
name and labels, is the same at every scrape and is kept here.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from serving.histogram import Histogram
from serving.metrics import Declared, Kind

SLICE_SECONDS = 0.0005
"""How long a scrape goes on before others have their turn."""
MOST_FRONTS = 200_000
"""Kept fronts of lines; past it versions that are long gone have left some."""

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Family(msgspec.Struct, array_like=True, gc=False):
    """All lines of one name, as they travel between workers."""

    head: str
    body: bytes


class Fronts:
    """Fronts of lines by metric and values of its labels.

    Parameters
    ----------
    common
        Labels that every line carries.
    """

    def __init__(self, common: Mapping[str, str] | None = None) -> None:
        self._common = "".join(f',{name}="{_escaped(v)}"' for name, v in (common or {}).items())
        self._one: dict[tuple[str, tuple[str, ...]], str] = {}
        self._many: dict[tuple[str, tuple[str, ...]], str] = {}

    def one(self, metric: Declared, values: tuple[str, ...]) -> str:
        """Front of the only line of some labels."""
        key = (metric.name, values)
        front = self._one.get(key)
        if front is None:
            if len(self._one) > MOST_FRONTS:
                self._one.clear()
            suffix = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(metric.kind, "")
            front = self._one[key] = self._front(metric.name + suffix, metric.labels, values)
        return front

    def many(self, metric: Declared, values: tuple[str, ...], bounds: Sequence[float]) -> str:
        """A histogram's lines with room for its counts, its sum and its count."""
        key = (metric.name, values)
        lines = self._many.get(key)
        if lines is None:
            if len(self._many) * len(bounds) > MOST_FRONTS:
                self._many.clear()
            name, labels = metric.name, metric.labels
            fronts = [
                self._front(f"{name}_bucket", (*labels, "le"), (*values, bound))
                for bound in (*map(_bound, bounds), "+Inf")
            ]
            fronts += [self._front(name + end, labels, values) for end in ("_sum", "_count")]
            rooms = ["%d"] * (len(bounds) + 1) + ["%r", "%d"]
            lines = self._many[key] = "".join(
                f"{front.replace('%', '%%')}{room}\n"
                for front, room in zip(fronts, rooms, strict=True)
            )
        return lines

    def _front(self, name: str, labels: Sequence[str], values: Sequence[str]) -> str:
        pairs = [
            f'{label}="{_escaped(value)}"' for label, value in zip(labels, values, strict=True)
        ]
        inside = ",".join(pairs) + self._common
        return f"{name}{{{inside.lstrip(',')}}} " if inside else f"{name} "


class Page:
    """One scrape, as it is written."""

    def __init__(self, fronts: Fronts) -> None:
        self._fronts = fronts
        self._bodies: dict[Declared, list[str]] = {}

    def declare(self, *metrics: Declared) -> None:
        """Name metrics that have no numbers yet: their lines stand in this order."""
        for metric in metrics:
            self._bodies.setdefault(metric, [])

    def number(self, metric: Declared, value: float, *labels: str) -> None:
        """Write a counter's, a gauge's or an information's line."""
        lines = self._bodies.setdefault(metric, [])
        lines.append(f"{self._fronts.one(metric, labels)}{value}\n")

    def histogram(self, metric: Declared, histogram: Histogram, *labels: str) -> None:
        """Write a histogram's lines."""
        lines = self._fronts.many(metric, labels, histogram.bounds)
        counts = list(histogram.cumulated())
        filled = lines % (*counts, histogram.total, counts[-1])
        self._bodies.setdefault(metric, []).append(filled)

    async def families(self) -> list[Family]:
        """Everything written so far, by name."""
        made = []
        for one, lines in self._bodies.items():
            made.append(Family(_head(one), "".join(lines).encode()))
            await asyncio.sleep(0)
        return made


async def written(parts: Iterable[None]) -> None:
    """Go through the parts of a page; others have their turn after each slice of time."""
    until = time.perf_counter() + SLICE_SECONDS
    for _ in parts:
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + SLICE_SECONDS


def text(pages: Iterable[list[Family]]) -> bytes:
    """Several workers' numbers as one page: the lines of a name stand together."""
    bodies: dict[str, list[bytes]] = {}
    for page in pages:
        for family in page:
            if family.body:
                bodies.setdefault(family.head, []).append(family.body)
    return b"".join(
        piece for head, several in bodies.items() for piece in (head.encode(), *several)
    )


def _head(metric: Declared) -> str:
    suffix = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(metric.kind, "")
    kind = Kind.GAUGE if metric.kind == Kind.INFO else metric.kind
    name, said = metric.name + suffix, metric.help.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {said}\n# TYPE {name} {kind.value}\n"


def _bound(bound: float) -> str:
    return str(float(bound))


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)
