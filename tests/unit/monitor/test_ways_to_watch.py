"""Units by a key, AUC, operators' metrics, segments, and what a rollback watch waits for."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn import metrics as oracle

from drift.streaming.river_adapter import NAMES
from monitor.errors import InvalidRequestError
from monitor.records import Json
from monitor.replay.replay import replay_file
from monitor.replay.report import Report
from monitor.settings import Tier
from monitor.signals.custom import check_metric, load_metric
from monitor.signals.segments import Segments, hour_labels
from monitor.watches.entries import ReplaySettings
from monitor.watches.watch import WatchForm
from tests.support.past_rows import BEGIN, Columns, made_rows, write

OWN = "tests.support.own_metrics"


def replayed(tmp_path: Path, rows: Columns, watch: Json, *, reference_rows: int = 2000) -> Report:
    given = ReplaySettings.model_validate(
        {"watches": [{"name": "mine"} | watch], "reference_rows": reference_rows}
    )
    return replay_file(write(rows, tmp_path / "rows.parquet"), watches=given)


def line(report: Report, segment: str | None = None) -> Json:
    (found,) = [one for one in report.watches if one["segment"] == segment]
    return found


def in_sessions(rows: Columns, size: int, wrong: Callable[[int], float], seed: int = 3) -> Columns:
    """The same rows in sessions whose answers are all right or all wrong."""
    rng = np.random.default_rng(seed)
    count = len(rows["output"])
    rows["context.session"] = [f"s{row // size}" for row in range(count)]
    bad = [rng.random() < wrong(start) for start in range(0, count, size)]
    truth = [1 - rows["output"][r] if bad[r // size] else rows["output"][r] for r in range(count)]
    return rows | {"label": truth}


def test_rows_of_one_unit_are_one_observation(tmp_path: Path) -> None:
    watch = {"settings": {"unit": "context.session", "gap": 40, "learn": 300}}
    # The sessions stand one after the other, so each is complete 40 rows after its last.
    steady = in_sessions(made_rows(9000), 10, lambda _: 0.1)
    report = replayed(tmp_path, steady, watch, reference_rows=0)
    told = line(report)
    assert (told["status"], report.alarms) == ("armed", [])
    assert told["parameters"]["unit"] == "mean of the rows of one session"
    assert "first 300 units of session" in told["parameters"]["reference"]
    # As single rows they raise what looks like many alarms.
    single = replayed(tmp_path, steady, {"settings": {"limit": 0.13}}, reference_rows=0)
    assert single.alarms
    worse = in_sessions(made_rows(9000), 10, lambda row: 0.1 if row < 6000 else 0.6)
    found = replayed(tmp_path, worse, watch, reference_rows=0).alarms[0]
    assert 6000 < found["row"] < 6500


def test_a_unit_says_how_many_are_still_to_come(tmp_path: Path) -> None:
    rows = in_sessions(made_rows(1000), 10, lambda _: 0.1)
    watch = {"settings": {"unit": "context.session", "gap": 40, "learn": 300}}
    told = line(replayed(tmp_path, rows, watch, reference_rows=0))
    assert told["status"] == "learning"
    assert told["status_reason"] == "learning: 96 of 300 units of session"


def test_units_of_sessions_that_depend_on_each_other_do_not_arm_a_rollback(tmp_path: Path) -> None:
    rows = in_sessions(made_rows(9000), 100, lambda _: 0.3)
    rows["context.session"] = [f"s{row // 5}" for row in range(9000)]
    settings = {"unit": "context.session", "gap": 10, "learn": 500}
    watch = {"tier": "rollback", "settings": settings}
    told = line(replayed(tmp_path, rows, watch, reference_rows=0))
    assert told["status"] == "refused"
    assert "units of session still depend on each other" in told["status_reason"]
    assert "Choose a longer unit" in told["status_reason"]


def test_scores_that_rank_worse_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = made_rows(9000)
    for row in range(9000):
        skill = 1.5 if row < 6000 else 0.0
        rows["score"][row] = float(rng.normal(skill * rows["label"][row]))
    watch = {"signal": "metric.auc", "settings": {"negatives": 1, "learn": 1000}}
    report = replayed(tmp_path, rows, watch, reference_rows=0)
    assert 6000 < report.alarms[0]["row"] < 6600
    told = line(report)["parameters"]
    # The normal mean is 1 - AUC: two normals 1.5 standard deviations apart have an AUC of .856.
    assert told["reference_mean"] == pytest.approx(0.144, abs=0.04)
    stated = watch | {"settings": {"negatives": 1, "least": 0.8}}
    report = replayed(tmp_path, rows, stated, reference_rows=0)
    assert line(report)["parameters"]["limit"] == pytest.approx(0.2)
    assert report.alarms[0]["row"] > 6000


@pytest.mark.parametrize(
    ("watch", "limit"),
    [
        ({"signal": "metric.recall", "settings": {"least": 0.8}}, 0.2),
        ({"signal": "metric.recall.1"}, None),
        ({"signal": "metric.precision.0"}, None),
        # F1 of 0.8 is two thirds of true positives among what is or was called positive.
        ({"signal": "metric.f1", "settings": {"least": 0.8}}, 1 / 3),
        ({"signal": "metric.log_loss"}, None),
        ({"signal": "metric.brier"}, None),
        ({"signal": "metric.calibration", "detector": "two-sided-mean"}, None),
    ],
)
def test_positives_that_are_missed_are_found_by_each_metric_of_them(
    tmp_path: Path, watch: Json, limit: float | None
) -> None:
    rows = made_rows(6000)
    for row in range(4000, 6000):
        if rows["label"][row] == 1 and row % 5 < 3:
            rows["output"][row], rows["score"][row] = 0, 0.2
    report = replayed(tmp_path, rows, watch, reference_rows=0)
    told = line(report)
    assert told["status"] == "armed"
    if limit is not None:
        assert told["parameters"]["limit"] == pytest.approx(limit)
    assert 4000 < report.alarms[0]["row"] < 4500
    assert report.alarms[0]["signal"] == watch["signal"]


def test_forecasts_of_several_quantiles_are_watched_side_by_side(tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(11), made_rows(4000)
    truth = rng.normal(100, 10, 4000)
    # The outputs forecast the .1 quantile, then the middle: worse for who wants a low one, better
    # for who wants a high one.
    low = np.where(np.arange(4000) >= 3000, 100.0, 87.2)
    rows["label"], rows["output"] = truth.tolist(), low.tolist()
    del rows["score"]
    watches = [
        {"name": "usual", "signal": "metric.quantile", "settings": {"clip": 60}},
        *(
            {
                "name": name,
                "signal": f"metric.quantile.{name}",
                "settings": {"quantile": quantile, "clip": 60, "tolerance": 0.002},
            }
            for name, quantile in (("low", 0.1), ("high", 0.75))
        ),
    ]
    given = ReplaySettings.model_validate({"watches": watches, "reference_rows": 0})
    report = replay_file(write(rows, tmp_path / "rows.parquet"), watches=given)
    told = {one["name"]: one["parameters"] for one in report.watches}
    for name, quantile in (("usual", 0.9), ("low", 0.1), ("high", 0.75)):
        pinball = oracle.mean_pinball_loss(truth[:500], low[:500], alpha=quantile)
        assert told[name]["quantile"] == quantile
        assert told[name]["reference_mean"] * 60 == pytest.approx(pinball)
    assert {alarm["signal"] for alarm in report.alarms} == {"metric.quantile.low"}
    assert 3000 < report.alarms[0]["row"] < 3300


@pytest.mark.parametrize("quantile", [0, 1, 1.5, "median"])
def test_a_quantile_lies_between_0_and_1(quantile: object) -> None:
    watch = {"name": "low", "signal": "metric.quantile", "settings": {"quantile": quantile}}
    with pytest.raises(ValidationError) as refused:
        ReplaySettings.model_validate({"watches": [watch]})
    assert refused.value.errors()[0]["loc"] == ("watches", 0, "settings", "quantile")


def test_an_operators_function_of_arrays_is_watched(tmp_path: Path) -> None:
    rows = made_rows(6000)
    for row in range(4000, 6000):
        if row % 4 == 0:
            rows["output"][row], rows["label"][row] = 0, 1
    watch = {"signal": "metric.cost", "settings": {"metric": f"{OWN}:cost", "clip": 10}}
    report = replayed(tmp_path, rows, watch)
    assert report.alarms[0]["signal"] == "metric.cost"
    assert 4000 < report.alarms[0]["row"] < 4200
    half = watch | {"settings": {"metric": f"{OWN}:only_positives"}}
    assert line(replayed(tmp_path, rows, half))["observations"] < 3000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", "no rows of weight"),
        ("one_number", "gave shape (1,)"),
        ("unspeakable", "failed: Unspeakable."),
        ("nothing_to_store", "a?b ?"),
        ("ends_the_process", "failed: SystemExit: 3."),
    ],
)
def test_a_metric_that_fails_says_so_and_stops_nothing_else(
    tmp_path: Path, name: str, said: str
) -> None:
    watch = {"signal": "metric.cost", "settings": {"metric": f"{OWN}:{name}"}}
    report = replayed(tmp_path, made_rows(3000), watch)
    assert line(report)["status"] == "learning"
    assert said in line(report)["status_reason"]


def test_a_metric_comes_only_from_where_it_may() -> None:
    def form(path: str) -> WatchForm:
        settings = {"metric": path}
        return WatchForm("m", "metric.m", "bounded-mean", Tier.PAGE, "notify", settings)

    check_metric(form(f"{OWN}:cost"), ["tests.support"], where="")
    assert callable(load_metric(f"{OWN}:cost"))
    for path, modules, said in (
        (f"{OWN}:cost", ["tests.sup"], "MONITOR_METRIC_MODULES allows"),
        (f"{OWN}:none_such", ["tests"], "no attribute"),
        (f"{OWN}:constant", ["tests"], "no function"),
        ("tests.nowhere:cost", ["tests"], "No module named"),
    ):
        with pytest.raises(InvalidRequestError, match=said):
            check_metric(form(path), modules, where="")


def test_a_segment_of_a_binned_feature_alarms_alone(tmp_path: Path) -> None:
    rows = made_rows(8000)
    for row in range(6000, 8000):
        if rows["age"][row] > 50 and row % 2:
            rows["label"][row] = 1 - rows["output"][row]
    watch = {"settings": {"segments": {"by": "feature.age", "edges": [30, 50]}}}
    report = replayed(tmp_path, rows, watch)
    assert {alarm["segment"] for alarm in report.alarms} == {"age=[50,inf)"}
    assert {one["segment"] for one in report.watches} == {
        "age=[-inf,30)",
        "age=[30,50)",
        "age=[50,inf)",
    }
    quartiles = {"settings": {"segments": {"by": "feature.age", "bins": 4}}}
    report = replayed(tmp_path, rows, quartiles)
    assert len(report.watches) == 4
    assert report.alarms[0]["segment"].endswith(",inf)")


def test_a_test_for_what_has_no_reference_says_so_where_there_is_one(tmp_path: Path) -> None:
    by_age = {"by": "feature.age", "edges": [30, 50]}
    pool = {"detector": "growing-pool", "settings": {"segments": by_age, "learn": 100}}
    for refused in replayed(tmp_path, made_rows(4000), pool).watches:
        assert refused["status"] == "refused"
        assert "growing-pool is for what has none" in refused["status_reason"]
    # What reference rows say nothing about is watched.
    by_region = pool | {"settings": {"segments": {"by": "context.region"}, "learn": 100}}
    told = replayed(tmp_path, made_rows(4000), by_region)
    assert {one["status"] for one in told.watches} == {"armed"}
    # The usual watch of versions without a reference has nothing to say of others.
    usual = {"name": "loss_without_reference"}
    (silent,) = replayed(tmp_path, made_rows(4000), usual).watches
    assert silent["status"] != "refused"


def test_a_drift_of_a_feature_within_what_is_tolerated_does_not_alarm(tmp_path: Path) -> None:
    def found(shift: float, **watch: object) -> Report:
        rows = made_rows(8000)
        for row in range(4000, 8000):
            rows["age"][row] += shift
        return replayed(tmp_path, rows, {"signal": "feature.age"} | watch)

    tolerant = {"detector": "tolerant-ranks", "settings": {"tolerance": 0.1}}
    # Ages have a deviation of ten: two years move the mean rank by 0.056, eight by 0.21.
    assert found(2.0, detector="ranks").alarms
    assert not found(2.0, **tolerant).alarms
    alarm = found(8.0, **tolerant).alarms[0]
    assert 4000 < alarm["row"] < 4500
    assert alarm["onset_row"] == pytest.approx(4000, abs=150)
    without = {"signal": "feature.*", "detector": "tolerant-ranks"}
    told = {one["signal"]: one for one in replayed(tmp_path, made_rows(3000), without).watches}
    assert told["feature.age"]["status"] == "armed"
    assert told["feature.city"]["status"] == "refused"
    assert "watch it by ranks" in told["feature.city"]["status_reason"]


@pytest.mark.parametrize("detector", NAMES)
def test_each_detector_of_river_informs_of_a_rise_of_errors(tmp_path: Path, detector: str) -> None:
    rows = made_rows(5000)
    for row in range(3000, 5000, 2):
        rows["label"][row] = 1 - rows["output"][row]
    report = replayed(tmp_path, rows, {"detector": detector, "tier": "info"}, reference_rows=0)
    assert line(report)["status"] == "armed"
    assert any(alarm["row"] > 3000 for alarm in report.alarms)
    assert report.expected_false_alarms == 0


def test_a_detector_of_errors_says_that_a_regression_has_none(tmp_path: Path) -> None:
    rows = made_rows(1000)
    rows["label"] = rows["age"]
    told = line(replayed(tmp_path, rows, {"detector": "hddm-a"}, reference_rows=0))
    assert told["status"] == "refused"
    assert "a regression has none: take adwin" in told["status_reason"]


def test_losses_of_a_version_without_reference_rows_are_compared_with_its_first_ones(
    tmp_path: Path,
) -> None:
    rng, rows = np.random.default_rng(8), made_rows(4000)
    truth = rng.normal(100, 20, 4000)
    rows["label"] = truth.tolist()
    spread = np.where(np.arange(4000) >= 3000, 9.0, 3.0)
    rows["output"] = (truth + rng.normal(size=4000) * spread).tolist()
    del rows["score"]
    for watch in ({"name": "loss"}, {"name": "loss_rollback"}, {"tier": "page"}):
        report = replayed(tmp_path, rows, watch, reference_rows=0)
        told = line(report)
        assert told["status"] == "armed"
        assert told["parameters"]["reference"].startswith("the first 500 live rows: none were")
        assert 3000 <= report.alarms[0]["row"] < 3200
        few = {name: column[:300] for name, column in rows.items()}
        told = line(replayed(tmp_path, few, watch, reference_rows=0))
        assert told["status"] == "learning"
        assert told["status_reason"].startswith("learning: ")
        assert told["status_reason"].endswith("of 500 rows")
    # Of right and wrong answers a test that needs no limit takes the place of the usual one.
    for name, tested in (("loss", False), ("loss_without_reference", True), ("mine", True)):
        report = replayed(tmp_path, made_rows(2000), {"name": name}, reference_rows=0)
        assert (line(report)["status"] == "armed") == tested, name


def test_a_segment_with_too_little_traffic_says_so(tmp_path: Path) -> None:
    rows = made_rows(3000)
    rows["context.region"] = ["LI" if row % 40 == 0 else "EU" for row in range(3000)]
    watch = {"settings": {"segments": {"by": "context.region"}}}
    report = replayed(tmp_path, rows, watch, reference_rows=0)
    assert line(report, "region=EU")["status"] == "armed"
    told = line(report, "region=LI")
    assert told["status"] == "learning"
    assert told["status_reason"] == (
        "learning: 75 of 500 rows: too little traffic in this segment to test it yet"
    )


ROLLBACK: Json = {
    "tier": "rollback",
    "remedy": "roll_back",
    "settings": {"block": "recommended"},
}


def rolling_back(**settings: object) -> Json:
    return ROLLBACK | {"settings": {"block": "recommended"} | settings}


def late_errors(count: int, *, worse_from: int | None = None) -> Columns:
    """Labels of wrong answers come within minutes, those of right ones after hours."""
    rng = np.random.default_rng(5)
    rows = made_rows(count)
    for row in range(count):
        rate = 0.5 if worse_from is not None and row >= worse_from else 0.1
        wrong = rng.random() < rate
        rows["label"][row] = 1 - rows["output"][row] if wrong else rows["output"][row]
        minutes = rng.exponential(5) if wrong else 60 + rng.exponential(60)
        delay = timedelta(minutes=min(float(minutes), 400))
        rows["labelled_at"][row] = rows["predicted_at"][row] + delay
    return rows


def test_a_delay_that_tells_the_loss_is_refused_with_what_to_set(tmp_path: Path) -> None:
    report = replayed(tmp_path, late_errors(6000), ROLLBACK)
    told = line(report)
    assert (told["status"], report.alarms) == ("refused", [])
    assert "The loss depends on how old a label is" in told["status_reason"]
    assert "Set mature_after to " in told["status_reason"]
    declared = rolling_back(independent_delay=True)
    assert line(replayed(tmp_path, late_errors(6000), declared))["status"] == "armed"


def test_a_delay_below_a_second_is_refused_with_what_can_be_set(tmp_path: Path) -> None:
    rows = late_errors(4000)
    for row, (made, came) in enumerate(zip(rows["predicted_at"], rows["labelled_at"], strict=True)):
        rows["labelled_at"][row] = made + (came - made) / 100_000
    told = line(replayed(tmp_path, rows, ROLLBACK))
    assert "Set mature_after to 1 (seconds" in told["status_reason"]


def test_predictions_that_matured_are_tested_in_their_own_order(tmp_path: Path) -> None:
    watch = rolling_back(mature_after=400 * 60)
    report = replayed(tmp_path, late_errors(9000, worse_from=6000), watch)
    assert line(report)["status"] == "armed"
    alarm = report.alarms[0]
    assert 6000 < alarm["row"] < 6200
    made = BEGIN + alarm["row"] * timedelta(minutes=1)
    assert alarm["at"] == (made + timedelta(minutes=400)).isoformat()
    assert not replayed(tmp_path, late_errors(6000), watch).alarms


def test_labels_that_come_later_than_that_are_not_tested(tmp_path: Path) -> None:
    watch = rolling_back(mature_after=30 * 60)
    told = line(replayed(tmp_path, late_errors(6000), watch))
    assert told["observations"] < 600


def cycle(row: int) -> float:
    """By night half of the answers are wrong, by day one in twenty."""
    return 0.5 if (row // 60) % 24 < 6 else 0.05


def test_a_daily_cycle_of_the_loss_is_refused_with_what_to_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    rows = made_rows(16_000)
    for row in range(16_000):
        wrong = rng.random() < cycle(row)
        rows["label"][row] = 1 - rows["output"][row] if wrong else rows["output"][row]
    path = write(rows, tmp_path / "rows.parquet")

    def told(**settings: object) -> Json:
        mine = {"name": "mine"} | rolling_back(**settings)
        # Next to nothing is granted, so that no alarm comes before the cycle is known.
        wish = {"watches": [mine], "budgets": {"rollback": 1e-9}, "reference_rows": 0}
        return line(replay_file(path, watches=ReplaySettings.model_validate(wish)))

    # What is accepted lies above the mean of a day and below that of the night.
    refused = told(limit=0.35, block=10, head_start=0.0)
    assert refused["status"] == "refused"
    assert "The loss follows the hour" in refused["status_reason"]
    assert "Set block to 1440, the rows of a day" in refused["status_reason"]
    assert "segments to {by: time.hour}" in refused["status_reason"]
    assert told(limit=0.35, block=1440)["status"] == "armed"
    assert told(limit=0.6, block=10)["status"] == "armed"


BY_HOUR: Json = {
    "segments": {"by": "time.hour", "bins": 4},
    "block": 10,
    "learn": 1000,
    "head_start": 0.0,
}
"""As the refusal advises."""


def test_compared_with_what_is_usual_at_its_hour_a_daily_cycle_does_not_alarm_and_a_fault_does(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(6)
    rows = made_rows(22_000)
    chance = np.array([cycle(row) for row in range(22_000)])
    wrong = rng.random(22_000) < chance
    rows["label"] = [
        1 - one if bad else one for one, bad in zip(rows["output"], wrong.tolist(), strict=True)
    ]
    watch = rolling_back(**BY_HOUR)
    steady = replayed(tmp_path, rows, watch, reference_rows=0)
    by_part = {one["segment"]: one for one in steady.watches}
    assert set(by_part) == {f"hour={part}" for part in ("00-06", "06-12", "12-18", "18-24")}
    assert {one["status"] for one in by_part.values()} == {"armed"}
    assert not steady.alarms
    # A fault by day that lies far below what every night is like.
    worse = np.where((np.arange(22_000) >= 18_000) & (chance < 0.5), 0.3, chance)
    wrong = rng.random(22_000) < worse
    rows["label"] = [
        1 - one if bad else one for one, bad in zip(rows["output"], wrong.tolist(), strict=True)
    ]
    found = replayed(tmp_path, rows, watch, reference_rows=0).alarms
    assert found
    assert all(one["row"] >= 18_000 and one["segment"] != "hour=00-06" for one in found)


def test_hours_of_the_day_and_of_the_week_have_names_that_people_read() -> None:
    monday = 4 * 86_400 * 1_000_000
    made = monday + np.arange(0, 7 * 24, 3) * 3_600_000_000

    def names(**settings: object) -> list[str]:
        told, label = hour_labels(made, Segments.model_validate(settings))
        return [told[place] for place in label.tolist()]

    assert names(by="time.hour")[:3] == ["00-01", "03-04", "06-07"]
    assert names(by="time.hour", offset_hours=-1)[0] == "23-24"
    week = names(by="time.hour_of_week", bins=7)
    assert (week[0], week[-1]) == ("Mon 00-24", "Sun 00-24")
    assert names(by="time.hour_of_week", bins=14)[-1] == "Sun 12-24"
    assert names(by="time.hour_of_week", bins=2)[0] == "Mon 00-Thu 12"
    for wrong in (
        {"by": "time.hour", "bins": 5},
        {"by": "time.hour", "edges": [6]},
        {"by": "time.day"},
        {"by": "context.region", "offset_hours": 1},
    ):
        with pytest.raises(ValidationError):
            Segments.model_validate(wrong)


def test_a_rollback_watch_waits_for_the_first_delays(tmp_path: Path) -> None:
    told = line(replayed(tmp_path, made_rows(2150), ROLLBACK))
    assert told["status"] == "learning"
    assert "the delays of 150 of 200 labels are known" in told["status_reason"]
    assert line(replayed(tmp_path, made_rows(2300), ROLLBACK))["status"] == "armed"
    rows = made_rows(6000)
    rows["version"] = ["a" if row < 3000 else "b" for row in range(6000)]
    report = replayed(tmp_path, rows, ROLLBACK, reference_rows=500)
    # Of the second version labels are known since the first.
    armed: dict[Any, Any] = {one["version"]: one["granted"] for one in report.watches}
    assert armed["b"] > 0.01


@pytest.mark.parametrize(
    "watch",
    [
        {"settings": {}},
        {"tier": "rollback"},
        {"signal": "metric.*"},
        {"signal": "metric.*", "detector": "two-sided-mean"},
        {"signal": "metric.auc"},
        {"signal": "metric.auc", "settings": {"least": 0.999}},
        {"signal": "feature.*", "detector": "ranks"},
        {"signal": "quality.*"},
        {"signal": "score", "detector": "ranks"},
        {"signal": "feature.*", "detector": "tolerant-ranks"},
        {"detector": "ddm"},
        {"detector": "kswin"},
        {"detector": "confirm-gate", "settings": {"opened_by": "adwin"}},
        {"detector": "confirm-gate", "settings": {"opened_by": "ddm"}, "tier": "rollback"},
        {
            "detector": "confirm-gate",
            "signal": "quality.*",
            "settings": {"opened_by": "page-hinkley", "block": 5},
        },
        {"detector": "confirm-gate", "signal": "metric.*", "settings": {"opened_by": "adwin"}},
        {"detector": "confirm-gate", "signal": "metric.auc", "settings": {"opened_by": "adwin"}},
        {"settings": {"segments": {"by": "feature.age", "bins": 8}}},
        {"settings": {"segments": {"by": "context.region"}, "most_segments": 1}},
        {"settings": {"unit": "context.region"}},
        {"settings": {"mature_after": 1}},
        {"settings": {"limit": 0.999999}},
    ],
)
@pytest.mark.parametrize("odd", ["few", "constant", "nothing"])
def test_tiny_constant_and_missing_values_break_no_watch(
    tmp_path: Path, watch: Json, odd: str
) -> None:
    rows = made_rows(80 if odd == "few" else 900)
    if odd == "constant":
        for name in ("age", "output", "score", "label", "city", "context.region"):
            rows[name] = [rows[name][0]] * 900
    if odd == "nothing":
        rows["age"] = [float("nan")] * 900
        rows["score"] = [float("nan")] * 900
        rows["label"] = [None] * 899 + [1]
        rows["context.region"] = [None] * 900
    for reference_rows in (3, 70):
        report = replayed(tmp_path, rows, watch, reference_rows=reference_rows)
        for one in report.watches:
            assert one["status"] == "armed" or one["status_reason"], one
