"""`leadsman replay` as a person types it: a file or a stretch of the record, under any watches."""

import asyncio
import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.replay.replay import replay_record
from tests.support.monitoring import bad_release, catch_up, lay, rows_of, settings_for
from tests.support.past_rows import made_rows, write
from tests.support.service import command, environment
from tests.support.shipped import START

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CHANGE = 2500
STRICT = "watches:\n  - name: strict\n    signal: loss\n    settings: {limit: 0.15, block: 1}\n"
LOOSE = (
    "watches:\n  - name: loose\n    signal: loss\n    tier: info\n"
    "    settings: {limit: 0.25, block: 1}\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Rows that are labelled wrong more often from a row on, and two files of watches."""
    rows = made_rows(4000)
    for row in range(CHANGE, 4000, 3):
        rows["label"][row] = 1 - rows["output"][row]
    write(rows, tmp_path / "rows.csv")
    (tmp_path / "strict.yaml").write_text(STRICT)
    (tmp_path / "loose.yaml").write_text(LOOSE)
    return tmp_path


def replayed(folder: Path, *words: str) -> str:
    """What the command printed."""
    path = {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command("replay", *words),
        cwd=folder,
        env=environment(path | {"COLUMNS": "200"}),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(folder: Path, *words: str) -> Any:
    """The same for programs."""
    return json.loads(replayed(folder, *words, "--json"))


def test_a_file_tells_delays_and_false_alarms_of_one_configuration(folder: Path) -> None:
    report = told(
        folder, "--file", "rows.csv", "--watches", "strict.yaml", "--change-at", str(CHANGE)
    )
    assert report["rows"] == 4000
    assert [(one["name"], one["alarms"]) for one in report["watches"]] == [
        ("strict", len(report["alarms"]))
    ]
    (change,) = report["changes"]
    first = report["alarms"][0]
    assert (first["signal"], first["watch"], first["tier"]) == ("loss", "strict", "page")
    assert first["statistic"] >= first["threshold"]
    assert (change["row"], change["delay_rows"]) == (CHANGE, first["row"] - CHANGE)
    assert 0 < change["delay_rows"] < 200
    # A row a minute, and a label five minutes after it: the alarm comes with the label.
    assert change["delay_seconds"] == 60 * (change["delay_rows"] + 5)
    assert change["found_by"][0]["watch"] == "strict"
    assert report["seen_false_alarms"] == 0
    before, whole = (
        report["expected_false_alarms_before_changes"],
        report["expected_false_alarms"],
    )
    assert 0 < before < whole < 0.1


def test_two_configurations_stand_side_by_side(folder: Path) -> None:
    asked = (
        *("--file", "rows.csv", "--change-at", str(CHANGE)),
        *("--watches", "strict.yaml", "--watches", "loose.yaml"),
    )
    reports = told(folder, *asked)
    assert [one["name"] for one in reports] == ["strict.yaml", "loose.yaml"]
    assert [{a["watch"] for a in one["alarms"]} for one in reports] == [{"strict"}, {"loose"}]
    delays = [one["changes"][0]["delay_rows"] for one in reports]
    assert all(0 < delay < 1000 for delay in delays)
    # A tier has its own budget: information may be wrong more often than a page.
    expected = [one["expected_false_alarms"] for one in reports]
    assert 0 < expected[0] < expected[1]

    cells = [line.split() for line in replayed(folder, *asked).splitlines()]
    for report, said in zip(reports, expected, strict=True):
        (line,) = [one for one in cells if one[:1] == [report["name"]] and len(one) == 4]
        assert line[1] == str(len(report["alarms"]))
        assert float(line[2]) == pytest.approx(said, rel=0.01)
        assert line[3] == "0"
    assert [str(CHANGE), *map(str, delays)] in cells


def test_a_stretch_of_the_record_is_replayed_and_nothing_is_written(
    database: str, folder: Path
) -> None:
    """Version 2 errs from row 600 on; a row comes every five seconds."""
    settings = settings_for(database)
    question = "SELECT * FROM watch_states ORDER BY watch_id, subject"

    async def prepare() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        await lay(database, bad_release(shipments=12, rows=100))
        await catch_up(settings)
        whole = await replay_record(settings, "market")
        return whole.alarms, await rows_of(database, question)

    alarms, states = asyncio.run(prepare())
    record = ("--application", "market", "--database-url", database)
    whole = told(folder, *record)
    assert whole["rows"] == 1200
    assert whole["alarms"] == alarms
    assert {one["version"] for one in alarms} >= {"price:2"}

    start = START + timedelta(seconds=5 * 300)
    end = START + timedelta(seconds=5 * 600)
    between = [f"{one:%Y-%m-%dT%H:%M:%S}" for one in (start, end)]
    good = told(folder, *record, "--from", between[0], "--to", between[1])
    assert good["rows"] == 300
    # A watch that met no version names none.
    assert {one["version"] for one in good["watches"]} - {None} == {"price:1"}
    assert good["alarms"] == []
    strict = told(
        folder, *record, "--from", between[0], "--watches", "strict.yaml", "--change-at", "301"
    )
    # The first moment counts, the last does not.
    assert strict["rows"] == 901
    assert {one["watch"] for one in strict["alarms"]} == {"strict"}
    assert 0 < strict["changes"][0]["delay_rows"] < 200
    assert asyncio.run(rows_of(database, question)) == states
