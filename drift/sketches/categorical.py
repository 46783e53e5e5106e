"""A categorical feature as counts of the reference's categories."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drift.base import checked_count
from drift.binning import Category, count_categories
from drift.checkpoint import pack, unpack
from drift.errors import (
    CheckpointError,
    InsufficientDataError,
    InvalidObservationError,
    InvalidSettingError,
)
from drift.two_sample.base import MIN_SIZE

DEFAULT_CATEGORIES = 1_000
"""Categories with a cell of their own; the rarer ones share OTHER. With fewer cells than categories
those near the limit were let in for being frequent in the reference, and a fresh window will show
less of them: of 200 equal categories in 64 cells, chi-square at 5 % rejects 30 % of quiet windows
of 1,000 rows."""

MAX_CATEGORIES = 100_000
"""Most different values of a reference; a column with more holds identifiers, not categories."""

_NAME = "categorical-sketch"


@dataclass(frozen=True, slots=True)
class CategoricalBins:
    """Cells of one feature, fixed by the reference.

    A value that the reference held but rarely counts as OTHER; one it never held as UNSEEN. The two
    are kept apart: more of OTHER is a shift, the first UNSEEN is news.
    """

    categories: tuple[Category, ...]
    """With a cell of their own, most frequent first."""
    others: tuple[Category, ...] = ()
    """Known to the reference, counted together as OTHER."""
    _cell_of: Mapping[Category, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        cells = {value: cell for cell, value in enumerate(self.categories)}
        cells |= dict.fromkeys(self.others, len(self.categories))
        if len(cells) != len(self.categories) + len(self.others):
            raise InvalidSettingError("categories", "each category once", self.categories)
        object.__setattr__(self, "_cell_of", cells)

    @classmethod
    def from_reference(
        cls, values: NDArray[np.generic], *, limit: int = DEFAULT_CATEGORIES
    ) -> Self:
        """The `limit` most frequent categories, and the rest as OTHER.

        Parameters
        ----------
        values : shape (n,)
            The feature in the reference; None and NaN are missing.
        limit
            Most categories with a cell of their own, at least 1.

        Raises
        ------
        InsufficientDataError
            If fewer than `MIN_SIZE` values are present.
        InvalidObservationError
            If a value is no category, or there are more than `MAX_CATEGORIES` different ones.
        """
        limit = checked_count("limit", limit, least=1)
        counts, _ = count_categories("reference", values)
        if sum(counts.values()) < MIN_SIZE:
            raise InsufficientDataError("values of the reference", MIN_SIZE, sum(counts.values()))
        if len(counts) > MAX_CATEGORIES:
            raise InvalidObservationError(
                "reference", f"at most {MAX_CATEGORIES} different values", len(counts)
            )
        # Ties by name, so that the same reference always gives the same cells.
        ranked = sorted(counts, key=lambda value: (-counts[value], str(value)))
        return cls(tuple(ranked[:limit]), tuple(ranked[limit:]))

    def sketch(self, values: NDArray[np.generic]) -> "CategoricalSketch":
        """Count one window, or a part of one. Empty is allowed.

        Parameters
        ----------
        values : shape (n,)
            None and NaN count as missing, a value that the reference never held as UNSEEN.
        """
        counts, missing = count_categories("values", values)
        return self.sketch_found(counts, missing)

    def sketch_codes(
        self, codes: NDArray[np.integer], names: Sequence[Category]
    ) -> "CategoricalSketch":
        """Count a window given as positions in a dictionary, as Arrow and pandas keep categories.

        Parameters
        ----------
        codes : shape (n,)
            Positions in `names`, from 0; -1 is missing.
        names
            The dictionary; its order is free and may differ from window to window.

        Raises
        ------
        InvalidObservationError
            If a code is outside the dictionary.
        """
        codes = np.asarray(codes)
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise InvalidObservationError("codes", "whole numbers of shape (n,)", codes.dtype)
        if len(codes) and (codes.min() < -1 or codes.max() >= len(names)):
            bad = codes.min() if codes.min() < -1 else codes.max()
            raise InvalidObservationError("code", f"a number in [-1, {len(names)})", int(bad))
        by_code = np.bincount(codes.astype(np.int64) + 1, minlength=len(names) + 1).tolist()
        counts: dict[Category, int] = {}
        for name, count in zip(names, by_code[1:], strict=True):
            counts[name] = counts.get(name, 0) + count
        return self.sketch_found(counts, by_code[0])

    def sketch_found(self, found: Mapping[Category, int], missing: int) -> "CategoricalSketch":
        """Take over counts by value, as a GROUP BY gives them."""
        own = len(self.categories)
        counts = [0] * (own + 3)
        for value, count in found.items():
            counts[self._cell_of.get(value, own + 1)] += count
        counts[own + 2] = missing
        return CategoricalSketch(self, tuple(counts))


@dataclass(frozen=True, slots=True)
class CategoricalSketch:
    """How many rows held what. Adding two is the same as counting their rows together."""

    bins: CategoricalBins
    counts: tuple[int, ...]
    """Each category, OTHER, UNSEEN, missing."""

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bins.categories) + 3 or min(self.counts) < 0:
            raise InvalidSettingError(
                "counts", f"{len(self.bins.categories) + 3} counts of 0 or more", self.counts
            )

    @property
    def rows(self) -> int:
        """Rows counted, missing ones included."""
        return sum(self.counts)

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return self.counts[-1]

    @property
    def unseen(self) -> int:
        """Rows with a value that the reference never held."""
        return self.counts[-2]

    def merge(self, other: Self) -> Self:
        """Both together.

        Raises
        ------
        InvalidSettingError
            If the other was counted in other cells.
        """
        if self.bins != other.bins:
            raise InvalidSettingError("bins", f"{self.bins}", other.bins)
        return type(self)(
            self.bins, tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        )

    def to_bytes(self) -> bytes:
        """Categories and counts with a schema version and a checksum."""
        names = json.dumps([self.bins.categories, self.bins.others]).encode()
        return pack(
            _NAME,
            {},
            [np.frombuffer(names, dtype=np.uint8), np.array(self.counts, dtype=np.int64)],
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises
        ------
        CheckpointError
            If the bytes are damaged, of another version, or of something else.
        """
        names, counts = unpack(_NAME, {}, data)
        try:
            categories, others = json.loads(names.tobytes())
            return cls(CategoricalBins(tuple(categories), tuple(others)), tuple(counts.tolist()))
        except ValueError as error:
            raise CheckpointError(f"not the sketch of a categorical feature: {error}") from error
