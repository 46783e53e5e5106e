"""The monitor's tests over rows of a file."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import InvalidRowsError
from monitor.records import Json
from monitor.replay.file import NUMBER, read_file
from monitor.replay.replay import replay_file, replay_file_with
from monitor.replay.report import Change, Report, found
from monitor.replay.run import Past, Run
from monitor.settings import Settings
from monitor.signals import extract
from monitor.watches.entries import ReplaySettings, watches_of
from tests.support.past_rows import BEGIN, Columns, made_rows, write


def signals_of(report: Report) -> set[str]:
    return {alarm["signal"] for alarm in report.alarms}


def first(report: Report, signal: str) -> Json:
    return next(alarm for alarm in report.alarms if alarm["signal"] == signal)


def test_each_change_is_found_by_the_signal_that_it_is_about(tmp_path: Path) -> None:
    rows = made_rows(9000)
    for row in range(9000):
        if row >= 3500:
            rows["age"][row] *= 1.3
        if row >= 4500:
            rows["city"][row] = "Oslo"
        if row >= 5500 and row % 3:
            rows["member"][row] = None
        if row >= 6500 and row % 3 == 0:
            rows["label"][row] = 1 - rows["output"][row]
        if row >= 7500:
            rows["score"][row] = rows["score"][row] / 2
        if row >= 8500:
            rows["output"][row] = None
    changes = [3500, 4500, 5500, 6500, 7500, 8500]
    report = replay_file(write(rows, tmp_path / "rows.parquet"), changes=changes)
    told = report.to_json()
    assert set(told) >= {"rows", "seconds", "watches", "expected_false_alarms", "alarms"}
    assert told["rows"] == 9000
    wanted = ("feature.age", "feature.city", "quality.member", "loss", "score", "service.default")
    for signal, change in zip(wanted, changes, strict=True):
        alarm = first(report, signal)
        names = ["row", "signal", "watch", "tier", "version", "segment", "onset_row"]
        assert set(alarm) >= {*names, "statistic", "threshold"}
        assert change <= alarm["row"] < change + 400, signal
        assert alarm["onset_row"] <= alarm["row"]
        assert abs(alarm["onset_row"] - change) < 200, signal
        line = next(line for line in told["changes"] if line["row"] == change)
        mine = next(one for one in line["found_by"] if one["signal"] == signal)
        assert mine["delay_rows"] == alarm["row"] - change
        assert mine["delay_seconds"] >= 0
    assert told["seen_false_alarms"] == 0
    assert 0 < told["expected_false_alarms_before_changes"] < told["expected_false_alarms"]
    json.dumps(told)


def test_csv_and_parquet_are_read_alike(tmp_path: Path) -> None:
    rows = made_rows(5000)
    for row in range(3000, 5000):
        rows["age"][row] += 8
        rows["label"][row] = None if row % 7 == 0 else rows["label"][row]
    one = replay_file(write(rows, tmp_path / "rows.parquet"))
    other = replay_file(write(rows, tmp_path / "rows.csv"))
    assert one.alarms
    assert one.alarms == other.alarms
    assert one.watches == other.watches


def test_how_rows_are_cut_into_stretches_changes_nothing(tmp_path: Path) -> None:
    rows = made_rows(5000)
    for row in range(3500, 5000):
        rows["age"][row] += 8
        rows["label"][row] = 0
    rows["labelled_at"] = [
        one + timedelta(minutes=(7 * number) % 600)
        for number, one in enumerate(rows["predicted_at"])
    ]
    rows["predicted_at"][4200:] = [one + timedelta(days=2) for one in rows["predicted_at"][4200:]]
    rows["labelled_at"][4200:] = [one + timedelta(days=2) for one in rows["labelled_at"][4200:]]
    path = write(rows, tmp_path / "rows.parquet")

    def run(size: int, cuts: list[int]) -> Report:
        read = read_file(path, task=None, reference_rows=1000)
        past = Past(read.registry, read.known, read.task, int.from_bytes, str)
        by_region = {"name": "regions", "settings": {"segments": {"by": "context.region"}}}
        given = ReplaySettings.model_validate({"watches": [by_region], "defaults": True})
        run = Run(past, watches_of(given, NUMBER), given, Settings(database_url=""))
        profiles = {version: known.profile for version, known in read.known.items()}
        for stretch in read.stretches(size, cuts):
            run.take(stretch, extract(stretch, read.registry, profiles))
        return run.report(read.rows, 0.0, [])

    whole, cut = run(100_000, []), run(171, [int(BEGIN.timestamp() * 1e6) + 1_000_000_000])
    assert {"feature.age", "loss", "service.traffic"} <= signals_of(whole)
    assert [(a["watch"], a["signal"], a["segment"], a["row"]) for a in whole.alarms] == [
        (a["watch"], a["signal"], a["segment"], a["row"]) for a in cut.alarms
    ]
    for one, other in zip(whole.watches, cut.watches, strict=True):
        assert one["status"] == other["status"]
        assert one["observations"] == other["observations"]
        assert np.isclose(one["granted"], other["granted"])
        assert np.isclose(one["statistic"], other["statistic"]), one["name"]


def test_a_row_that_is_not_in_order_counts_at_its_time(tmp_path: Path) -> None:
    rows = made_rows(4000)
    order = np.random.default_rng(1).permutation(4000)
    for row in range(3000, 4000):
        rows["label"][row] = 1 - rows["output"][row]
    mixed: Columns = {name: [column[n] for n in order] for name, column in rows.items()}
    straight = replay_file(write(rows, tmp_path / "a.parquet"))
    shuffled = replay_file(write(mixed, tmp_path / "b.parquet"))
    place = np.argsort(order)
    assert [place[alarm["row"]] for alarm in straight.alarms] == [
        alarm["row"] for alarm in shuffled.alarms
    ]


def test_each_version_has_its_own_reference_and_its_own_name(tmp_path: Path) -> None:
    rows = made_rows(6000)
    rows["version"] = ["fraud:1" if row < 3000 else "fraud:2" for row in range(6000)]
    for row in range(5500, 6000):
        rows["label"][row] = 1 - rows["output"][row]
    report = replay_file(write(rows, tmp_path / "rows.csv"))
    losses = {one["version"]: one for one in report.watches if one["name"] == "loss"}
    assert set(losses) == {"fraud:1", "fraud:2"}
    assert losses["fraud:1"]["observations"] == 1000
    alarm = first(report, "loss")
    assert (alarm["version"], alarm["segment"]) == ("fraud:2", None)


def test_an_error_in_one_segment_is_told_with_the_segment(tmp_path: Path) -> None:
    rows = made_rows(5000)
    for row in range(3500, 5000):
        if rows["context.region"][row] == "EU" and row % 2:
            rows["label"][row] = 1 - rows["output"][row]
    given = ReplaySettings.model_validate(
        {
            "watches": [
                {"name": "regions", "settings": {"segments": {"by": "context.region"}}},
                {"name": "ages", "settings": {"segments": {"by": "feature.age", "bins": 2}}},
            ]
        }
    )
    report = replay_file(write(rows, tmp_path / "rows.parquet"), watches=given)
    regions = [alarm for alarm in report.alarms if alarm["watch"] == "regions"]
    assert {alarm["segment"] for alarm in regions} == {"region=EU"}
    assert {alarm["version"] for alarm in regions} == {"1"}
    ages = [one for one in report.watches if one["name"] == "ages"]
    assert len(ages) == 2
    assert all(one["segment"].startswith("age=[") for one in ages)


def test_labels_that_stop_coming_and_a_silence_are_found(tmp_path: Path) -> None:
    rows = made_rows(6000)
    for row in range(4000, 6000):
        rows["label"][row] = None
    for name in ("predicted_at", "labelled_at"):
        rows[name][5000:] = [one + timedelta(hours=9) for one in rows[name][5000:]]
    report = replay_file(write(rows, tmp_path / "rows.parquet"))
    coverage = first(report, "label.coverage")
    # A stretch is judged an hour after it ended.
    assert 4000 <= coverage["row"] < 4200
    silence = first(report, "service.traffic")
    assert silence["row"] == 4999
    assert silence["at"] == (rows["predicted_at"][4999] + timedelta(minutes=5)).isoformat()
    assert not silence["guaranteed"]


def test_a_regression_is_read_as_numbers(tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(3), made_rows(6000)
    truth = rng.normal(100, 20, 6000)
    rows["label"] = truth.tolist()
    shift = np.where(np.arange(6000) >= 5000, 12.0, 0.0)
    rows["output"] = (truth + rng.normal(0, 3, 6000) + shift).tolist()
    del rows["score"]
    given = ReplaySettings.model_validate(
        {
            "defaults": True,
            "watches": [
                {"name": "bias", "signal": "metric.bias", "detector": "two-sided-mean"},
                {"name": "squared", "signal": "metric.squared"},
            ],
        }
    )
    report = replay_file(write(rows, tmp_path / "rows.parquet"), watches=given)
    assert {"loss", "metric.bias", "metric.squared"} <= signals_of(report)
    for signal in ("loss", "metric.bias"):
        assert 5000 <= first(report, signal)["row"] < 5200


def test_two_configurations_run_side_by_side(tmp_path: Path) -> None:
    rows = made_rows(6000)
    for row in range(4000, 6000, 3):
        rows["label"][row] = 1 - rows["output"][row]
    path = write(rows, tmp_path / "rows.parquet")
    strict, loose = (
        ReplaySettings.model_validate(
            {"watches": [{"name": "mine", "settings": {"limit": limit}}], "budgets": {"page": rate}}
        )
        for limit, rate in ((0.12, 100), (0.3, 0.1))
    )
    one, other = replay_file_with(path, [strict, loose], changes=[4000])
    alone = replay_file(path, watches=loose, changes=[4000])
    assert other.alarms == alone.alarms
    assert one.changes[0]["delay_rows"] < other.changes[0]["delay_rows"]
    assert one.expected_false_alarms > other.expected_false_alarms


def test_only_the_first_alarm_of_each_watch_counts_for_a_change() -> None:
    def alarm(row: int, watch: str) -> Json:
        at = BEGIN + timedelta(seconds=row)
        told = {"row": row, "watch": watch, "signal": "loss", "segment": None, "tier": "page"}
        return told | {"at": at.isoformat()}

    changes = [Change(10, BEGIN + timedelta(seconds=10)), Change(50, BEGIN + timedelta(seconds=50))]
    alarms = [alarm(5, "a"), alarm(12, "a"), alarm(14, "a"), alarm(13, "b"), alarm(60, "b")]
    one, other = found(changes, alarms)
    assert [(line["watch"], line["delay_rows"]) for line in one["found_by"]] == [("a", 2), ("b", 3)]
    assert (one["delay_rows"], other["delay_seconds"]) == (2, 10.0)
    assert found(changes, [])[0]["delay_rows"] is None


def without(rows: Columns, *names: str) -> Columns:
    return {name: column for name, column in rows.items() if name not in names}


def test_rows_without_labels_and_features_are_still_watched(tmp_path: Path) -> None:
    rows = without(
        made_rows(3000), "label", "labelled_at", "age", "city", "member", "context.region"
    )
    report = replay_file(write(rows, tmp_path / "rows.csv"))
    status = {one["name"]: one["status"] for one in report.watches}
    assert status["output"] == status["score"] == "armed"
    assert status["features"] == status["loss"] == "idle"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"output": None}, "expected a column output"),
        ({"predicted_at": ["tomorrow"] * 30}, "column predicted_at: expected times"),
        ({"predicted_at": [BEGIN] * 29 + [None]}, "row 29: expected a time in predicted_at"),
        ({"labelled_at": [BEGIN - timedelta(days=1)] * 30}, "row 0: expected labelled_at not"),
        ({"score": ["high"] * 30}, "column score: expected numbers"),
        ({"weight": [1.0] * 29 + [0.0]}, "row 29: expected a weight above 0"),
        ({"age": [[1.0, 2.0]] * 30}, "column age: expected numbers, texts"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    rows: Columns = made_rows(30) | change
    rows = {name: column for name, column in rows.items() if column is not None}
    with pytest.raises(InvalidRowsError, match=sentence):
        replay_file(write(rows, tmp_path / "rows.parquet"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"predicted_at,output,age,age\n1,0,2,2\n", "column age: expected a name of its own"),
        (b"predicted_at,output\n\x1b[2J\x00,1,2\n", r"expected rows in CSV [^\x1b\x00]*$"),
        (b"", "expected rows in CSV"),
    ],
)
def test_a_text_that_is_no_table_is_refused_in_words(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidRowsError, match=sentence):
        replay_file(path)


def test_a_change_beyond_the_rows_is_refused(tmp_path: Path) -> None:
    path = write(made_rows(30), tmp_path / "rows.csv")
    with pytest.raises(InvalidRowsError, match="a row from 0 to 29"):
        replay_file(path, changes=[30])
    assert replace(Report(), rows=1).to_json()["rows"] == 1
