"""The familiar tests: printed values, laws, and what they refuse."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats

from drift.errors import InsufficientDataError, InvalidObservationError, InvalidSettingError
from drift.sketches.categorical import CategoricalBins
from drift.sketches.numeric import NumericBins
from drift.two_sample.anderson_darling import anderson_darling_test
from drift.two_sample.base import Comparison
from drift.two_sample.cells import Sketch
from drift.two_sample.chi_square import chi_square_test, chi_square_test_counts
from drift.two_sample.classifier import classifier_test
from drift.two_sample.columns import compare_columns, holm
from drift.two_sample.cramer_von_mises import cramer_von_mises_test
from drift.two_sample.energy import energy_test
from drift.two_sample.hellinger import hellinger, hellinger_counts
from drift.two_sample.jensen_shannon import jensen_shannon, jensen_shannon_counts
from drift.two_sample.ks import dkw_half_width, ks_critical_value, ks_test, ks_test_counts
from drift.two_sample.mmd import mmd_test
from drift.two_sample.pca import pca_reconstruction_test
from drift.two_sample.psi import psi, psi_counts
from drift.two_sample.wasserstein import wasserstein, wasserstein_counts

Window = NDArray[np.float64]
Test = Callable[[Window, Window], Comparison]

RAW: dict[str, Test] = {
    "ks": ks_test,
    "anderson-darling": anderson_darling_test,
    "cramer-von-mises": cramer_von_mises_test,
    "wasserstein": wasserstein,
    "energy": lambda a, b: energy_test(a, b, np.random.default_rng(1), permutations=19),
    "mmd": lambda a, b: mmd_test(a, b, np.random.default_rng(1), permutations=19),
}
BINNED: dict[str, Test] = {"psi": psi, "jensen-shannon": jensen_shannon, "hellinger": hellinger}
NO_UNIT = {name: test for name, test in (RAW | BINNED).items() if name != "wasserstein"}
FROM_COUNTS: dict[str, Callable[[Sketch, Sketch], Comparison]] = {
    "chi-square": chi_square_test_counts,
    "psi": psi_counts,
    "jensen-shannon": jensen_shannon_counts,
    "hellinger": hellinger_counts,
}

numbers = st.integers(-1_000, 1_000).map(lambda value: value / 8)
windows = hnp.arrays(np.float64, st.integers(20, 60), elements=numbers)


# Printed and recomputed values


@pytest.mark.parametrize(
    ("alpha", "size", "value"),
    [
        (0.05, 5, 0.56328),
        (0.05, 10, 0.40925),
        (0.05, 20, 0.29408),
        (0.05, 50, 0.18841),
        (0.05, 100, 0.13403),
        (0.01, 10, 0.48893),
        (0.01, 20, 0.35241),
        (0.01, 50, 0.22604),
    ],
)
def test_exact_kolmogorov_smirnov_values_are_those_of_the_tables(
    alpha: float, size: int, value: float
) -> None:
    assert ks_critical_value(alpha, size) == pytest.approx(value, abs=5.1e-6)


def test_the_limit_of_kolmogorov_smirnov_is_1_35810() -> None:
    assert ks_critical_value(0.05, 10**6) * 1_000 == pytest.approx(1.35810, abs=5e-4)


def test_dkw_half_widths_are_those_of_the_formula() -> None:
    assert dkw_half_width(0.05, 100) == pytest.approx(0.135810, abs=5e-7)
    assert dkw_half_width(0.05, 1_000) == pytest.approx(0.042947, abs=5e-7)


def _sketches(first: list[int], second: list[int]) -> tuple[Sketch, Sketch]:
    bins = CategoricalBins(tuple(range(len(first))))
    return (
        bins.sketch(np.repeat(np.arange(len(first)), first)),
        bins.sketch(np.repeat(np.arange(len(second)), second)),
    )


def test_the_population_stability_index_of_the_worked_example() -> None:
    result = psi_counts(*_sketches([50, 30, 20], [40, 35, 25]))
    assert result.statistic == pytest.approx(0.0411791, abs=5e-8)
    assert result.noise == pytest.approx(2 * (1 / 100 + 1 / 100))


def test_distances_of_two_cells_by_hand() -> None:
    sketches = _sketches([50, 50], [100, 0])
    # Roots: (1 - root .5)^2 + .5 = 2 - root 2, halved.
    assert hellinger_counts(*sketches).statistic == pytest.approx(math.sqrt(1 - math.sqrt(0.5)))
    bits = 0.5 * (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(2.0)) + 0.5 * math.log2(1 / 0.75)
    assert jensen_shannon_counts(*sketches).statistic == pytest.approx(math.sqrt(bits))


def test_windows_that_share_no_category_are_at_distance_one() -> None:
    sketches = _sketches([50, 50, 0], [0, 0, 100])
    assert hellinger_counts(*sketches).statistic == pytest.approx(1.0)
    assert jensen_shannon_counts(*sketches).statistic == pytest.approx(1.0)
    assert math.isfinite(psi_counts(*sketches).statistic)


def test_chi_square_equals_scipy_where_no_cell_is_rare() -> None:
    result = chi_square_test_counts(*_sketches([50, 30, 20], [60, 90, 50]))
    expected = stats.chi2_contingency([[50, 30, 20], [60, 90, 50]])
    assert result.statistic == pytest.approx(expected.statistic)
    assert result.pvalue == pytest.approx(expected.pvalue)


@pytest.mark.filterwarnings("ignore:p-value")
@pytest.mark.filterwarnings("ignore:`midrank`")
@pytest.mark.filterwarnings("ignore:Parameter `variant`")
def test_anderson_darling_equals_scipy_with_ties_where_its_table_reaches() -> None:
    rng = np.random.default_rng(5)
    a, b = np.round(rng.normal(size=40), 1), np.round(rng.normal(0.1, size=33), 1)
    expected = stats.anderson_ksamp([a, b], midrank=True)
    assert 0.001 < expected.pvalue < 0.25
    assert anderson_darling_test(a, b).pvalue == pytest.approx(expected.pvalue, rel=0.05)


def test_energy_equals_scipy_on_one_feature_in_its_own_unit() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=80), rng.normal(0.5, size=60)
    ours = energy_test(a, b, rng).statistic * math.sqrt(np.concatenate([a, b]).std())
    assert ours == pytest.approx(stats.energy_distance(a, b))


def test_holm_by_hand() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


# Laws


@pytest.mark.parametrize("name", NO_UNIT)
@settings(max_examples=40, deadline=None)
@given(a=windows, b=windows, k=st.sampled_from([2.0**-30, 0.5, 1024.0]))
def test_the_unit_of_the_feature_does_not_matter(name: str, a: Window, b: Window, k: float) -> None:
    first, second = NO_UNIT[name](a, b), NO_UNIT[name](a * k, b * k)
    assert second.statistic == pytest.approx(first.statistic, abs=1e-7)
    assert second.pvalue == pytest.approx(first.pvalue, abs=1e-7)


@pytest.mark.parametrize("name", ["ks", "anderson-darling", "cramer-von-mises"])
@settings(max_examples=40, deadline=None)
@given(a=windows, b=windows)
def test_rank_tests_see_only_the_order_of_values(name: str, a: Window, b: Window) -> None:
    bent = RAW[name](np.cbrt(a) + a**3, np.cbrt(b) + b**3)
    assert bent.statistic == pytest.approx(RAW[name](a, b).statistic)


@settings(max_examples=40, deadline=None)
@given(windows, windows, st.sampled_from([0.25, 8.0]))
def test_the_wasserstein_distance_is_in_the_unit_of_the_feature(
    a: Window, b: Window, k: float
) -> None:
    assert wasserstein(a * k, b * k).statistic == pytest.approx(k * wasserstein(a, b).statistic)
    assert wasserstein(a, a + k).statistic == pytest.approx(k)


@pytest.mark.parametrize("name", ["ks", "anderson-darling", "cramer-von-mises", "wasserstein"])
@settings(max_examples=40, deadline=None)
@given(a=windows, b=windows)
def test_both_windows_count_alike(name: str, a: Window, b: Window) -> None:
    one, other = RAW[name](a, b), RAW[name](b, a)
    assert one.statistic == pytest.approx(other.statistic, abs=1e-9)
    assert one.pvalue == pytest.approx(other.pvalue, abs=1e-9)


@pytest.mark.parametrize("name", FROM_COUNTS)
@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8),
)
def test_both_windows_count_alike_from_counts(name: str, counts: list[tuple[int, int]]) -> None:
    sketches = _sketches([20, *(a for a, _ in counts)], [20, *(b for _, b in counts)])
    one, other = FROM_COUNTS[name](*sketches), FROM_COUNTS[name](*reversed(sketches))
    assert one.statistic == pytest.approx(other.statistic, abs=1e-9)
    assert one.statistic >= 0.0


@pytest.mark.parametrize("name", RAW | BINNED)
@settings(max_examples=40, deadline=None)
@given(a=windows)
def test_a_window_is_at_no_distance_from_itself(name: str, a: Window) -> None:
    result = (RAW | BINNED)[name](a, a)
    assert result.statistic <= 1e-6 if name != "anderson-darling" else result.statistic <= 0.5
    assert result.pvalue is None or result.pvalue > 0.5


@settings(max_examples=40, deadline=None)
@given(windows, windows, st.integers(1, 30))
def test_the_bounds_from_bins_hold_the_statistic_of_the_raw_values(
    a: Window, b: Window, bins: int
) -> None:
    cells = NumericBins.from_reference(a, bins=bins)
    first, second = cells.sketch(a), cells.sketch(b)
    for raw, binned in (
        (ks_test(a, b), ks_test_counts(first, second)),
        (wasserstein(a, b), wasserstein_counts(first, second)),
    ):
        assert binned.bounds is not None
        low, high = binned.bounds
        assert low - 1e-9 <= raw.statistic <= high + 1e-9
        assert low - 1e-9 <= binned.statistic <= high + 1e-9


def test_with_fine_bins_the_counts_say_what_the_values_say() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=20_000), rng.normal(0.05, 1.1, size=10_000)
    cells = NumericBins.from_reference(a, bins=256)
    first, second = cells.sketch(a), cells.sketch(b)
    assert ks_test_counts(first, second).statistic == pytest.approx(
        ks_test(a, b).statistic, abs=1 / 256
    )
    assert wasserstein_counts(first, second).statistic == pytest.approx(
        wasserstein(a, b).statistic, rel=0.05
    )


def test_random_draws_repeat_with_the_generator() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(300, 3)), rng.normal(0.2, size=(200, 3))
    for test in (energy_test, mmd_test, classifier_test, pca_reconstruction_test):
        runs = [test(a, b, np.random.default_rng(9)) for _ in range(2)]
        assert runs[0] == runs[1]


# What each is for


def test_the_classifier_hears_a_changed_dependence_that_no_single_feature_shows() -> None:
    rng = np.random.default_rng(10)
    a, b = rng.normal(size=(1_000, 4)), rng.normal(size=(1_000, 4))
    b[:, 1] = 0.8 * b[:, 0] + 0.6 * b[:, 1]
    assert classifier_test(a, b, rng).rejects(1e-6)
    assert not ks_test(a[:, 1], b[:, 1]).rejects(0.01)


def test_pca_hears_columns_that_come_apart() -> None:
    rng = np.random.default_rng(11)
    common = rng.normal(size=(1_000, 1))
    a = common + 0.3 * rng.normal(size=(1_000, 5))
    b = rng.normal(size=(1_000, 5)) * a.std(axis=0)
    result = pca_reconstruction_test(a, b, rng)
    assert result.rejects(1e-6)
    assert result.statistic > 1.5


def test_a_feature_that_goes_missing_has_changed() -> None:
    a = np.random.default_rng(12).normal(size=400)
    gone = np.where(np.arange(400) < 200, np.nan, a)
    cells = NumericBins.from_reference(a)
    assert chi_square_test_counts(cells.sketch(a), cells.sketch(gone)).rejects(1e-6)
    assert psi(a, gone).statistic > 1.0
    rows = np.column_stack([a, a])
    assert classifier_test(rows, np.column_stack([a, gone]), np.random.default_rng(13)).rejects(
        1e-6
    )


def test_a_new_category_is_noticed() -> None:
    old = np.array(["red", "green"] * 200)
    new = np.array(["red", "green", "red", "violet"] * 100)
    cells = CategoricalBins.from_reference(old)
    assert chi_square_test_counts(cells.sketch(old), cells.sketch(new)).rejects(1e-6)
    assert chi_square_test(old, new).rejects(1e-6)


def test_one_bad_column_does_not_touch_the_others() -> None:
    rng = np.random.default_rng(14)
    a, b = rng.normal(size=1_000), rng.normal(0.5, size=1_000)
    cells = NumericBins.from_reference(a)
    good, bad = cells.sketch(b), cells.sketch(np.full(1_000, np.nan))
    reports = compare_columns(
        {"x": cells.sketch(a), "empty": cells.sketch(a), "gone": cells.sketch(a)},
        {"x": good, "empty": bad},
    )
    assert reports["x"].problems == ()
    assert reports["x"].adjusted_pvalue is not None
    assert reports["x"].adjusted_pvalue < 1e-6
    assert "values of current" in reports["empty"].problems[0]
    # Nothing is left to compare but that it is missing, and that is compared.
    assert reports["empty"].comparisons[0].test == "chi-square"
    assert reports["gone"].comparisons == ()


# Bad input


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_place(name: str, bad: float) -> None:
    good = np.arange(30.0)
    broken = good.copy()
    broken[7] = bad
    with pytest.raises(InvalidObservationError, match="current at index 7"):
        RAW[name](good, broken)


@pytest.mark.parametrize("name", RAW | BINNED)
@pytest.mark.parametrize("size", [0, 3, 19])
def test_a_short_window_is_refused(name: str, size: int) -> None:
    good = np.arange(30.0)
    for windows_ in ((good[:size], good), (good, good[:size])):
        with pytest.raises(InsufficientDataError, match="20"):
            (RAW | BINNED)[name](*windows_)


@pytest.mark.parametrize("name", RAW | BINNED)
def test_a_constant_feature_has_not_changed_and_leaving_the_constant_has(name: str) -> None:
    constant = np.full(40, 3.0)
    quiet, loud = (
        (RAW | BINNED)[name](constant, constant),
        (RAW | BINNED)[name](constant, constant + np.arange(40.0) + 1),
    )
    assert quiet.statistic == pytest.approx(0.0, abs=1e-9)
    assert quiet.pvalue in (None, 1.0)
    assert loud.statistic > quiet.statistic
    assert loud.pvalue is None or loud.pvalue <= 0.05


def test_several_columns_are_checked_together() -> None:
    rng = np.random.default_rng(15)
    table = rng.normal(size=(200, 3))
    with pytest.raises(InvalidObservationError, match="3 columns"):
        energy_test(table, table[:, :2], rng)
    with pytest.raises(InvalidObservationError, match="shape"):
        mmd_test(table, np.zeros((200, 2, 2)), rng)
    with pytest.raises(InsufficientDataError, match="100"):
        classifier_test(table[:99], table, rng)
    with pytest.raises(InvalidObservationError, match="finite"):
        classifier_test(table, np.full((200, 3), np.inf), rng)
    with pytest.raises(InsufficientDataError, match="columns"):
        pca_reconstruction_test(table[:, :1], table[:, :1], rng)
    with pytest.raises(InsufficientDataError, match="vary"):
        pca_reconstruction_test(np.zeros((50, 3)), table, rng)
    constant = np.zeros((200, 3))
    assert classifier_test(constant, constant, rng).statistic == 0.5
    with pytest.raises(InvalidObservationError, match="numbers"):
        ks_test(np.array(["text"] * 30), table[:, 0])


def test_counts_of_too_few_rows_or_other_bins_are_refused() -> None:
    values = np.arange(100.0)
    cells = NumericBins.from_reference(values)
    whole = cells.sketch(values)
    for test in (ks_test_counts, wasserstein_counts, psi_counts, chi_square_test_counts):
        with pytest.raises(InsufficientDataError):
            test(whole, cells.sketch(values[:3]))
        with pytest.raises(InvalidSettingError):
            test(whole, NumericBins.from_reference(values, bins=5).sketch(values))
    with pytest.raises(InvalidObservationError, match="finite"):
        wasserstein_counts(whole, cells.sketch(np.append(values, np.inf)))
    with pytest.raises(InsufficientDataError, match="values of current"):
        ks_test_counts(whole, cells.sketch(np.full(100, np.nan)))


def test_a_distance_rejects_nothing_and_alpha_is_checked() -> None:
    values = np.arange(100.0)
    with pytest.raises(InvalidSettingError, match="p-value"):
        psi(values, values).rejects(0.05)
    for alpha in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(InvalidSettingError, match="alpha"):
            ks_test(values, values).rejects(alpha)
    assert not ks_test(values, values).guaranteed
