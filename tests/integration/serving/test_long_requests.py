"""A request of many rows: it is worked off in pieces, and nobody else waits for its end."""

import asyncio
import json
from pathlib import Path
from typing import Any

import uvloop

from serving.batch import Outcome
from serving.pieces import PIECE_ROWS
from tests.support.data_plane import application, plane, python_version, started

PATH = "/v1/applications/app/predictions"
SUM = "def answer(rows):\n    return rows[:, 0] + rows[:, 1]"
ROWS = 3_000
PIECES = -(-ROWS // PIECE_ROWS)


def body(**more: Any) -> dict[str, Any]:
    return {"inputs": [[number, 1] for number in range(ROWS)], **more}


def test_others_have_the_event_loop_between_its_pieces(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}, of=application(objective=60.0)) as on,
        ):
            # Straight to the route: the client's own turns would count as well.
            asked = asyncio.ensure_future(on.framework.post(PATH, json=body()))
            turns = 0
            while not asked.done():
                turns += 1
                await asyncio.sleep(0)
            answer = await asked
            assert answer.status_code == 200, answer.text
            outputs = [one["output"] for one in answer.json()["predictions"]]
            assert outputs == [number + 1 for number in range(ROWS)]
            # It is read, asked, recorded and written: each in pieces.
            assert turns > 4 * (PIECES - 1)
            entries = on.journal.file.read(0, max_rows=10 * ROWS, max_bytes=2**30)
            assert sum(entry.prediction_count for entry in entries) == ROWS
            assert max(entry.prediction_count for entry in entries) <= PIECE_ROWS

    uvloop.run(run())


def test_a_short_request_is_answered_while_a_long_one_is_under_way(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}, of=application(objective=60.0)) as on,
        ):
            asked = asyncio.ensure_future(on.framework.post(PATH, json=body()))
            meanwhile = 0
            while not asked.done():
                one = await on.client.post(PATH, json={"input": [1, 1]})
                assert one.json()["output"] == 2
                meanwhile += 1
            assert (await asked).status_code == 200
            # One may have begun before it and another ended behind it.
            assert meanwhile > 2

    uvloop.run(run())


def test_a_queue_is_drained_only_when_all_rows_have_been_asked(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}, of=application(objective=60.0)) as on,
        ):
            asked = asyncio.ensure_future(on.framework.post(PATH, json=body()))
            while not queue.in_flight:  # noqa: ASYNC110  (nobody tells of it)
                await asyncio.sleep(0)
            # As a route that was switched does it with the version before.
            assert await queue.drain(application(objective=60.0).latency_objective)
            await queue.stop()
            answers = (await asked).json()["predictions"]
            assert [one["default"] for one in answers] == [False] * ROWS
            assert {record.default_reason for record in on.records()} == {None}

    uvloop.run(run())


def test_a_long_body_is_read_like_a_short_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}, of=application(objective=60.0), limit=2**20) as on,
        ):
            wrong = body()
            wrong["inputs"][ROWS - 2] = [1]
            answer = await on.client.post(PATH, json=wrong)
            assert answer.status_code == 200
            items = answer.json()["predictions"]
            errors = {place: one for place, one in enumerate(items) if "error" in one}
            assert list(errors) == [ROWS - 2]
            assert errors[ROWS - 2]["error"]["errors"][0]["path"] == f"/inputs/{ROWS - 2}"
            assert items[-1]["output"] == ROWS
            for unfit in (
                body(context={"text": "x" * 70_000}), body(input=[1, 1]), body(other=1),
                body(context=[1]),
            ):  # fmt: skip
                refused = await on.client.post(PATH, content=json.dumps(unfit))
                assert refused.status_code == 422, refused.text

    uvloop.run(run())


def test_every_row_of_a_long_request_has_its_record_by_all_ways(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            started(tmp_path, python_version(tmp_path, SUM)) as queue,
            plane(tmp_path, {"m:1": queue}, of=application(objective=60.0)) as on,
        ):
            route = on.inference.route("app")
            blocks = [route.codec.check([number, 0]) for number in range(ROWS)]
            predictions = await on.inference.predict_all(route, blocks)
            assert [one.output for one in predictions] == [
                repr(float(n)).encode() for n in range(ROWS)
            ]
            assert {one.reason for one in predictions} == {Outcome.ANSWERED}
            assert [record.id for record in on.records()] == [one.id for one in predictions]

    uvloop.run(run())
