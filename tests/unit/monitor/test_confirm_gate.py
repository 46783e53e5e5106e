"""A detector without a guarantee acts through a confirm gate, from its settings to its alarm."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from drift.streaming.confirm import ConfirmGate
from drift.streaming.river_adapter import NAMES, OF_ERRORS
from monitor.errors import InvalidRequestError
from monitor.records import Json
from monitor.replay.replay import replay_file
from monitor.replay.report import Report
from monitor.settings import Tier
from monitor.watches.entries import ReplaySettings, WatchEntry
from monitor.watches.opener import PARAMETERS
from monitor.watches.watch import DEFAULT_WATCHES
from tests.support.past_rows import Columns, made_rows, write

ROWS, BAD_FROM = 5000, 4000


def worse(rate: float = 0.35, *, since: int = BAD_FROM) -> Columns:
    rng, rows = np.random.default_rng(8), made_rows(ROWS)
    for row in range(since, ROWS):
        if rng.random() < rate:
            rows["label"][row] = 1 - rows["output"][row]
    return rows


def replayed(path: Path, rows: Columns, settings: Json, **watch: object) -> Report:
    entry = {"name": "gate", "detector": "confirm-gate", "settings": settings} | watch
    given = ReplaySettings.model_validate({"watches": [entry], "reference_rows": 2000})
    return replay_file(write(rows, path / "rows.parquet"), watches=given)


@pytest.mark.parametrize(
    ("tier", "settings"),
    [
        (Tier.ROLLBACK, {"opened_by": "adwin", "block": 10, "opener": {"clock": 4}}),
        (Tier.ROLLBACK, {"opened_by": "page-hinkley", "block": 10, "opener": {"threshold": 2}}),
        (Tier.PAGE, {"opened_by": "hddm-a"}),
    ],
    ids=["adwin", "page-hinkley", "hddm-a"],
)
def test_what_another_detector_suspects_is_confirmed_on_fresh_rows(
    tmp_path: Path, tier: Tier, settings: Json
) -> None:
    remedy = "roll_back" if tier is Tier.ROLLBACK else "notify"
    report = replayed(tmp_path, worse(), settings, tier=tier, remedy=remedy)
    (told,), alarm = report.watches, report.alarms[0]
    assert (told["status"], told["parameters"]["head_start"]) == ("armed", 0.0)
    # Time alone buys: two days of a budget that the watch has for itself. At the tier rollback 200
    # labels tell first whether their delays are harmless.
    per_year, rows = (0.05, 2800) if tier is Tier.ROLLBACK else (1.0, 3000)
    assert told["granted"] == pytest.approx(per_year * rows / 60 / 24 / 365.25, rel=0.01)
    assert abs(alarm["onset_row"] - BAD_FROM) < 100
    assert BAD_FROM < alarm["row"] < BAD_FROM + 600
    assert alarm["guaranteed"]
    often = "one false alarm in 20 years is" if tier is Tier.ROLLBACK else "1 false alarms a year"
    assert alarm["promise"].startswith(f"At most {often}")
    assert alarm["promise"].endswith(f"Nothing is assumed of {settings['opened_by']}.")


def test_a_version_that_is_bad_from_its_first_row_is_told_from_its_reference(
    tmp_path: Path,
) -> None:
    report = replayed(tmp_path, worse(since=2000), {"opened_by": "adwin"})
    assert 2000 < report.alarms[0]["row"] < 2400


@pytest.mark.parametrize("detector", ["confirm-gate", "adwin"])
def test_a_watch_that_took_the_name_of_a_default_one_holds_no_version_to_another(
    tmp_path: Path, detector: str
) -> None:
    rows = worse()
    rows["version"] = ["a"] * 2500 + ["b"] * 2500
    settings = {"opened_by": "adwin"} if detector == "confirm-gate" else {}
    entries: list[Json] = [
        {"name": "loss", "detector": detector, "settings": settings},
        {"name": "loss_rollback"},
    ]
    given = ReplaySettings.model_validate({"watches": entries, "reference_rows": 0})
    report = replay_file(write(rows, tmp_path / "rows.parquet"), watches=given)
    told = [one for one in report.watches if one["name"] == "loss"]
    assert [one["status"] for one in told] == ["armed", "armed"]
    assert not any("earlier" in one["parameters"] for one in told)


def test_no_default_watch_is_a_gate() -> None:
    assert all(form.detector != "confirm-gate" for form in DEFAULT_WATCHES)


def test_no_suspicion_and_no_alarm_where_nothing_happens(tmp_path: Path) -> None:
    report = replayed(tmp_path, made_rows(ROWS), {"opened_by": "adwin"})
    (told,) = report.watches
    assert (told["status"], told["statistic"], report.alarms) == ("armed", 0.0, [])


def test_what_counts_wrong_answers_opens_no_gate_of_numbers(tmp_path: Path) -> None:
    rows = made_rows(ROWS)
    rows["label"] = np.random.default_rng(2).normal(10, 1, ROWS).tolist()
    rows["output"] = [10.0] * ROWS
    del rows["score"]
    (told,) = replayed(tmp_path, rows, {"opened_by": "ddm"}).watches
    assert told["status"] == "refused"
    assert "ddm counts wrong answers" in told["status_reason"]
    (told,) = replayed(tmp_path, rows, {"opened_by": "adwin"}).watches
    assert told["status"] == "armed"


@pytest.mark.parametrize("opener", NAMES)
def test_whatever_an_opener_may_be_set_to_stops_no_monitor(opener: str) -> None:
    known = PARAMETERS[opener]
    values = (np.random.default_rng(6).random(150) < 0.3).astype(np.float64)
    for ends in product(*((kind.least, kind.most) for kind in known.values())):
        settings = {
            name: int(end) if known[name].whole else end
            for name, end in zip(known, ends, strict=True)
        }
        entry = WatchEntry.model_validate(
            {
                "name": "gate",
                "detector": "confirm-gate",
                "settings": {"opened_by": opener, "opener": settings, "limit": 0.2},
            }
        )
        try:
            entry.form()
        except InvalidRequestError:
            assert opener in ("kswin", "eddm")
            continue
        gate = ConfirmGate(0.2, opened_by=opener, opener=settings, patience=20)
        with np.errstate(all="raise"):
            gate.update(values, np.full((150, 1), 1e-3))
        other = ConfirmGate(0.2, opened_by=opener, opener=settings, patience=20)
        other.restore(gate.to_bytes())
        assert other.to_bytes() == gate.to_bytes()


@pytest.mark.parametrize("signal", ["loss", "metric.error", "quality.age", "service.default"])
@pytest.mark.parametrize("opener", NAMES)
def test_every_opener_fits_every_signal_of_right_and_wrong(signal: str, opener: str) -> None:
    entry = {"name": "gate", "detector": "confirm-gate", "signal": signal}
    settings = {"opened_by": opener} | ({} if opener in OF_ERRORS else {"block": 10})
    form = WatchEntry.model_validate(entry | {"settings": settings, "tier": "rollback"}).form()
    assert form.settings["opened_by"] == opener
