"""Windows as counts: the same as counting all rows at once, wherever the rows were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from drift.binning import Grid
from drift.errors import (
    CheckpointError,
    DriftError,
    InsufficientDataError,
    InvalidObservationError,
    InvalidSettingError,
)
from drift.sketches.categorical import MAX_CATEGORIES, CategoricalBins, CategoricalSketch
from drift.sketches.numeric import MAX_BINS, NumericBins, NumericSketch

REFERENCE = np.random.default_rng(1).normal(size=500)
NUMERIC = NumericBins.from_reference(REFERENCE, bins=8)
CATEGORICAL = CategoricalBins.from_reference(np.array(list("aaabbbcd") * 20), limit=2)

any_float = st.floats(allow_nan=True, allow_infinity=True)
columns = hnp.arrays(np.float64, st.integers(0, 60), elements=any_float)
letters = st.lists(st.sampled_from(["a", "b", "c", "d", "new", None]), max_size=40)


def _objects(values: list[str | None]) -> NDArray[np.object_]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@given(columns, columns, columns)
def test_numeric_parts_add_up_in_any_order(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
) -> None:
    x, y, z = (NUMERIC.sketch(part) for part in (a, b, c))
    whole = NUMERIC.sketch(np.concatenate([a, b, c]))
    assert x.merge(y).merge(z) == x.merge(y.merge(z)) == z.merge(x).merge(y) == whole
    assert whole.rows == len(a) + len(b) + len(c)


@given(letters, letters, letters)
def test_categorical_parts_add_up_in_any_order(
    a: list[str | None], b: list[str | None], c: list[str | None]
) -> None:
    x, y, z = (CATEGORICAL.sketch(_objects(part)) for part in (a, b, c))
    whole = CATEGORICAL.sketch(_objects(a + b + c))
    assert x.merge(y).merge(z) == x.merge(y.merge(z)) == z.merge(x).merge(y) == whole
    assert whole.missing == (a + b + c).count(None)
    assert whole.unseen == (a + b + c).count("new")


@given(columns)
def test_a_numeric_sketch_comes_back_from_its_bytes(values: NDArray[np.float64]) -> None:
    sketch = NUMERIC.sketch(values)
    assert NumericSketch.from_bytes(sketch.to_bytes()) == sketch


@given(letters)
def test_a_categorical_sketch_comes_back_from_its_bytes(values: list[str | None]) -> None:
    sketch = CATEGORICAL.sketch(_objects(values))
    assert CategoricalSketch.from_bytes(sketch.to_bytes()) == sketch


@given(
    hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(allow_nan=False), unique=True),
    hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(allow_nan=False)),
)
def test_the_grid_finds_what_a_binary_search_finds(
    edges: NDArray[np.float64], values: NDArray[np.float64]
) -> None:
    edges = np.sort(edges[np.isfinite(edges)])
    if len(edges) < 2:
        edges = np.array([0.0, 1.0])
    # Values on the edges and next to them are where a shortcut would go wrong.
    with np.errstate(over="ignore", under="ignore"):
        near = [np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)]
    values = np.concatenate([values, edges, *near])
    searched = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    counts, missing, lowest, highest = Grid(edges).count(values)
    assert counts.tolist() == searched.tolist()
    assert (missing, lowest, highest) == (0, values.min(), values.max())


def test_the_reference_lies_inside_its_own_edges_in_equal_shares() -> None:
    values = np.random.default_rng(2).lognormal(size=64_000)
    sketch = NumericBins.from_reference(values, bins=64).sketch(values)
    assert sketch.out_of_range == 0
    assert max(sketch.counts[1:-2]) < 1.2 * 1_000


def test_each_value_of_a_discrete_feature_has_a_bin_of_its_own() -> None:
    values = np.repeat([0.0, 1.0, 5.0], [30, 20, 10])
    assert NumericBins.from_reference(values).sketch(values).counts == (0, 30, 20, 10, 0, 0)


def test_a_constant_feature_has_one_bin_and_everything_else_is_out_of_range() -> None:
    bins = NumericBins.from_reference(np.full(50, 3.0))
    assert bins.sketch(np.array([3.0, 3.0, 2.9, 3.1, np.nan])).counts == (1, 2, 1, 1)


def test_an_infinity_is_out_of_range_and_a_nan_is_missing() -> None:
    sketch = NUMERIC.sketch(np.array([np.inf, -np.inf, np.nan, 0.0]))
    assert (sketch.out_of_range, sketch.missing, sketch.rows) == (2, 1, 4)


def test_a_value_the_reference_never_held_is_unseen_and_a_rare_one_is_other() -> None:
    sketch = CATEGORICAL.sketch(_objects(["a", "a", "b", "c", "d", "zebra", None]))
    assert CATEGORICAL.categories == ("a", "b")
    assert sketch.counts == (2, 1, 2, 1, 1)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.uint64, np.float64, object])
def test_codes_count_alike_in_every_type_of_array(kind: type) -> None:
    codes = np.random.default_rng(3).integers(0, 100, 5_000)
    bins = CategoricalBins.from_reference(codes)
    assert bins.sketch(codes.astype(kind)) == bins.sketch(codes)


def test_very_different_integers_are_counted_too() -> None:
    values = np.array([-(2**63), 2**63 - 1, 0] * 10, dtype=np.int64)
    bins = CategoricalBins.from_reference(values)
    assert sorted(bins.sketch(values).counts) == [0, 0, 0, 10, 10, 10]


def test_a_dictionary_in_another_order_counts_alike() -> None:
    codes, names = np.array([0, 1, 1, -1, 3], dtype=np.int8), ["b", "a", "c", "new"]
    texts = _objects(["b", "a", "a", None, "new"])
    assert CATEGORICAL.sketch_codes(codes, names) == CATEGORICAL.sketch(texts)


def test_a_table_column_that_is_not_contiguous_counts_alike() -> None:
    table = np.random.default_rng(4).normal(size=(100_000, 3))
    assert NUMERIC.sketch(table[:, 1]) == NUMERIC.sketch(table[:, 1].copy())


def test_sketches_of_other_bins_do_not_merge() -> None:
    other = NumericBins.from_reference(REFERENCE, bins=7).sketch(REFERENCE)
    with pytest.raises(InvalidSettingError, match="bins"):
        NUMERIC.sketch(REFERENCE).merge(other)
    letters = CategoricalBins(("a", "b", "c")).sketch(_objects([]))
    with pytest.raises(InvalidSettingError, match="bins"):
        CATEGORICAL.sketch(_objects([])).merge(letters)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.array([]), InsufficientDataError),
        (np.array([1.0, 2.0, 3.0]), InsufficientDataError),
        (np.full(100, np.nan), InsufficientDataError),
        (np.full(100, np.inf), InsufficientDataError),
        (np.full(100, np.finfo(np.float64).max), InvalidObservationError),
        (np.zeros((30, 2)), InvalidObservationError),
        (np.array(["text"] * 30), InvalidObservationError),
    ],
)
def test_a_bad_numeric_reference_is_refused(
    values: NDArray[np.float64], error: type[DriftError]
) -> None:
    with pytest.raises(error):
        NumericBins.from_reference(values)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.array([], dtype=object), InsufficientDataError),
        (np.array(["a", "b", "c"]), InsufficientDataError),
        (_objects([None] * 50), InsufficientDataError),
        (np.arange(MAX_CATEGORIES + 1), InvalidObservationError),
        (np.array([[1], [2]] * 20), InvalidObservationError),
        (np.array([b"bytes"] * 30), InvalidObservationError),
        (np.array([np.inf] * 30), InvalidObservationError),
        (np.array([{"a": 1}] * 30, dtype=object), InvalidObservationError),
    ],
)
def test_a_bad_categorical_reference_is_refused(
    values: NDArray[np.generic], error: type[DriftError]
) -> None:
    with pytest.raises(error):
        CategoricalBins.from_reference(values)


def test_settings_out_of_range_are_refused() -> None:
    for bins in (0, MAX_BINS + 1, 2.5):
        with pytest.raises(InvalidSettingError, match="bins"):
            NumericBins.from_reference(REFERENCE, bins=bins)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidSettingError, match="edges"):
        NumericBins((1.0, 1.0))
    with pytest.raises(InvalidSettingError, match="categories"):
        CategoricalBins(("a",), ("a",))
    with pytest.raises(InvalidObservationError, match="code"):
        CATEGORICAL.sketch_codes(np.array([2]), ["a", "b"])


def test_bytes_of_something_else_are_refused() -> None:
    data = NUMERIC.sketch(REFERENCE).to_bytes()
    with pytest.raises(CheckpointError):
        CategoricalSketch.from_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        NumericSketch.from_bytes(data[:-9] + b"x" + data[-8:])
    with pytest.raises(CheckpointError):
        NumericSketch.from_bytes(b"")
